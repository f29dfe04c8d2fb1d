// Interpreter speed: the loops of bench/loops, and the random one, on a bare CPU, in millions of instructions a second, warm.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assembleText, packageFolder } from '../src/cli/load.ts';
import { EXIT } from '../src/cpu/exit.ts';
import { bareCpu, CODE, resetState, STACK } from '../test/cpu/bare.ts';
import { measured, time, type Measured } from './clock.ts';
import { mixSource } from './mix.ts';

/** The loops of the geometric means. */
export const LOOPS = ['sieve', 'crc', 'fib', 'copy', 'hash', 'sort', 'bytecode', 'counter', 'mix'] as const;
/** Others: a counter in another page than its loop; REP MOVS and STOS, whose iterations are hardly instructions. */
export const OTHER_LOOPS = ['counter-apart', 'strings'] as const;
export type LoopName = (typeof LOOPS)[number] | (typeof OTHER_LOOPS)[number];

/** What each loop must leave in RAX: a benchmark of a wrong interpreter is none. */
export const RESULTS: Readonly<Record<LoopName, bigint>> = {
  sieve: 0x14069n,
  crc: 0xd743a794n,
  fib: 0xcb228n,
  copy: 0x20000ffffn,
  hash: 0xa9713n,
  sort: 0x7f9b726dn,
  bytecode: 0x1d1a9576440n,
  strings: 0x2345670000000001n,
  counter: 0x5b8d80n,
  mix: 0xeb16f8e3b9218052n,
  'counter-apart': 0x5b8d80n,
};

const SLICE = 1_000_000;
const HLT = 0xf4;

/**
 * A loop's source: a function that begins at its first instruction, changes every register, and returns its result in RAX. Loops
 * that 32-bit code can have too say `Xax` for RAX or EAX, and WORD for the bytes of such a register.
 */
export function sourceOf(name: LoopName, bits: 32 | 64 = 64): string {
  if (name === 'mix') return mixSource();
  const source = readFileSync(join(packageFolder(), 'bench', 'loops', `${name}.s`), 'utf8');
  const named = source.replaceAll('%X', bits === 64 ? '%r' : '%e').replaceAll('WORD', String(bits / 8));
  return `.code${bits}\n${named}`;
}

/** Runs a loop once to warm up, then `rounds` times; MIPS. */
export async function loopSpeed(name: LoopName, rounds: number): Promise<Measured> {
  const image = await assembleText(sourceOf(name), `${name}.s`);
  const bare = bareCpu();
  const end = CODE - 1;
  bare.load(end, [HLT]);
  bare.load(STACK, new Uint8Array(new BigUint64Array([BigInt(end)]).buffer));
  const once = (): number => {
    const { cpu } = bare;
    resetState(cpu);
    bare.load(CODE, image.segments[0]!.bytes);
    let units = 0;
    while (cpu.enter(SLICE, Infinity) === EXIT.BUDGET) units += cpu.used;
    units += cpu.used;
    if (cpu.state.gpr(0) !== RESULTS[name]) {
      throw new Error(
        `${name} ends with RAX = 0x${cpu.state.gpr(0).toString(16)}, not 0x${RESULTS[name].toString(16)}`,
      );
    }
    return units;
  };
  once();
  return measured(Array.from({ length: rounds }, () => 1000 / time(once)));
}
