// The contracts of running guest code: exact budgets, precise faults, self-modifying code, what slicing and engines may not show.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { bareCpu, CODE, DATA, resetState, type Bare } from './bare.ts';
import { fingerprint, program, runToEnd } from './program.ts';

const engines: [string, () => Bare][] = [
  ['generated code', () => bareCpu()],
  ['generated code by calls only', () => bareCpu({ noHot: true })],
  ['the evaluator', () => bareCpu({ engine: 'bigint' })],
];

const start = (bare: Bare, code: Uint8Array): void => {
  resetState(bare.cpu);
  bare.processor.views.u8.fill(0, bare.ram + DATA, bare.ram + DATA + 0x4000);
  bare.load(CODE, code);
};

/** Branches, a call, memory, a REP and flags that live long. */
const MIXED = `
    mov $0x200000, %edi
    mov $9, %ecx
loop:
    mov %rcx, (%rdi,%rcx,8)
    add %rcx, %rax
    adc $0, %rdx
    call leaf
    dec %ecx
    jnz loop
    mov $0x200000, %esi
    lea 0x1000(%rsi), %rdi
    mov $7, %ecx
    rep movsq
    cmp %rdi, %rsi
    setb %bl
    hlt
leaf:
    push %rax
    shl $3, %rax
    xor %rax, %rbx
    pop %rax
    ret
`;

describe.each(engines)('%s', (_, make) => {
  it('stops after exactly N units for every N, and ends in the same state', async () => {
    const code = await program(MIXED);
    const bare = make();
    start(bare, code);
    const { units } = runToEnd(bare.cpu, 1_000_000);
    const whole = fingerprint(bare, DATA, DATA + 0x2000);
    for (let n = 1; n < units; n++) {
      start(bare, code);
      expect(bare.cpu.enter(n, Infinity)).toBe(EXIT.BUDGET);
      expect(bare.cpu.used).toBe(n);
      expect(runToEnd(bare.cpu, 1_000_000).units).toBe(units - n);
      expect(fingerprint(bare, DATA, DATA + 0x2000)).toBe(whole);
    }
  });

  it('counts each iteration of a REP as a unit, and a REP of none as one', async () => {
    const bare = make();
    start(bare, await program('mov $0x200000, %edi; mov $5, %ecx; rep stosb; rep stosb; hlt'));
    expect(runToEnd(bare.cpu, 1_000_000).units).toBe(2 + 5 + 1 + 1);
    expect(bare.cpu.state.gpr(7)).toBe(BigInt(DATA + 5));
  });

  it('sees its own modifications on the next instruction', async () => {
    const bare = make();
    // The store replaces the immediate of the very next instruction, in the same block.
    start(bare, await program('movl $0x22222222, patched+1(%rip); patched: mov $0x11111111, %eax; hlt'));
    runToEnd(bare.cpu, 1_000_000);
    expect(bare.cpu.state.gpr(0)).toBe(0x22222222n);
  });

  it('sees modifications by the host between two entries', async () => {
    const bare = make();
    const source = (value: number): string => `again: mov $${value}, %eax; jmp again`;
    start(bare, await program(source(1)));
    bare.cpu.enter(100, Infinity);
    bare.load(CODE, await program(source(2)));
    bare.cpu.enter(2, Infinity);
    expect(bare.cpu.state.gpr(0)).toBe(2n);
  });

  it('drops only the lines that a store touches', async () => {
    const bare = make();
    const counter = '.balign 64; counter: .quad 0; .balign 64';
    start(
      bare,
      await program(
        `jmp go; ${counter}; go: mov $1000, %ecx; again: incq counter(%rip); dec %ecx; jnz again; mov counter(%rip), %rax; hlt`,
      ),
    );
    runToEnd(bare.cpu, 1_000_000);
    expect(bare.cpu.state.gpr(0)).toBe(1000n);
  });

  it('runs an instruction that straddles two pages, also after its second half changed', async () => {
    const bare = make();
    const code = await program('.fill 4094, 1, 0x90; mov $0x11223344, %eax; hlt');
    start(bare, code);
    runToEnd(bare.cpu, 1_000_000);
    expect(bare.cpu.state.gpr(0)).toBe(0x11223344n);
    start(bare, code);
    bare.load(CODE + 4096, [0x55]);
    runToEnd(bare.cpu, 1000);
    expect(bare.cpu.state.gpr(0)).toBe(0x11225544n);
  });

  it('leaves a faulting instruction undone, with RIP its own and its units given back', async () => {
    const bare = make();
    start(bare, await program('mov $1, %eax; mov $2, %ebx; add %rbx, 0x7f000000(%rax); mov $3, %ecx; hlt'));
    // No IDT: the page fault ends in a triple fault, which shows where it happened.
    const { reason, units } = runToEnd(bare.cpu, 1_000_000);
    expect(reason).toBe(EXIT.TRIPLE_FAULT);
    expect(units).toBe(2);
    expect(bare.cpu.state.rip).toBe(BigInt(CODE + 10));
    expect(bare.cpu.state.cr2).toBe(0x7f000001n);
    expect(bare.cpu.state.gpr(1)).toBe(0n);
  });
});
