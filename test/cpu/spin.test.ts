// Loops that wait (spin.ts): which they are, and that nobody can tell that their iterations were not made one by one.

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { SPECIAL } from '../../src/cpu/code/handlers.ts';
import { CODE as MODE, type CodeMode } from '../../src/cpu/segments/codeMode.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { bareCpu, CODE, DATA, resetState, type Bare } from './bare.ts';
import { fingerprint, program } from './program.ts';

describe('a block that jumps to its head', () => {
  let bare: Bare;
  beforeAll(() => void (bare = bareCpu()));
  const waits = async (source: string, mode: CodeMode = MODE.LONG): Promise<boolean> => {
    const { cpu, processor, ram, load } = bare;
    resetState(cpu);
    load(CODE, await program(source));
    const head = processor.blocks.find(ram + CODE, 0, mode);
    return processor.views.u16[head >> 1] === SPECIAL.SPIN;
  };

  it.each([
    '1: mov (%rdi), %eax; test %eax, %eax; je 1b',
    '1: cmpl $0, (%rdi); jne 1b',
    '1: pause; cmp %eax, (%rdi,%rcx,4); je 1b',
    '1: mov (%rdi), %rax; mov (%rax), %bl; mov 8(%rax), %ecx; cmp %ecx, %edx; jb 1b',
    '1: movzbl (%rdi), %eax; and $7, %eax; cmp $3, %eax; jne 1b',
    '1: mov (%rdi), %eax; test $0x10, %ah; jne 1b',
    '1: lea 4(%rdi), %rsi; mov (%rsi), %edx; cmp %edx, %eax; jne 1b',
    '1: mov (%rdi), %eax; bt $3, %eax; cmp $1, %eax; jc 1b',
    '1: pause; jmp 1b',
    '1: mov (%rdi), %al; cmp %eax, %ebx; jne 1b',
    '1: mov (%rdi), %eax; bt $3, %eax; je 1b',
    '1: jmp 1b',
    '1: jc 1b',
  ])('waits: %s', async (source) => expect(await waits(source)).toBe(true));

  it('waits in 16- and 32-bit code, too', async () => {
    expect(await waits('.code16; 1: mov 0x6c, %ax; cmp %ax, %dx; je 1b', MODE.SEGMENTED16)).toBe(true);
    expect(await waits('.code16; 1: mov (%bx), %al; cmp %ax, %dx; mov (%si), %ah; je 1b', MODE.SEGMENTED16)).toBe(
      false,
    );
    expect(await waits('.code32; 1: cmpb $0, (%ebx); je 1b', MODE.FLAT32)).toBe(true);
    expect(await waits('.code32; 1: inc %eax; cmp %eax, (%ebx); jne 1b', MODE.FLAT32)).toBe(false);
  });

  it.each([
    ['counts', '1: add $1, %ecx; cmp %ecx, (%rdi); jne 1b'],
    ['counts in memory', '1: incl (%rdi); cmpl $0, (%rdi); jne 1b'],
    ['stores', '1: mov %eax, (%rdi); test %eax, %eax; je 1b'],
    ['walks a list', '1: mov (%rdi), %rdi; test %rdi, %rdi; jne 1b'],
    ['reads what it writes later', '1: cmp %eax, %ebx; mov (%rdi), %eax; jne 1b'],
    ['changes a part of what it reads', '1: add $1, %al; cmp %eax, %ebx; jne 1b'],
    ['writes a part behind a read of the whole', '1: mov (%rdi), %al; cmp %eax, %ebx; mov 1(%rdi), %ah; jne 1b'],
    [
      'writes the whole behind a read of it that followed a part',
      '1: mov (%rdi), %ax; cmp %eax, %ebx; mov 4(%rdi), %eax; jne 1b',
    ],
    ['addresses by what it writes a part of', '1: mov (%rax), %al; cmp %bl, %al; jne 1b'],
    ['reads the time', '1: rdtsc; cmp %eax, %ebx; jne 1b'],
    ['locks', '1: mov $1, %eax; xchg %eax, (%rdi); test %eax, %eax; jne 1b'],
    ['may fault and be stopped by TF', '1: popfq; mov (%rdi), %eax; test %eax, %eax; je 1b'],
    ['counts RCX down', '1: mov (%rdi), %eax; loop 1b'],
    ['asks whether RCX is 0', '1: mov (%rdi), %eax; jrcxz 1b'],
    ['calls', '1: call 1b'],
    ['loads a segment register', '1: mov (%rdi), %ds; cmpl $0, (%rsi); je 1b'],
    ['jumps into itself', 'nop; 1: cmpl $0, (%rdi); je 1b'],
    ['falls through', '1: cmpl $0, (%rdi); jne 2f; 2: hlt'],
  ])('does more than wait if it %s', async (_, source) => expect(await waits(source)).toBe(false));
});

// prettier-ignore
const STEPS = [
  'mov (%rdi), %al', 'mov 1(%rdi), %ah', 'mov 2(%rdi), %bx', 'mov %bl, %ch', 'mov %eax, %ecx', 'movw $5, %dx',
  'mov (%rdi), %eax', 'movzbl 4(%rdi), %ebx', 'mov 8(%rdi), %bl', 'mov %eax, %ebx', 'movsbl %ah, %ecx', 'lea 4(%rdi), %rsi', 'mov (%rsi), %edx',
  'cmp %ebx, %eax', 'cmpl $3, (%rdi)', 'test %eax, %eax', 'test $1, %al', 'bt $1, %eax', 'and $3, %eax', 'xor %edx, %edx', 'sub %ecx, %edx',
  'add $1, %ecx', 'mov %eax, 12(%rdi)', 'incl 16(%rdi)', 'pause', 'nop', 'endbr64', 'rdtsc',
] as const;
const ENDS = ['je', 'jne', 'jc', 'js', 'jmp'] as const;

/** What happens between two grants: a word of memory is written. */
interface Turn {
  readonly units: number;
  readonly word: number;
  readonly value: number;
}

/** How a guest stands after each grant. */
function follow(bare: Bare, code: Uint8Array, turns: readonly Turn[]): string[] {
  const { cpu, load } = bare;
  resetState(cpu);
  cpu.state.tsc = 0n;
  for (const register of [GPR.RAX, GPR.RCX, GPR.RDX, GPR.RBX]) cpu.state.setGpr(register, 0x5678_5500n);
  cpu.state.setGpr(GPR.RDI, BigInt(DATA));
  load(CODE, code);
  load(DATA, new Uint8Array(64));
  return turns.map(({ units, word, value }) => {
    const reason = cpu.enter(units, units);
    const stands = `${reason} ${cpu.used} ${cpu.state.tsc} ${fingerprint(bare, DATA, DATA + 64)}`;
    load(DATA + 4 * word, new Uint8Array(Uint32Array.of(value).buffer));
    return stands;
  });
}

describe('a loop that may wait', () => {
  it.each([
    'mov $0x5500, %eax; jmp 1f; 1: mov (%rdi), %al; cmp %eax, %ebx; mov 1(%rdi), %ah; jne 1b',
    'mov $0x55550000, %eax; jmp 1f; 1: mov (%rdi), %ax; cmp %eax, %ebx; mov 4(%rdi), %eax; jne 1b',
  ])('ends as it would, met again when it is warm: %s', async (source) => {
    const code = await program(`mov $9, %edx; xor %ebx, %ebx; 0: ${source}; dec %edx; jnz 0b; hlt`);
    const [fast, slow] = [bareCpu(), bareCpu({ engine: 'bigint' })].map((bare) =>
      follow(bare, code, [{ units: 5000, word: 0, value: 0 }]),
    );
    expect(fast).toEqual(slow);
  });

  it('leaves every guest as it would be, whenever memory changes', async () => {
    const fast = bareCpu();
    const slow = bareCpu({ engine: 'bigint' });
    const loop = fc.tuple(fc.array(fc.constantFrom(...STEPS), { maxLength: 4 }), fc.constantFrom(...ENDS));
    const turn = fc.record({
      units: fc.oneof(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 1, max: 1500 })),
      word: fc.nat(4),
      value: fc.constantFrom(0, 1, 2, 3, 0x103, 0x8000_0003),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(loop, { minLength: 1, maxLength: 4 }),
        fc.array(turn, { minLength: 1, maxLength: 12 }),
        async (loops, turns) => {
          const lines = loops.map(([body, end], i) => `loop${i}: ${[...body, `${end} loop${i}`].join('; ')}`);
          const code = await program(['start:', ...lines, 'incl 32(%rdi)', 'jmp start'].join('\n'));
          expect(follow(fast, code, turns)).toEqual(follow(slow, code, turns));
        },
      ),
      { numRuns: 300 },
    );
  }, 60_000);
});
