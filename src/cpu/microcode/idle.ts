// Instructions that wait: HLT, PAUSE, MONITOR, MWAIT.

import { ACTIVITY, GPR } from '../../x86/names/registers.ts';
import { EXIT } from '../exit.ts';
import { raise } from '../fault.ts';
import { leaveGuest } from '../vmexit.ts';
import { requireRing0 } from './checks.ts';
import type { Microcode } from './microcode.ts';

export const hlt: Microcode = ({ state, controls }, insn) => {
  requireRing0(state);
  if (controls.hltExiting) return leaveGuest(state, EXIT.HLT, insn.length);
  state.activity = ACTIVITY.HALTED;
  return 'end';
};

export const pause: Microcode = ({ state, controls }, insn) => {
  if (controls.pauseExiting) return leaveGuest(state, EXIT.PAUSE_INSTRUCTION, insn.length);
  return 'next';
};

/** MONITOR and MWAIT are #UD, not #GP, outside of ring 0. Without an exit they do nothing: MWAIT may always return at once. */
export const monitor: Microcode = ({ state, controls, mmu }, insn) => {
  if (state.cpl !== 0) raise.ud();
  if (controls.monitorExiting) return leaveGuest(state, EXIT.MONITOR_INSTRUCTION, insn.length);
  if (state.gpr32(GPR.RCX) !== 0) raise.gp(0);
  mmu.read(state.gpr(GPR.RAX), 1, 'data');
  return 'next';
};

const BREAK_ON_INTERRUPT = 1;

export const mwait: Microcode = ({ state, controls }, insn) => {
  if (state.cpl !== 0) raise.ud();
  if (controls.mwaitExiting) return leaveGuest(state, EXIT.MWAIT_INSTRUCTION, insn.length);
  if ((state.gpr32(GPR.RCX) & ~BREAK_ON_INTERRUPT) !== 0) raise.gp(0);
  return 'next';
};
