// 32-bit code beside 64-bit code: the same loops on a bare CPU, in millions of instructions a second. Instructions and their number
// are the same in both modes, but for copy, which moves words.

import { assembleText } from '../src/cli/load.ts';
import { EXIT } from '../src/cpu/exit.ts';
import { writeSegment } from '../src/cpu/segments/segments.ts';
import { SEGMENT } from '../src/x86/names/registers.ts';
import { bareCpu, CODE, resetState, STACK, type Bare } from '../test/cpu/bare.ts';
import { measured, time, type Measured } from './clock.ts';
import { RESULTS, sourceOf } from './loops.ts';

export const MODE_LOOPS = ['sieve', 'crc', 'fib', 'copy', 'sort', 'bytecode'] as const;
type ModeLoop = (typeof MODE_LOOPS)[number];
type Bits = 32 | 64;

export type ModeSpeeds = Readonly<Record<Bits, Measured>>;

const SLICE = 1_000_000;
const HLT = 0xf4;
const CODE32 = { selector: 0x20, base: 0n, limit: 0xffff_ffff, attributes: 0xc09b };

/** What a loop leaves in EAX; copy has twice the words. */
const result32 = (name: ModeLoop): bigint => (name === 'copy' ? 0x1_ffffn : BigInt.asUintN(32, RESULTS[name]));

/** A run of a loop, which gives how many instructions it was. */
async function prepare(name: ModeLoop, bits: Bits): Promise<() => number> {
  const image = await assembleText(sourceOf(name, bits), `${name}.s`);
  const bare: Bare = bareCpu();
  const { cpu } = bare;
  const expected = bits === 64 ? RESULTS[name] : result32(name);
  bare.load(CODE - 1, [HLT]);
  bare.load(STACK, new Uint8Array(new BigUint64Array([BigInt(CODE - 1)]).buffer));
  return () => {
    resetState(cpu);
    if (bits === 32) writeSegment(cpu.state, SEGMENT.CS, CODE32);
    bare.load(CODE, image.segments[0]!.bytes);
    let units = 0;
    while (cpu.enter(SLICE, Infinity) === EXIT.BUDGET) units += cpu.used;
    const result = cpu.state.gpr(0);
    if (result !== expected) {
      throw new Error(`${name} in ${bits} bits ends with 0x${result.toString(16)}, not 0x${expected.toString(16)}`);
    }
    return units + cpu.used;
  };
}

/** Both modes in turn, `rounds` times after one to warm up; MIPS. */
export async function modeSpeeds(name: ModeLoop, rounds: number): Promise<ModeSpeeds> {
  const [run32, run64] = [await prepare(name, 32), await prepare(name, 64)];
  run32();
  run64();
  const speeds: Record<Bits, number[]> = { 32: [], 64: [] };
  for (let i = 0; i < rounds; i++) {
    speeds[32].push(1000 / time(run32));
    speeds[64].push(1000 / time(run64));
  }
  return { 32: measured(speeds[32]), 64: measured(speeds[64]) };
}
