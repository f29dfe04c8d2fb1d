// Hazard 10 of the lazy TSC deadline: a guest moved while it waits neither loses its tick nor takes it twice, in whichever
// order the deadline and its page are restored. Names of the states are those of pv/lazyTscDeadline.ts.

import { describe, expect, it } from 'vitest';
import { KVM_MSR } from '../../src/hypervisor/names.ts';
import { setLapic } from '../../src/hypervisor/state/lapicState.ts';
import type { MsrEntry } from '../../src/hypervisor/state/msrs.ts';
import { getMsrs, setMsrs } from '../../src/hypervisor/state/msrs.ts';
import { restoreVcpu, saveVcpu, type VcpuState } from '../../src/hypervisor/state/vcpuState.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { MSR } from '../../src/x86/names/msrs.ts';
import { imageOf, MEMORY } from '../vmm/guest.ts';

const FIRST = 1_000_000;
const EXTENDED = 3_000_000;

/** Waits for one tick, then as long again for another that must not come. In state L it has put the tick off, without a trap. */
const guest = (state: 'A' | 'L'): string => `
        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"
        .include "asm/pv.s"
        .text
        .globl  _start
_start: call    idt_init
        set_gate 0xec, tick
        call    x2apic_enable
        movl    $0xec, %edi
        call    timer_init
        leaq    lazy(%rip), %rdi
        call    kvm_lazy_tscdeadline_enable
        read_tsc
        leaq    ${FIRST}(%rax), %rdi
        movq    %rdi, wanted(%rip)
        movq    %rdi, lazy+LAZY_PENDING(%rip)
        call    timer_arm
        ${state === 'L' ? `read_tsc; addq $${EXTENDED}, %rax; movq %rax, wanted(%rip); movq %rax, lazy+LAZY_PENDING(%rip)` : ''}
1:      sti
        hlt
        cli
        cmpl    $0, ticks(%rip)
        je      1b
        sti
        read_tsc
        movq    %rax, %rbx
2:      read_tsc
        subq    %rbx, %rax
        cmpq    $${2 * EXTENDED}, %rax
        jb      2b
        leaq    format(%rip), %rdi
        movl    ticks(%rip), %esi
        movq    early(%rip), %rdx
        movq    late(%rip), %rcx
        movq    lazy+LAZY_ARMED(%rip), %r8
        call    printk
        jmp     power_off
tick:   push_registers
        incl    ticks(%rip)
        read_tsc
        subq    wanted(%rip), %rax
        jae     1f
        incq    early(%rip)
1:      movq    %rax, late(%rip)
        x2apic_eoi
        pop_registers
        iretq
        .data
format: .asciz  "ticks: %u, early: %u, late: %u, armed: %u\\n"
wanted: .quad   0
early:  .quad   0
late:   .quad   0
ticks:  .long   0
        .balign 64
lazy:   .skip   64
`;

const FEATURES = ['lazy-tscdeadline'] as const;

/** A machine paused in mid-wait, and its saved vCPU. */
async function waiting(state: 'A' | 'L'): Promise<{ source: Machine; saved: VcpuState; boot: () => Machine }> {
  const image = await imageOf(guest(state));
  const boot = (): Machine => Machine.boot({ image, memory: MEMORY, features: FEATURES });
  const source = boot();
  source.run({ maxCycles: FIRST / 2 });
  source.pause();
  const vcpu = source.vm.vcpus[0]!;
  const { lazy } = vcpu.lapic.timer;
  const saved = saveVcpu(vcpu);
  expect(saved.mpState).toEqual({ mpState: 'halted' });
  const pending = source.vm.memory.readU64(Number(lazy.msrVal & ~1n) + 8)!;
  expect(pending > lazy.cachedArmed ? 'L' : 'A').toBe(state);
  return { source, saved, boot };
}

/** Memory first, then the groups with the MSRs in the order given; what is not named keeps its place before them. */
function move(source: Machine, target: Machine, saved: VcpuState, last: readonly number[]): void {
  target.vm.memory.write(0, source.vm.memory.read(0, MEMORY)!);
  const rest = saved.msrs.filter(({ index }) => !last.includes(index));
  const ordered = last.map((index): MsrEntry => saved.msrs.find((entry) => entry.index === index)!);
  restoreVcpu(target.vm.vcpus[0]!, { ...saved, msrs: [...rest, ...ordered] });
}

const PRINTED = /^ticks: (\d+), early: (\d+), late: (\d+), armed: (\d+)\n$/;
function outcome(machine: Machine): Record<string, number | string> {
  const { kind } = machine.run({ maxCycles: 1e8 });
  const [, ticks, early, late, armed] = (PRINTED.exec(machine.console.text) ?? []).map(Number);
  return { kind, ticks: ticks!, early: early!, late: late!, armed: armed! };
}

const ORDERS: [name: string, order: number[]][] = [
  ['LAZY_TSCDEADLINE before TSC_DEADLINE', [KVM_MSR.LAZY_TSCDEADLINE, MSR.TSC_DEADLINE]],
  ['TSC_DEADLINE before LAZY_TSCDEADLINE', [MSR.TSC_DEADLINE, KVM_MSR.LAZY_TSCDEADLINE]],
];

describe.each(['A', 'L'] as const)('a guest in state %s', (state) => {
  it.each(ORDERS)('moved in mid-wait, %s: one tick, when it is wanted', async (_, order) => {
    const { source, saved, boot } = await waiting(state);
    const target = boot();
    move(source, target, saved, order);
    const { lazy } = target.vm.vcpus[0]!.lapic.timer;
    expect(lazy.cachedArmed).toBe(saved.msrs.find(({ index }) => index === MSR.TSC_DEADLINE)!.data);
    const end = outcome(target);
    expect(end).toMatchObject({ kind: 'power-off', ticks: 1, early: 0, armed: 0 });
    expect(end['late']).toBeLessThan(30_000);
    expect(lazy.counters.rearms).toBe(state === 'L' ? 1 : 0);
  });

  it('that stays ticks the same', async () => {
    const { source } = await waiting(state);
    source.resume();
    expect(outcome(source)).toMatchObject({ kind: 'power-off', ticks: 1, early: 0, armed: 0 });
  });

  it('restored with both MSRs before the LAPIC has no timer, and says so: nothing is armed in its page either', async () => {
    const { source, saved, boot } = await waiting(state);
    const target = boot();
    const vcpu = target.vm.vcpus[0]!;
    target.vm.memory.write(0, source.vm.memory.read(0, MEMORY)!);
    setMsrs(vcpu, saved.msrs);
    restoreVcpu(vcpu, { ...saved, msrs: [] });
    setLapic(vcpu, saved.lapic);
    expect(getMsrs(vcpu, [MSR.TSC_DEADLINE])[0]!.data).toBe(0n);
    const page = Number(vcpu.lapic.timer.lazy.msrVal & ~1n);
    expect(target.vm.memory.readU64(page)).toBe(0n);
    expect(target.run({ maxCycles: 1e8 })).toMatchObject({
      kind: 'deadlock',
      vcpus: [{ waitsFor: 'vCPU 0 is halted, no timer is armed' }],
    });
  });
});
