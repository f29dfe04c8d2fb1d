// A guest that sleeps until something is typed: the way from the line through UART, 8259 and local APIC to its handler.

import { describe, expect, it } from 'vitest';
import { bootGuest } from './guest.ts';

/** Through the 8259 and LINT0, as kernels without an IOAPIC driver do it. It echoes with a dot in front, and ends at `q`. */
const GUEST = `
        .include "asm/start.s"
        .include "asm/console.s"
        .include "asm/idt.s"
        .include "asm/msr.s"
        .text
        .globl  _start
_start: call    idt_init
        set_gate 0x24, typed
        .irp    pair, 0x1120, 0x2021, 0x0421, 0x0121, 0xef21
        movw    $(\\pair & 0xff), %dx
        movb    $(\\pair >> 8), %al
        outb    %al, %dx
        .endr
        movl    $0x80f, %ecx                    # spurious vector: APIC on
        movl    $0x1ff, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $0x835, %ecx                    # LINT0: ExtINT
        movl    $0x700, %eax
        xorl    %edx, %edx
        wrmsr
        movw    $0x3fa, %dx
        movb    $0x81, %al                      # FIFOs, interrupt at 8 characters
        outb    %al, %dx
        movw    $0x3f9, %dx
        movb    $1, %al
        outb    %al, %dx
1:      sti
        hlt
        cmpb    $'q', last(%rip)
        jne     1b
        jmp     power_off

typed:  push_registers
        movl    $'.', %edi
        call    console_putc
2:      movw    $0x3fd, %dx
        inb     %dx, %al
        testb   $1, %al
        jz      3f
        movw    $0x3f8, %dx
        inb     %dx, %al
        movb    %al, last(%rip)
        movzbl  %al, %edi
        call    console_putc
        jmp     2b
3:      movb    $0x20, %al
        outb    %al, $0x20
        pop_registers
        iretq
        .data
last:   .byte   0
`;

describe('a guest that reads by interrupt', () => {
  it('is woken once for what comes together, and again for what comes later', async () => {
    const machine = await bootGuest(GUEST);
    expect(machine.run().kind).toBe('awaiting-input');
    machine.type('hello');
    expect(machine.run().kind).toBe('awaiting-input');
    expect(machine.console.text).toBe('.hello');
    machine.type('q');
    expect(machine.run().kind).toBe('power-off');
    expect(machine.console.text).toBe('.hello.q');
  });

  it('gets every character of more than the FIFO holds, and the same in a replay', async () => {
    const text = `${'0123456789'.repeat(20)}q`;
    const first = await bootGuest(GUEST);
    first.run();
    first.type(text);
    expect(first.run().kind).toBe('power-off');
    expect(first.console.text.replaceAll('.', '')).toBe(text);
    const again = await bootGuest(GUEST);
    again.input.replay(first.input.journal);
    again.run();
    expect(again.digest()).toBe(first.digest());
  });
});
