// Assembles a test program at CODE; runs it on a bare CPU.

import { assemble } from '../../src/assembler/assemble.ts';
import type { Cpu } from '../../src/cpu/cpu.ts';
import { EXIT, type ExitReason } from '../../src/cpu/exit.ts';
import { readRflags } from '../../src/cpu/rflags.ts';
import { CODE, type Bare } from './bare.ts';

/** The bytes of a program, to be loaded at `origin`. */
export async function program(source: string, origin = CODE): Promise<Uint8Array> {
  const image = await assemble(source, { file: 'test.s', origin, read: () => null });
  return image.segments[0]!.bytes;
}

/** Runs until anything but the end of a slice, in slices of `slice` units; gives the reason and the units in all. */
export function runToEnd(cpu: Cpu, slice: number, most = 10_000_000): { reason: ExitReason; units: number } {
  let units = 0;
  while (units < most) {
    const reason = cpu.enter(slice, Infinity);
    units += cpu.used;
    if (reason !== EXIT.BUDGET) return { reason, units };
  }
  throw new Error(`the program did not end within ${most} units; RIP is ${cpu.state.rip.toString(16)}`);
}

/** Everything a program can see, as text: registers, RIP, flags, and a digest of memory. */
export function fingerprint({ cpu, processor, ram }: Bare, from: number, to: number): string {
  const { state } = cpu;
  const registers = Array.from({ length: 16 }, (_, i) => state.gpr(i).toString(16)).join(' ');
  let hash = 0x811c9dc5;
  for (const byte of processor.views.u8.subarray(ram + from, ram + to)) hash = Math.imul(hash ^ byte, 0x01000193);
  return `${registers} rip ${state.rip.toString(16)} flags ${readRflags(state).toString(16)} memory ${(hash >>> 0).toString(16)}`;
}
