// State is read and written outside of KVM_RUN only, and how a VMM gets a vCPU out of it.

import { describe, expect, it } from 'vitest';
import { getRegs } from '../../src/hypervisor/state/regs.ts';
import { saveVcpu, restoreVcpu } from '../../src/hypervisor/state/vcpuState.ts';
import { KVM_EXIT } from '../../src/hypervisor/names.ts';
import type { MmioDevice } from '../../src/hypervisor/bus/mmio.ts';
import { bootGuest, POWER_OFF } from '../vmm/guest.ts';

const SPIN = 'xorl %eax, %eax; 1: incl %eax; jmp 1b';

describe('a vCPU in KVM_RUN', () => {
  it('in guest mode refuses its state, and says where it is', async () => {
    const machine = await bootGuest(SPIN);
    machine.run({ maxCycles: 50_000 });
    const vcpu = machine.vm.vcpus[0]!;
    const message =
      /^KVM_GET_MP_STATE of vCPU 0: it is in guest mode, at rip 0x10000[0-9a-f]; pause the machine before, so that KVM_RUN returns \(EBUSY\)$/;
    expect(() => saveVcpu(vcpu)).toThrow(message);
    machine.pause();
    const saved = saveVcpu(vcpu);
    machine.resume();
    machine.run({ maxCycles: 100_000 });
    expect(() => restoreVcpu(vcpu, saved)).toThrow(/^KVM_SET_TSC_KHZ of vCPU 0: it is in guest mode/);
  });

  it('that blocks says what it waits for', async () => {
    const machine = await bootGuest(`testl %edi, %edi; jz 1f; sti; hlt; 1: ${SPIN.replaceAll('1', '2')}`, { vcpus: 2 });
    machine.run({ maxCycles: 100_000 });
    expect(() => getRegs(machine.vm.vcpus[1]!)).toThrow(
      'KVM_GET_REGS of vCPU 1: vCPU 1 is halted, no timer is armed; pause the machine before',
    );
  });

  it('of a machine that has ended says so', async () => {
    const machine = await bootGuest(`testl %edi, %edi; jz 1f; ${SPIN.replaceAll('1', '2')}; 1: ${POWER_OFF}`, {
      vcpus: 2,
    });
    machine.run();
    expect(getRegs(machine.vm.vcpus[0]!).rax).toBe(0x2000n);
    expect(() => getRegs(machine.vm.vcpus[1]!)).toThrow('its machine ended while it was in KVM_RUN, at rip');
    expect(machine.pause()).toEqual(machine.result);
  });
});

describe('a paused machine', () => {
  it('has every vCPU outside, at one moment, and goes on after resume()', async () => {
    const machine = await bootGuest(SPIN, { vcpus: 3 });
    machine.run({ maxCycles: 50_000 });
    expect(machine.pause()).toBeNull();
    expect(new Set(machine.vm.vcpus.map(({ cpu }) => cpu.now)).size).toBe(1);
    const before = machine.vm.vcpus.map((vcpu) => getRegs(vcpu).rax);
    expect(before.every((rax) => rax > 10_000n)).toBe(true);
    expect(() => machine.run()).toThrow('the machine is paused: resume() comes before it can run');
    machine.resume();
    machine.run({ maxCycles: 200_000 });
    machine.pause();
    machine.vm.vcpus.forEach((vcpu, i) => expect(getRegs(vcpu).rax).toBeGreaterThan(before[i]!));
  });

  it('may be one that has not run yet, and pausing twice is pausing once', async () => {
    const machine = await bootGuest(POWER_OFF);
    machine.pause();
    machine.pause();
    expect(getRegs(machine.vm.vcpus[0]!).rip).toBe(0x100000n);
    machine.resume();
    machine.resume();
    expect(machine.run()).toEqual({ kind: 'power-off', vcpu: 0 });
  });

  it('may wait with interrupts off while another vCPU would have woken it: no deadlock is reported', async () => {
    const machine = await bootGuest('cli; hlt');
    machine.run({ maxCycles: 10 });
    expect(machine.pause()).toBeNull();
    machine.resume();
    expect(machine.run().kind).toBe('deadlock');
  });
});

describe('pause()', () => {
  it('called by a device is refused, and nothing is paused', async () => {
    const machine = await bootGuest(`movl $1, %eax; outl %eax, $0x99; ${POWER_OFF}`);
    const refused: string[] = [];
    machine.probes.subscribe(() => {
      try {
        machine.pause();
      } catch (error) {
        refused.push((error as Error).message);
      }
    });
    expect(machine.run().kind).toBe('power-off');
    expect(new Set(refused)).toEqual(new Set(['pause() was called by a device or a probe: call it between two steps']));
  });
});

describe('a signal while a device access is served', () => {
  it('lets its instruction finish, exactly once, and no other', async () => {
    const machine = await bootGuest(`
      movq $0x400083, 0xb010
      movl $0x400000, %ebx
      movl (%rbx), %eax
      incl 4(%rbx)
      movl $3, %ecx
      leaq 8(%rbx), %rsi
      movl $0x200000, %edi
      cld
      rep movsl
      ${POWER_OFF}`);
    const vcpu = machine.vm.vcpus[0]!;
    const accesses: string[] = [];
    const device: MmioDevice = {
      name: 'nuisance',
      gpa: 0x40_0000,
      length: 4096,
      read(offset) {
        accesses.push(`r${offset}`);
        vcpu.signal();
        return BigInt(offset + 0x40);
      },
      write(offset, _size, value) {
        accesses.push(`w${offset}=${value}`);
        vcpu.signal();
      },
    };
    machine.mmio.connect(device);
    const seen: { rax: bigint; rcx: bigint }[] = [];
    machine.probes.subscribe((name, event) => {
      if (name !== 'kvm_userspace_exit' || (event as { reason: number }).reason !== KVM_EXIT.INTR) return;
      expect(vcpu.guest.halfway).toBe(false);
      const { rax, rcx } = getRegs(vcpu);
      seen.push({ rax, rcx });
    });
    expect(machine.run().kind).toBe('power-off');
    expect(accesses).toEqual(['r0', 'r4', 'w4=69', 'r8', 'r12', 'r16']);
    expect(seen).toEqual([
      { rax: 0x40n, rcx: 0n },
      { rax: 0x40n, rcx: 0n },
      { rax: 0x40n, rcx: 2n },
      { rax: 0x40n, rcx: 1n },
      { rax: 0x40n, rcx: 0n },
    ]);
    expect(vcpu.stat.signalExits).toBe(5);
  });
});
