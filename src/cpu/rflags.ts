// RFLAGS as one number, for microcode, delivery and debuggers. Generated code keeps six of its bits lazily (state.ts).

import { ARITHMETIC, packNumbers, unpackNumbers } from '../x86/flags.ts';
import { IOPL_SHIFT, RFLAGS } from '../x86/names/registers.ts';
import type { CpuState } from './state.ts';

const STORED = ~ARITHMETIC;

/** RFLAGS with the lazy bits filled in. */
export const readRflags = (state: CpuState): number =>
  (state.rflags & STORED) |
  packNumbers(state.flagCarry, BigInt.asIntN(64, state.flagResult), BigInt.asIntN(64, state.flagAux));

/** Stores all of RFLAGS; bit 1 is forced to 1. A change of AC needs `mmu.selectViews()` from the caller. */
export function writeRflags(state: CpuState, value: number): void {
  const { carry, result, aux } = unpackNumbers(value);
  state.flagCarry = carry;
  state.flagResult = BigInt.asUintN(64, result);
  state.flagAux = BigInt.asUintN(64, aux);
  state.rflags = (value & STORED) | RFLAGS.FIXED;
}

/** The least privileged CPL that may do I/O and change IF. */
export const iopl = (state: CpuState): number => (state.rflags >> IOPL_SHIFT) & 3;
