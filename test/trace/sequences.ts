// A guest that does one thing of each kind, so that its exits can be told by their RIP. Its code comes first in the image,
// which keeps the addresses fixed whatever the included files say.

import { bootGuest } from '../../src/testing/bootGuest.ts';
import { recordEvents, type RecordedEvents } from '../../src/testing/recordEvents.ts';
import type { KvmParams } from '../../src/hypervisor/params.ts';

const GUEST = `
        .text
        .globl  _start
_start:
        call    idt_init
        movl    $0xec, %edi
        leaq    tick(%rip), %rsi
        call    idt_set_gate
        movl    $13, %edi
        leaq    protection(%rip), %rsi
        call    idt_set_gate
        call    x2apic_enable
        movl    $0xec, %edi
        call    timer_init

        movl    $0x40000000, %eax
        xorl    %ecx, %ecx
do_cpuid:
        cpuid

        movl    $0x6e0, %ecx
        movl    $200000, %eax
        xorl    %edx, %edx
write_deadline:
        wrmsr
        sti
do_hlt: hlt
        cli

        movl    $0x6e0, %ecx
        movl    $500000, %eax
        xorl    %edx, %edx
        wrmsr
        sti
1:      cmpl    $2, ticks(%rip)
        jb      1b

        movl    $0x830, %ecx
        movl    $0x40ec, %eax
        xorl    %edx, %edx
write_icr:
        wrmsr
1:      cmpl    $3, ticks(%rip)
        jb      1b

        movl    $0x6e0, %ecx
        movl    $1, %eax
        xorl    %edx, %edx
past_deadline:
        wrmsr
1:      cmpl    $4, ticks(%rip)
        jb      1b

        movl    $0x12345, %ecx
read_nothing:
        rdmsr
        jmp     power_off

tick:   incl    ticks(%rip)
        movl    $0x80b, %ecx
        xorl    %eax, %eax
        xorl    %edx, %edx
write_eoi:
        wrmsr
        iretq

protection:
        addq    $2, 8(%rsp)
        addq    $8, %rsp
        iretq

        .include "asm/start.s"
        .include "asm/msr.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/x2apic.s"
        .include "asm/timer.s"

        .data
ticks:  .long   0
`;

/** Maps the register page, goes from x2APIC mode through disabled to xAPIC mode, and interrupts itself. */
export const XAPIC_GUEST = `
        .globl  _start
_start: movq    %cr3, %rax
        movq    (%rax), %rax
        andq    $-4096, %rax
        movl    $0xc0000083, %ecx
        movq    %rcx, 24(%rax)
        movl    $0x1b, %ecx
        xorl    %edx, %edx
        movl    $0xfee00100, %eax
        wrmsr
        movl    $0xfee00900, %eax
        wrmsr
        movl    $0xfee00000, %ebx
        movl    $0x1ff, 0xf0(%rbx)
        movl    $0x440ec, 0x300(%rbx)
        movw    $0x604, %dx
        movw    $0x2000, %ax
        outw    %ax, %dx
`;

export type Point =
  | 'do_cpuid'
  | 'write_deadline'
  | 'do_hlt'
  | 'write_icr'
  | 'past_deadline'
  | 'read_nothing'
  | 'write_eoi';

export interface Sequences {
  readonly events: RecordedEvents;
  /** What the first exit at a label led to, up to the next entry; the RIP of the label stands as its name. */
  at(point: Point): string[];
}

/** Runs the guest to its end and hands over what happened. */
export async function sequencesOf(params: Partial<KvmParams>): Promise<Sequences> {
  const machine = await bootGuest(GUEST, { params });
  const events = recordEvents(machine);
  const result = machine.run({ maxCycles: 50_000_000 });
  if (result.kind !== 'power-off') throw new Error(`the guest ended with ${result.kind}: ${machine.console.text}`);
  const { symbols } = machine.image;
  const named = (line: string): string =>
    line.replace(/rip 0x([\da-f]+)/, (_, rip: string) => `rip ${symbols.format(BigInt(`0x${rip}`))}`);
  const first = (point: Point): RegExp => {
    const line = events.lines.find((l) => l.startsWith('kvm_exit') && named(l).includes(`rip ${point} `));
    if (line === undefined) throw new Error(`no exit at ${point}`);
    return new RegExp(line.replace(/.*(rip \S+) .*/, '^kvm_exit: .*$1 '));
  };
  return { events, at: (point) => events.exit(first(point)).map(named) };
}
