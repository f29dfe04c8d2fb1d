// Exits that recur, on whole machines: wherever the guest's timer fires, other vCPUs stand and threads are preempted, a run ends
// in the same state at the same time, with the same counts of everything, as when every exit leaves generated code.

import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Probes } from '../../src/trace/probes.ts';
import type { Image } from '../../src/vmm/image.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import { Machine } from '../../src/vmm/machine.ts';
import type { Host } from '../../src/host/host.ts';
import { HostEvent } from '../../src/host/queue.ts';
import { KVM_REQ } from '../../src/hypervisor/requests.ts';
import { Processor } from '../../src/cpu/processor.ts';
import { Recurrence } from '../../src/hypervisor/recurrence.ts';
import { imageOf, MEMORY } from './guest.ts';

/** Vectors that a guest sends itself: four whose handlers end them, and one whose handler sends another first. */
const TOUCHED = 0x60;
const NESTED = 0x50;
const SELF = 0x40000 | TOUCHED;

/** What the loops of the guest do, in the words of its assembler. */
const BODIES = [
  'xorl %eax, %eax; cpuid',
  'movl $1, %eax; xorl %ecx, %ecx; cpuid',
  'wbinvd',
  'movq %cr8, %rax',
  'movl $2, %eax; movq %rax, %cr8',
  'movl $0x4d0, %edx; inb %dx, %al',
  'movl $0x1234, %edx; inl %dx, %eax',
  'movl $0x3fd, %edx; inb %dx, %al',
  'movl $0x4d1, %edx; movb $2, %al; outb %al, %dx',
  'movl $0x3b, %ecx; rdmsr',
  'movl $0x1b, %ecx; rdmsr',
  'movl $0x6e0, %ecx; rdmsr',
  'movl $0x1234, %edx; outl %eax, %dx',
  'movl $0xe9, %edx; movb $46, %al; outb %al, %dx',
  'movl $0x4d0, %edx; inb %dx, %al; outb %al, %dx',
  'xorl %eax, %eax; cpuid; rdtsc; addq %rax, sum(%rip)',
  'movl $0x1000, %ecx; 3: decl %ecx; jnz 3b; wbinvd',
  'wbinvd; cli; sti',
  // The PM timer, whole and in part; what TSC_ADJUST holds already, and what not.
  'movl $0x608, %edx; inl %dx, %eax; addq %rax, sum(%rip)',
  'movl $0x608, %edx; inl %dx, %eax; movl %eax, %r14d; inw %dx, %ax',
  'movl $0x3b, %ecx; xorl %eax, %eax; xorl %edx, %edx; wrmsr',
  'movl $0x3b, %ecx; movl %r15d, %eax; xorl %edx, %edx; wrmsr; wrmsr; wrmsr',
  // Interrupts that a vCPU sends itself, with those of the timer in between; their ends, priorities and windows.
  `movl $0x830, %ecx; movl $${SELF}, %eax; xorl %edx, %edx; wrmsr`,
  `cli; movl $0x830, %ecx; movl $${SELF}, %eax; xorl %edx, %edx; wrmsr; sti; nop`,
  `cli; movl $0x83f, %ecx; movl $${TOUCHED}, %eax; xorl %edx, %edx; wrmsr; sti; hlt`,
  `cli; movl $0x830, %ecx; movl $${SELF}, %eax; xorl %edx, %edx; wrmsr; pushfq; orl $0x200, (%rsp); popfq`,
  `movl $15, %eax; movq %rax, %cr8; movl $0x83f, %ecx; movl $${TOUCHED}, %eax; xorl %edx, %edx; wrmsr; xorl %eax, %eax; movq %rax, %cr8`,
  `movl $0x808, %ecx; movl $0xf0, %eax; xorl %edx, %edx; wrmsr; movl $0x83f, %ecx; movl $${TOUCHED}, %eax; wrmsr; movl $0x808, %ecx; xorl %eax, %eax; wrmsr`,
  `cli; movl $15, %eax; movq %rax, %cr8; movl $0x830, %ecx; movl $${SELF}, %eax; xorl %edx, %edx; wrmsr; xorl %eax, %eax; movq %rax, %cr8; sti; nop`,
  `movl $0x83f, %ecx; leal ${TOUCHED}(%r15), %eax; andl $3, %eax; addl $${TOUCHED}, %eax; xorl %edx, %edx; wrmsr; movq %cr8, %rax`,
  `testl $1, %r15d; jz 3f; cli; 3: movl $0x83f, %ecx; movl $${TOUCHED}, %eax; xorl %edx, %edx; wrmsr; sti; nop`,
  'movl $0x80b, %ecx; xorl %eax, %eax; xorl %edx, %edx; wrmsr', // nothing is in service
  // What the shadow of STI may cover: an access, a jump, an exit, a clock, an STI, the end of a page.
  ...[
    'incq count(%rip)',
    'jmp 3f; 3: nop',
    'wbinvd',
    'rdtsc; addq %rax, sum(%rip)',
    'sti',
    'pushfq; popfq',
    'call 3f; jmp 4f; 3: ret; 4: nop',
    'rep; movsb',
  ].map(
    (covered) =>
      `cli; leaq eoi+512(%rip), %rsi; movq %rsi, %rdi; movl $3, %ecx; pushq %rcx; movl $0x83f, %ecx; movl $${TOUCHED}, %eax; xorl %edx, %edx; wrmsr; popq %rcx; sti; ${covered}`,
  ),
  'testl $7, %r15d; jnz 3f; sti; hlt; 3: nop', // until the timer wakes it
  'movq sum(%rip), %rax; 3: cmpq %rax, sum(%rip); je 3b', // likewise
  'movq count(%rip), %rax; movl $50, %ebx; 3: pause; movq sum(%rip), %rcx; cmpq %rcx, %rax; je 3b',
  `movl $0x83f, %ecx; movl $${NESTED}, %eax; xorl %edx, %edx; wrmsr`,
] as const;

/** Loops under a timer whose interrupt comes every `period` cycles and adds its time to a sum. */
const guest = (loops: readonly (readonly [body: number, turns: number])[], period: number, pvEoi: boolean): string => `
        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/percpu.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"
        .equ    VECTOR, 0xec
        .equ    MSR_KVM_PV_EOI_EN, 0x4b564d04
        .text
        .globl  _start
_start: movl    %edi, %ebp
        movl    %esi, %r12d
        call    percpu_init
        testl   %ebp, %ebp
        jnz     1f
        call    idt_init
        set_gate VECTOR, expired
        .irp vector, 0x60, 0x61, 0x62, 0x63
        set_gate \\vector, touched
        .endr
        set_gate ${NESTED}, nested
1:      movl    %r12d, %edi
        call    barrier
        call    idt_load
        call    x2apic_enable
        ${pvEoi ? 'leaq eoi(%rip), %rax; shll $6, %ebp; addq %rbp, %rax; orl $1, %eax; write_msr MSR_KVM_PV_EOI_EN' : ''}
        movl    $VECTOR, %edi
        call    timer_init
        call    arm
        sti
${loops
  .map(([body, turns]) => `        movl $${turns}, %r15d\n2: ${BODIES[body]!}\n        decl %r15d; jnz 2b\n`)
  .join('')}
        cli
        movl    %r12d, %edi
        call    barrier
        jmp     power_off
arm:    read_tsc
        lock addq %rax, sum(%rip)
        leaq    ${period}(%rax), %rdi
        jmp     timer_arm
expired:
        push_registers
        call    arm
        x2apic_eoi
        pop_registers
        iretq
nested: push_registers
        movl    $0x83f, %ecx
        movl    $${TOUCHED}, %eax
        xorl    %edx, %edx
        wrmsr
        sti
        nop
        cli
        jmp     1f
touched:
        push_registers
1:      incq    count(%rip)
        x2apic_eoi
        pop_registers
        iretq
        .data
count:  .quad   0
        .balign 64
sum:    .quad   0
        .balign 64
eoi:    .skip   1024
`;

/** What a machine has counted, and where it stands. */
function standing({ counters, vm }: Machine) {
  const { byReason, charged, exits } = counters;
  const vcpus = vm.vcpus.map(({ stat, leftGuestAt, cpu }) => {
    const { byReason: _, msrWrites, ...counts } = stat;
    return { ...counts, msrWrites: [...msrWrites].sort(), leftGuestAt, now: cpu.now };
  });
  const asked = vm.diagnostics.list.map(({ what, index, count }) => [what, index, count]);
  return { exits, byReason: [...byReason], charged: [...charged], vcpus, asked };
}

/** Interrupts of a host's first CPU that mean nothing, every so many cycles. */
function interruptHost({ cpus: [cpu] }: Host, period: number): void {
  const onEvent = (due: HostEvent): void => cpu!.events.insert(due, due.at + period);
  cpu!.events.insert(new HostEvent({ name: 'a device of somebody else', onEvent }, 'interrupt'), period);
}

/** Runs a machine to its end: how that is, and how the machine stood after each slice of so many cycles. */
function end(image: Image, { hostPeriod = Infinity, asked = false, ...options }: Options, slice = Infinity) {
  const machine = Machine.boot({ image, memory: MEMORY, ...options });
  interruptHost(machine.host, hostPeriod);
  const stood = [];
  for (let at = slice; ; at += slice) {
    let result = machine.step(at);
    while (result === null) result = machine.step(at);
    stood.push(standing(machine));
    // A request that takes time where a timer is armed; nobody kicks, so the next exit's way back services it.
    if (asked) for (const { requests } of machine.vm.vcpus) requests.make(KVM_REQ.MIGRATE_TIMER);
    if (result.kind !== 'budget') return { result: result.kind, digest: machine.digest(), stood };
  }
}

type Options = Partial<BootOptions> & { readonly hostPeriod?: number; readonly asked?: boolean };
const OPTIONS: readonly Options[] = [
  {},
  { hostPeriod: 4001 },
  { hostPeriod: 5003, params: { module: 'kvm_amd' } },
  { params: { preemptionTimer: false } },
  { asked: true, params: { preemptionTimer: false } },
  { params: { module: 'kvm_amd' } },
  { params: { apicv: true } },
  { params: { fastpath: 'all-icr' } },
  { vcpus: 2 },
  { vcpus: 2, quantum: 100_000 },
  { vcpus: 2, hostCpus: 1, slice: 50_000 },
];

describe('exits that recur', () => {
  afterEach(() => void vi.restoreAllMocks());

  it('are nearly all of a loop', async () => {
    const account = vi.spyOn(Recurrence.prototype, 'account');
    const { stood } = end(await imageOf(guest([[0, 5000]], 40_000, false)), {});
    const recurred = account.mock.calls.reduce((sum, [times]) => sum + times, 0);
    expect(recurred).toBeGreaterThan(4000);
    expect(stood[0]!.exits).toBeGreaterThan(5000);
  });

  it.each([
    ['behind the instruction that the shadow of STI covers', 'sti; nop'],
    ['where HLT finds it waiting', 'sti; hlt'],
  ])('let an interrupt in %s, and its handler return, and generated code is not left', async (_, source) => {
    const body = BODIES.findIndex((text) => text.includes('$0x83f') && text.endsWith(source));
    const image = await imageOf(guest([[body, 3000]], 40_000, false));
    const run = vi.spyOn(Processor.prototype, 'run');
    const { stood } = end(image, {});
    expect(run.mock.calls.length).toBeLessThan(2000);
    expect(stood[0]!.exits).toBeGreaterThan(8000);
  });

  it('are told one by one to whoever listens', async () => {
    const image = await imageOf(
      guest(
        [
          [0, 100],
          [2, 100],
          [6, 100],
        ],
        40_000,
        false,
      ),
    );
    const probes = new Probes();
    let heard = 0;
    probes.subscribe((name) => void (heard += name === 'kvm_exit' ? 1 : 0));
    const { stood } = end(image, { probes });
    expect(heard).toBe(stood[0]!.exits);
    expect(stood).toEqual(end(image, {}).stood);
  });

  it('cannot be told from exits that are served', async () => {
    const loops = fc.array(fc.tuple(fc.nat(BODIES.length - 1), fc.integer({ min: 1, max: 120 })), {
      minLength: 1,
      maxLength: 6,
    });
    const period = fc.integer({ min: 8000, max: 60_000 });
    await fc.assert(
      fc.asyncProperty(loops, period, fc.boolean(), fc.constantFrom(...OPTIONS), fc.integer({ min: 5000, max: 50_000 }),
        async (some, cycles, pvEoi, options, slice) => {
          const image = await imageOf(guest(some, cycles, pvEoi));
          const served = end(image, { ...options, noInPlace: true }, slice);
          expect(served.result).toBe('power-off');
          expect(end(image, options, slice)).toEqual(served);
          if (options.asked !== true) expect(end(image, options).digest).toBe(served.digest);
        },
      ), // prettier-ignore
      { numRuns: 60 },
    );
  }, 60_000);
});
