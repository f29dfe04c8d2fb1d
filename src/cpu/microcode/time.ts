// Reading the time stamp counter: RDTSC, RDTSCP.

import { CR4, GPR } from '../../x86/names/registers.ts';
import { EXIT, type ExitReason } from '../exit.ts';
import { raise } from '../fault.ts';
import { leaveGuest } from '../vmexit.ts';
import { writeEdxEax } from './checks.ts';
import type { Microcode } from './microcode.ts';

/** RDTSC; RDTSCP exits under another name. */
const readTsc =
  (exit: ExitReason): Microcode =>
  ({ state, controls }, insn) => {
    if (state.cpl !== 0 && (state.cr4 & CR4.TSD) !== 0n) raise.gp(0);
    if (controls.rdtscExiting) return leaveGuest(state, exit, insn.length);
    writeEdxEax(state, state.tsc);
    return 'next';
  };

export const rdtsc = readTsc(EXIT.RDTSC);

const readTscForRdtscp = readTsc(EXIT.RDTSCP);

export const rdtscp: Microcode = (cpu, insn) => {
  const outcome = readTscForRdtscp(cpu, insn);
  if (outcome === 'next') cpu.state.setGpr32(GPR.RCX, Number(cpu.state.tscAux & 0xffff_ffffn));
  return outcome;
};
