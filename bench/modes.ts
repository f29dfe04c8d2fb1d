// 32-bit code beside 64-bit code: the same loops, written once for both (modes/*.s), on a bare CPU, in millions of instructions
// a second. `Xax` stands for RAX or EAX, WORD for the bytes of such a register. Instructions and their number are the same in
// both modes, but for copy, which moves words.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assembleText, packageFolder } from '../src/cli/load.ts';
import { EXIT } from '../src/cpu/exit.ts';
import { writeSegment } from '../src/cpu/segments.ts';
import { SEGMENT } from '../src/x86/names/registers.ts';
import { bareCpu, CODE, resetState, STACK, type Bare } from '../test/cpu/bare.ts';
import { measured, time, type Measured } from './clock.ts';

export const MODE_LOOPS = ['sieve', 'crc', 'fib', 'copy', 'sort', 'bytecode'] as const;
type ModeLoop = (typeof MODE_LOOPS)[number];
type Bits = 32 | 64;

export type ModeSpeeds = Readonly<Record<Bits, Measured>>;

const SLICE = 1_000_000;
const HLT = 0xf4;
const CODE32 = { selector: 0x20, base: 0n, limit: 0xffff_ffff, attributes: 0xc09b };

function sourceOf(name: ModeLoop, bits: Bits): string {
  const source = readFileSync(join(packageFolder(), 'bench', 'modes', `${name}.s`), 'utf8');
  const named = source.replaceAll('%X', bits === 64 ? '%r' : '%e').replaceAll('WORD', String(bits / 8));
  return `.code${bits}\n${named}`;
}

/** A run of a loop: gives how many instructions it was, and its result. */
async function prepare(name: ModeLoop, bits: Bits): Promise<() => { units: number; result: bigint }> {
  const image = await assembleText(sourceOf(name, bits), `${name}.s`);
  const bare: Bare = bareCpu();
  const { cpu } = bare;
  bare.load(CODE - 1, [HLT]);
  bare.load(STACK, new Uint8Array(new BigUint64Array([BigInt(CODE - 1)]).buffer));
  return () => {
    resetState(cpu);
    if (bits === 32) writeSegment(cpu.state, SEGMENT.CS, CODE32);
    bare.load(CODE, image.segments[0]!.bytes);
    let units = 0;
    while (cpu.enter(SLICE, Infinity) === EXIT.BUDGET) units += cpu.used;
    return { units: units + cpu.used, result: cpu.state.gpr(0) };
  };
}

/** Both modes in turn, `rounds` times after one to warm up; MIPS. Throws if they do not compute the same. */
export async function modeSpeeds(name: ModeLoop, rounds: number): Promise<ModeSpeeds> {
  const [run32, run64] = [await prepare(name, 32), await prepare(name, 64)];
  const [a, b] = [run32().result, run64().result];
  if (a !== b) throw new Error(`${name} gives 0x${a.toString(16)} as 32-bit code, 0x${b.toString(16)} as 64-bit code`);
  const speeds: Record<Bits, number[]> = { 32: [], 64: [] };
  for (let i = 0; i < rounds; i++) {
    speeds[32].push(1000 / time(() => run32().units));
    speeds[64].push(1000 / time(() => run64().units));
  }
  return { 32: measured(speeds[32]), 64: measured(speeds[64]) };
}
