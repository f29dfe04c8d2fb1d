// RFLAGS as one number, for microcode, delivery and debuggers. Generated code keeps six of its bits lazily (state.ts).

import { ARITHMETIC, packNumbers, unpackAuxHigh, unpackCarry, unpackResult } from '../x86/flags.ts';
import { IOPL_SHIFT, RFLAGS } from '../x86/names/registers.ts';
import { OFFSET, type CpuState } from './state.ts';

const STORED = ~ARITHMETIC;

const RESULT = OFFSET.flagResult >> 2;
const AUX = OFFSET.flagAux >> 2;

/** RFLAGS with the lazy bits filled in. */
export function readRflags(state: CpuState): number {
  const { u32 } = state.views;
  const result = (state.base >> 2) + RESULT;
  const aux = (state.base >> 2) + AUX;
  const lazy = packNumbers(state.flagCarry, u32[result]!, u32[result + 1]!, u32[aux]!, u32[aux + 1]!);
  return (state.rflags & STORED) | lazy;
}

/** Stores all of RFLAGS; bit 1 is forced to 1. A change of AC needs `mmu.selectViews()` from the caller. */
export function writeRflags(state: CpuState, value: number): void {
  const { u32 } = state.views;
  const result = (state.base >> 2) + RESULT;
  const aux = (state.base >> 2) + AUX;
  state.flagCarry = unpackCarry(value);
  u32[result] = unpackResult(value);
  u32[result + 1] = 0;
  u32[aux] = value & RFLAGS.AF;
  u32[aux + 1] = unpackAuxHigh(value);
  state.rflags = (value & STORED) | RFLAGS.FIXED;
}

/** The least privileged CPL that may do I/O and change IF. */
export const iopl = (state: CpuState): number => (state.rflags >> IOPL_SHIFT) & 3;
