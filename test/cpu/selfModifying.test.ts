// Random programs that write over themselves while they run: whatever a store does to decoded code, every engine, cut into
// slices of any length, goes through the same states. Single instructions cannot show this: blocks, links and jump caches do.

import { describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { Random } from '../hardware/random.ts';
import { bareCpu, DATA, resetState, STACK, type Bare } from './bare.ts';
import { fingerprint } from './program.ts';

/** The programs lie across a page boundary. */
const START = DATA + 0x1000 - 96;
const SIZE = 192;
const UNITS = 600;
const PROGRAMS = 400;
const HLT = 0xf4;
/** What a RET finds that no CALL came before: the address behind the program. */
const RETURNS = new Uint8Array(new BigUint64Array(UNITS).fill(BigInt(START + SIZE + 16)).buffer);

/** Bytes that are instructions by themselves: NOP, CLC, STC, CMC, CWDE, CDQ, and the prefix REX. */
const HARMLESS = [0x90, 0xf8, 0xf9, 0xf5, 0x98, 0x99, 0x40];

/** What a program is made of: most leave it going, and every third changes it. */
const PIECES: readonly ((random: Random) => number[])[] = [
  (random) => [0x48, 0x01, 0xc0 | random.below(64)], // add r, r
  (random) => [0xb0 + random.below(4), random.below(256)], // mov imm8, r8
  (random) => [0x70 + random.below(16), random.below(120) - 60], // jcc
  (random) => [0xeb, random.below(100) - 50], // jmp
  (random) => [0x48, 0xff, 0xc0 | random.below(16)], // inc, dec
  (random) => [0xc6, 0x05, ...distance(random), random.pick(HARMLESS)], // movb imm, near(%rip)
  (random) => [0x88, 0x05 | (random.below(4) << 3), ...distance(random)], // movb r8, near(%rip)
  (random) => [0x01, 0x05 | (random.below(4) << 3), ...distance(random)], // addl r, near(%rip)
  (random) => [0xc7, 0x05, ...distance(random), 0x90, 0x90, random.pick(HARMLESS), 0x90], // movl imm, near(%rip)
  () => [0x48, 0x8d, 0x3d, 0x10, 0, 0, 0, 0xb1, 5, 0x0f, 0xb6, 0xc9, 0xf3, 0xaa], // rep stosb, five bytes in front
  (random) => (random.oneIn(2) ? [0xe8, random.below(60), 0, 0, 0] : [0xc3]), // call, ret
];

function distance(random: Random): number[] {
  const reach = random.oneIn(2) ? 24 : SIZE; // half of the time the very next instructions
  const value = random.below(reach) - (reach === SIZE ? SIZE / 2 : 0);
  return [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff];
}

function makeProgram(seed: number): Uint8Array {
  const random = new Random(seed);
  const bytes: number[] = [];
  while (bytes.length < SIZE) bytes.push(...random.pick(PIECES)(random));
  return Uint8Array.from(bytes, (byte) => byte & 0xff);
}

/** Runs a program in slices; how it ended and all that it left. Any exception ends it. */
function run(bare: Bare, program: Uint8Array, slice: number): string {
  const { cpu } = bare;
  resetState(cpu);
  cpu.controls = new Controls();
  cpu.controls.exceptionBitmap = -1;
  bare.load(DATA, new Uint8Array(0x2000).fill(HLT));
  bare.load(START, program);
  bare.load(STACK - RETURNS.length, RETURNS);
  bare.load(STACK, RETURNS);
  cpu.setRip(BigInt(START));
  let units = 0;
  let reason: number = EXIT.BUDGET;
  while (units < UNITS && reason === EXIT.BUDGET) {
    reason = cpu.enter(Math.min(slice, UNITS - units), Infinity);
    units += cpu.used;
  }
  return `${reason} after ${units}: ${fingerprint(bare, DATA, DATA + 0x2000)}`;
}

describe('programs that write over themselves', () => {
  const programs = Array.from({ length: PROGRAMS }, (_, i) => makeProgram(i + 1));
  const whole = bareCpu();
  const expected = programs.map((program) => run(whole, program, UNITS));
  const differing = (bare: Bare, slice: number): string[] =>
    programs.flatMap((program, i) => {
      const ours = run(bare, program, slice);
      return ours === expected[i] ? [] : [`program ${i + 1} in slices of ${slice}:\n  ${expected[i]}\n  ${ours}`];
    });

  it('run for a while, most of them', () => {
    const lengths = expected.map((text) => Number(/after (\d+)/.exec(text)![1]));
    expect(lengths.filter((length) => length > 20).length).toBeGreaterThan(PROGRAMS / 5);
  });

  it.each([1, 2, 7, 50])('end in the same state in slices of %i units', (slice) => {
    expect(differing(bareCpu({ noHot: slice === 7 }), slice)).toEqual([]);
  });

  it.each([3, UNITS])('end in the same state on the evaluator in slices of %i units', (slice) => {
    expect(differing(bareCpu({ engine: 'bigint' }), slice)).toEqual([]);
  });
});
