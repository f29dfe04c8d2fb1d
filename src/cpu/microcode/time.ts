// Reading the time stamp counter: RDTSC, RDTSCP.

import { CR4, GPR } from '../../x86/names/registers.ts';
import { EXIT, type ExitReason } from '../exit.ts';
import { raise } from '../fault.ts';
import { vmExit } from '../vmexit.ts';
import { writeEdxEax } from './checks.ts';
import type { Microcode, MicrocodeCpu, Operands } from './microcode.ts';

function readTsc({ state, controls }: MicrocodeCpu, insn: Operands, exit: ExitReason): void {
  if (state.cpl !== 0 && (state.cr4 & CR4.TSD) !== 0n) raise.gp(0);
  if (controls.rdtscExiting) vmExit(state, exit, insn.length);
  writeEdxEax(state, state.tsc);
}

export const rdtsc: Microcode = (cpu, insn) => {
  readTsc(cpu, insn, EXIT.RDTSC);
  return 'next';
};

export const rdtscp: Microcode = (cpu, insn) => {
  readTsc(cpu, insn, EXIT.RDTSCP);
  cpu.state.setGpr32(GPR.RCX, Number(cpu.state.tscAux & 0xffff_ffffn));
  return 'next';
};
