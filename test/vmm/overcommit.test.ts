// More vCPUs than physical CPUs: threads take turns, sleep and move, and no guest can tell except by the clock.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { Host } from '../../src/host/host.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { bootGuest, corpus, imageOf, MEMORY, POWER_OFF } from './guest.ts';

const SLICE = 20_000;

/** Boots a guest of the corpus and runs it to its end. */
async function ran(name: string, options: Partial<BootOptions>): Promise<Machine> {
  const machine = Machine.boot({ image: await corpus(name), memory: MEMORY, slice: SLICE, ...options });
  machine.run({ maxCycles: 2_000_000_000 });
  return machine;
}

/** Each vCPU spins `count` times; the last to finish (a counter in memory) switches the machine off. */
const spinners = (count: number, vcpus: number): string => `
        movl    $${count}, %ecx
1:      decl    %ecx
        jnz     1b
        movl    $1, %eax
        lock xaddl %eax, 0x300000
        cmpl    $${vcpus - 1}, %eax
        jne     2f
        ${POWER_OFF}
2:      cli
        hlt`;

/** vCPU 0 arms its timer for the middle of the slice of vCPU 1, which spins for ever. */
const preemptedInMidWait = `
        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"
        .text
        .globl  _start
_start: testl   %edi, %edi
        jnz     1f
        call    idt_init
        set_gate 0xec, power_off
        call    x2apic_enable
        movl    $0xec, %edi
        call    timer_init
        sti
        read_tsc
        leaq    ${1.5 * SLICE}(%rax), %rdi
        call    timer_arm
1:      jmp     1b
`;

describe('two vCPUs on one physical CPU', () => {
  it('take turns of a slice, and need the time of both', async () => {
    const options = { vcpus: 2, hostCpus: 1, slice: SLICE };
    const alone = await bootGuest(spinners(50_000, 1), {});
    const machine = await bootGuest(spinners(50_000, 2), options);
    const order: number[] = [];
    machine.probes.subscribe((name, event) => {
      if (name === 'kvm_entry' && order.at(-1) !== (event as { vcpu: number }).vcpu) {
        order.push((event as { vcpu: number }).vcpu);
      }
    });
    expect(alone.run().kind).toBe('power-off');
    expect(machine.run().kind).toBe('power-off');
    expect(order.length).toBeGreaterThan(8);
    expect(order.every((vcpu, i) => vcpu === i % 2)).toBe(true);
    const ratio = machine.host.cpus[0]!.now / alone.host.cpus[0]!.now;
    expect(ratio).toBeGreaterThan(1.9);
  });

  it('leave the CPU when they halt', async () => {
    const source = `
        testl   %edi, %edi
        jnz     2f
        movl    $30000, %ecx
1:      decl    %ecx
        jnz     1b
        ${POWER_OFF}
2:      cli
        hlt`;
    const machine = await bootGuest(source, { vcpus: 2, hostCpus: 1, slice: SLICE });
    expect(machine.run().kind).toBe('power-off');
    // The one that computes is never asked to make room for the one that sleeps.
    expect(machine.vm.vcpus[0]!.stat.byReason[EXIT.EXTERNAL_INTERRUPT]).toBe(1);
  });

  it('wait for each other in a spin loop, and get on', async () => {
    const source = `
        testl   %edi, %edi
        jnz     2f
1:      cmpl    $0, 0x300000
        je      1b
        ${POWER_OFF}
2:      movl    $1, 0x300000
3:      jmp     3b`;
    const machine = await bootGuest(source, { vcpus: 2, hostCpus: 1, slice: SLICE });
    expect(machine.run({ maxCycles: 10 * SLICE }).kind).toBe('power-off');
  });

  it('keep a deadline that passes while they are preempted: the next entry ends at once, by the preemption timer', async () => {
    const machine = await bootGuest(preemptedInMidWait, { vcpus: 2, hostCpus: 1, slice: SLICE });
    const story: string[] = [];
    machine.probes.subscribe((name, event) => {
      if (name !== 'kvm_exit' && name !== 'kvm_entry') return;
      const { vcpu, reason } = event as { vcpu: number; reason?: number };
      story.push(`${vcpu} ${reason === undefined ? 'enters' : `exits ${reason}`}`);
    });
    expect(machine.run({ maxCycles: 100 * SLICE }).kind).toBe('power-off');
    const fired = story.indexOf(`0 exits ${EXIT.PREEMPTION_TIMER}`);
    // The slice of the other ends, this one is entered, and has not run when the timer ends guest mode.
    expect(story.slice(fired - 2, fired + 2)).toEqual([
      `1 exits ${EXIT.EXTERNAL_INTERRUPT}`,
      '0 enters',
      `0 exits ${EXIT.PREEMPTION_TIMER}`,
      '0 enters',
    ]);
  });
});

describe('a vCPU that may run on several physical CPUs', () => {
  it('is pulled by a CPU that has become idle, with its VMCS', async () => {
    // vCPU 1, alone on its CPU, is done soon; the other two go on on both CPUs.
    const source = `
        cmpl    $1, %edi
        je      3f
        ${spinners(100_000, 2)}
3:      cli
        hlt`;
    const machine = await bootGuest(source, { vcpus: 3, hostCpus: 2, slice: SLICE });
    expect(machine.run().kind).toBe('power-off');
    const moved = machine.counters.vcpus.reduce((sum, { migrations }) => sum + migrations, 0);
    expect(moved).toBeGreaterThan(0);
    expect(machine.counters.charged.get('vmptrld')).toBeGreaterThanOrEqual(moved);
    expect(machine.host.cpus[0]!.now).toBeLessThan(250_000);
  });

  it('stays where it is pinned', async () => {
    const machine = await ran('ipi', { vcpus: 3, hostCpus: 3, pin: [[2], [1], [1]] });
    expect(machine.vm.vcpus.map(({ cpu }) => cpu.id)).toEqual([2, 1, 1]);
    expect(machine.counters.vcpus.map(({ migrations }) => migrations)).toEqual([0, 0, 0]);
  });
});

describe('an impossible topology', () => {
  it('is refused with what there is', async () => {
    const image = await imageOf('nop');
    const boot = (options: object) => () => Machine.boot({ image, memory: MEMORY, ...options });
    expect(boot({ vcpus: 2, pin: [[0], [2]] })).toThrow('vCPU 1 is pinned to CPU 2, but the host has CPUs 0 to 1');
    expect(boot({ vcpus: 2, hostCpus: 1, pin: [[0], [1]] })).toThrow('CPU 1, but the host has only CPU 0');
    expect(boot({ vcpus: 2, pin: [[0]] })).toThrow('1 vCPU pinned, and the machine has 2: pin all or none');
    expect(boot({ pin: [[]] })).toThrow('vCPU 0 is pinned to no CPU');
    expect(boot({ hostCpus: 0 })).toThrow('a host needs at least one CPU, not 0');
    expect(boot({ slice: 0 })).toThrow('a slice is at least one cycle, not 0');
  });

  it('two machines of one vCPU share a host of one CPU', async () => {
    const host = new Host({ cpus: 1, slice: SLICE });
    const [a, b] = [await bootGuest(spinners(50_000, 1), { host }), await bootGuest(spinners(50_000, 1), { host })];
    expect(a.run().kind).toBe('power-off');
    expect(b.run().kind).toBe('power-off');
    expect(host.cpus[0]!.now).toBeGreaterThan(200_000);
  });
});
