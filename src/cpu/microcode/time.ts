// Reading the time stamp counter: RDTSC, RDTSCP.

import { CR4, GPR } from '../../x86/names/registers.ts';
import { EXIT, type ExitReason } from '../exit.ts';
import { raise } from '../fault.ts';
import { OFFSET } from '../state.ts';
import { leaveGuest } from '../vmexit.ts';
import type { Microcode } from './microcode.ts';

/** RDTSC; RDTSCP exits under another name. */
const readTsc =
  (exit: ExitReason): Microcode =>
  ({ state, controls }, insn) => {
    if (state.cpl !== 0 && (state.cr4 & CR4.TSD) !== 0n) raise.gp(0);
    if (controls.rdtscExiting) return leaveGuest(state, exit, insn.length);
    // Guests that wait do nothing else: by words, as a bigint would be most of the price.
    const { u32 } = state.views;
    const tsc = (state.base + OFFSET.tsc) >>> 2;
    state.setGpr32(GPR.RAX, u32[tsc]!);
    state.setGpr32(GPR.RDX, u32[tsc + 1]!);
    return 'next';
  };

export const rdtsc = readTsc(EXIT.RDTSC);

const readTscForRdtscp = readTsc(EXIT.RDTSCP);

export const rdtscp: Microcode = (cpu, insn) => {
  const outcome = readTscForRdtscp(cpu, insn);
  if (outcome === 'next') cpu.state.setGpr32(GPR.RCX, Number(cpu.state.tscAux & 0xffff_ffffn));
  return outcome;
};
