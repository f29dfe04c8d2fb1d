// The stack of a guest that has crashed, by its frame pointers.

import { describe, expect, it } from 'vitest';
import { describeOutcome } from '../../src/cli/outcome.ts';
import { backtrace } from '../../src/vmm/backtrace.ts';
import type { Machine } from '../../src/vmm/machine.ts';
import { bootGuest } from './guest.ts';

/** A frame as compilers make it. */
const ENTER = 'pushq %rbp; movq %rsp, %rbp';
const chain = (innermost: string): string => `
        .globl _start, outer, middle, inner
_start: xorl %ebp, %ebp
        call outer
        hlt
outer:  ${ENTER}
        subq $32, %rsp
        leaq middle(%rip), %rax
        call *%rax
        hlt
middle: ${ENTER}
        pushq $0
        call inner
inner:  ${innermost}
`;

async function crashed(source: string): Promise<Machine> {
  const machine = await bootGuest(source);
  expect(machine.run({ maxCycles: 1_000_000 }).kind).toBe('triple-fault');
  return machine;
}

const names = (machine: Machine): (string | undefined)[] =>
  backtrace(machine, 0).map((address) => machine.image.symbols.lookup(address - 1n)?.name);

describe('the callers of crashed code', () => {
  it('are found by frame pointers, the innermost first', async () => {
    expect(names(await crashed(chain(`${ENTER}; nop; ud2`)))).toEqual(['middle', 'outer', '_start']);
  });

  it('include the immediate one when the crash is at the first instruction, where nothing is pushed yet', async () => {
    expect(names(await crashed(chain('ud2')))).toEqual(['middle', 'outer', '_start']);
  });

  it('are told with the outcome, though a call that never returns is the last of its function', async () => {
    const machine = await crashed(chain(`${ENTER}; ud2`));
    const lines = describeOutcome(machine, machine.result!).filter((line) => line.includes('called from'));
    expect(lines[0]).toMatch(/^ {2}called from middle\+0xb \(0x1000[0-9a-f]{2}\)$/);
    expect(lines).toHaveLength(3);
  });

  it.each([
    ['a number', 'movabsq $0x123456789, %rbp'],
    ['the address of data', 'leaq data(%rip), %rbp'],
    ['an address that is not canonical', 'movabsq $0x800000000000, %rbp'],
    ['its own address, a loop', 'movq %rsp, %rbp; movq %rbp, (%rbp)'],
  ])('are none when RBP holds %s', async (_, set) => {
    const machine = await crashed(`
        .globl _start, here
_start: subq $64, %rsp
        ${set}
here:   nop
        ud2
data:   .quad 0xffffffff, 0x100000, 0, 0`);
    expect(backtrace(machine, 0)).toEqual([]);
  });

  it('are found in 32-bit code with its segments', async () => {
    const machine = await bootGuest(`
        .globl _start, outer, inner
_start: lgdt gdtr(%rip)
        pushq $8
        leaq flat(%rip), %rax
        pushq %rax
        lretq
        .code32
flat:   movl $16, %eax
        movl %eax, %ss
        movl %eax, %ds
        movl $0x200000, %esp
        xorl %ebp, %ebp
        call outer
outer:  pushl %ebp
        movl %esp, %ebp
        call inner
inner:  pushl %ebp
        movl %esp, %ebp
        ud2
        .balign 8
gdt:    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:   .word gdtr - gdt - 1
        .quad gdt`);
    machine.run({ maxCycles: 1_000_000 });
    expect(names(machine)).toEqual(['outer', 'flat']);
  });
});
