// SVM where it differs from VMX: what exits are called, no preemption timer, and where the host's interrupts are taken.

import { describe, expect, it } from 'vitest';
import { EXIT, type Exit } from '../../src/cpu/exit.ts';
import { COST } from '../../src/host/costs.ts';
import { HostEvent } from '../../src/host/queue.ts';
import { svmExit } from '../../src/hypervisor/svm/exitCode.ts';
import { bootGuest, namesOf, recordEvents } from '../../src/testing/index.ts';
import { SVM_EXIT } from '../../src/x86/names/svm.ts';
import { vmRig } from './vmRig.ts';

const place = { rip: 0x1000n, length: 2 };
const code = (exit: object): string => {
  const svm = svmExit({ ...place, ...exit } as Exit)!;
  return [svm.code, svm.info1, svm.info2].map((value) => value.toString(16)).join(' ');
};

describe('an exit on SVM', () => {
  it('of an MSR has one code for both directions, and the direction in EXITINFO1', () => {
    expect(code({ reason: 'MSR_READ', index: 0x1b })).toBe('7c 0 0');
    expect(code({ reason: 'MSR_WRITE', index: 0x830, value: 0n })).toBe('7c 1 0');
  });

  it('has numbers of its own: that of WRMSR on VMX is a read of DR0', () => {
    expect(svmExit({ ...place, reason: 'DR_ACCESS', dr: 0, access: 'read', gpr: 0 })!.code).toBe(EXIT.MSR_WRITE);
    expect(SVM_EXIT.MSR).not.toBe(EXIT.MSR_WRITE);
  });

  it('of a control or debug register names the register in its code', () => {
    expect(code({ reason: 'CR_ACCESS', cr: 3, access: 'read', gpr: 1, value: 0n })).toBe('3 8000000000000001 0');
    expect(code({ reason: 'CR_ACCESS', cr: 8, access: 'write', gpr: 0, value: 0n })).toBe('18 8000000000000000 0');
    expect(code({ reason: 'CR_ACCESS', cr: 0, access: 'clts', gpr: 0, value: 0n })).toBe('10 0 0');
    expect(code({ reason: 'DR_ACCESS', dr: 7, access: 'write', gpr: 2 })).toBe('37 2 0');
  });

  it('of a port has port, size and direction, and the next instruction', () => {
    expect(code({ reason: 'IO_INSTRUCTION', port: 0x3f8, size: 1, direction: 'out', value: 0 })).toBe(
      '7b 3f80010 1002',
    );
    expect(code({ reason: 'IO_INSTRUCTION', port: 0xcf8, size: 4, direction: 'in', value: 0 })).toBe('7b cf80041 1002');
    expect(code({ reason: 'IO_INSTRUCTION', port: 0xf000, size: 2, direction: 'in', value: 0 })).toBe(
      '7b f0000021 1002',
    );
  });

  it('of memory is one of nested paging, whether the page is absent or a device’s', () => {
    const access = { gva: 0n, gpa: 0xfee00000n, access: 'write' };
    expect(code({ reason: 'EPT_VIOLATION', ...access })).toBe('400 100000006 fee00000');
    expect(code({ reason: 'EPT_MISCONFIG', ...access, size: 4, value: 0n })).toBe('400 100000007 fee00000');
  });

  it('of an exception counts on from the first', () => {
    expect(code({ reason: 'EXCEPTION_NMI', vector: 14, errorCode: 2 })).toBe('4e 2 0');
  });

  it('does not exist for the preemption timer', () => {
    expect(svmExit({ ...place, reason: 'PREEMPTION_TIMER' })).toBeNull();
  });
});

type Module = 'kvm_intel' | 'kvm_amd';

/** A guest that has run under a module: its events, and what was done about each exit. */
async function ran(guest: string, module: Module) {
  const machine = await bootGuest(guest, { params: { module, haltPollNs: 0 } });
  const events = recordEvents(machine);
  const actions: string[] = [];
  machine.probes.subscribe((name, event) => {
    if (name === 'exit_handled') actions.push((event as { action: string }).action);
  });
  machine.run();
  return { events, actions };
}

describe('a guest on kvm_amd', () => {
  it('arms deadlines on the slow path, for hrtimers: no preemption timer carries them', async () => {
    const amd = await ran('guests/tick.s', 'kvm_amd');
    const arming = (actions: readonly string[]): string[] =>
      actions.filter((action) => action.startsWith('timer armed'));
    expect(arming(amd.actions)).toHaveLength(10);
    expect(arming(amd.actions).some((action) => action.includes('fast path'))).toBe(false);
    expect(arming((await ran('guests/tick.s', 'kvm_intel')).actions)[0]).toContain('fast path');
    const states = amd.events.lines.filter((line) => line.startsWith('kvm_hv_timer_state'));
    expect(new Set(states)).toEqual(new Set(['kvm_hv_timer_state: vcpu_id 0 hv_timer 0']));
  });

  it('takes the same interrupts as on kvm_intel', async () => {
    const taken = async (module: Module): Promise<string[]> =>
      (await ran('guests/tick.s', module)).events.lines.filter((line) => line.startsWith('kvm_inj_virq'));
    expect(await taken('kvm_amd')).toEqual(await taken('kvm_intel'));
  });

  it('sends IPIs on the fast path, from an exit whose code is that of both directions of MSRs', async () => {
    const { lines } = (await ran('guests/ipi.s', 'kvm_amd')).events;
    const at = lines.findIndex((line) => line.startsWith('kvm_apic_ipi'));
    expect(namesOf(lines.slice(at - 1, at + 4))).toEqual([
      'kvm_exit',
      'kvm_apic_ipi',
      'kvm_apic_accept_irq',
      'kvm_apic',
      'kvm_msr',
    ]);
    expect(lines[at - 1]).toMatch(/ reason msr rip 0x[0-9a-f]+ info1 0x0{15}1 /);
  });

  it('leaves the interrupt that ended guest mode pending until the window after the exit', () => {
    const orderOf = (module: Module): string[] => {
      const order: string[] = [];
      const rig = vmRig([[{ run: 5000 }, { exit: EXIT.TRIPLE_FAULT }]], { params: { module } });
      const [vcpu] = rig.vm.vcpus;
      const owner = {
        name: 'a device',
        onEvent: () => void order.push(vcpu!.cpu.charged[COST.interruptWindow] === 0 ? 'before' : 'in'),
      };
      rig.host.cpus[0]!.events.insert(new HostEvent(owner, 'device'), 1000);
      while (rig.host.step() === 'progress' && rig.userspace.length === 0);
      return order;
    };
    expect(orderOf('kvm_intel')).toEqual(['before']);
    expect(orderOf('kvm_amd')).toEqual(['in']);
  });
});
