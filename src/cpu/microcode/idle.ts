// Instructions that wait: HLT, PAUSE, MONITOR and MWAIT, and what user mode has of them: UMONITOR, UMWAIT, TPAUSE.

import { ACTIVITY, CR4, GPR, RFLAGS } from '../../x86/names/registers.ts';
import { EXIT } from '../exit.ts';
import { raise } from '../fault.ts';
import { linearAddress } from '../segments/segmentation.ts';
import { leaveGuest } from '../vmexit.ts';
import { changeFlags, operandAccess, requireRing0 } from './checks.ts';
import type { Microcode, MicrocodeCpu, Operands } from './microcode.ts';

export const hlt: Microcode = ({ state, controls }, insn) => {
  requireRing0(state);
  if (controls.hltExiting) return leaveGuest(state, EXIT.HLT, insn.length);
  state.activity = ACTIVITY.HALTED;
  return 'end';
};

/** Where it exits: else it does nothing (x86/hint.ts). */
export const pause: Microcode = ({ state }, insn) => leaveGuest(state, EXIT.PAUSE_INSTRUCTION, insn.length);

/** MONITOR and MWAIT are #UD, not #GP, outside of ring 0. Without an exit they do nothing: MWAIT may always return at once. */
export const monitor: Microcode = (cpu, insn) => {
  const { state, controls } = cpu;
  if (state.cpl !== 0) raise.ud();
  if (controls.monitorExiting) return leaveGuest(state, EXIT.MONITOR_INSTRUCTION, insn.length);
  if (state.gpr32(GPR.RCX) !== 0) raise.gp(0);
  readMonitored(cpu, insn, GPR.RAX);
  return 'next';
};

/** The range is checked as a read of one byte (SDM vol. 2, MONITOR). */
function readMonitored({ state, mmu }: MicrocodeCpu, insn: Operands, register: number): void {
  const offset = BigInt.asUintN(8 * insn.addressSize, state.gpr(register));
  mmu.read(linearAddress(state, insn.segment, offset, 1, 'read'), 1, operandAccess(insn));
}

const BREAK_ON_INTERRUPT = 1;

export const mwait: Microcode = ({ state, controls }, insn) => {
  if (state.cpl !== 0) raise.ud();
  if (controls.mwaitExiting) return leaveGuest(state, EXIT.MWAIT_INSTRUCTION, insn.length);
  if ((state.gpr32(GPR.RCX) & ~BREAK_ON_INTERRUPT) !== 0) raise.gp(0);
  return 'next';
};

export const umonitor: Microcode = (cpu, insn) => {
  readMonitored(cpu, insn, insn.reg0);
  return 'next';
};

const ARITHMETIC = RFLAGS.OF | RFLAGS.SF | RFLAGS.ZF | RFLAGS.AF | RFLAGS.PF | RFLAGS.CF;
const SHALLOW = 1;

/**
 * UMWAIT and TPAUSE may return before their deadline (SDM vol. 2, UMWAIT): they always do, so a guest that waits for a time
 * sees it pass in its own loop. CF stays clear: it was not the limit of IA32_UMWAIT_CONTROL that ended the wait.
 */
const waitInUserMode: Microcode = ({ state }, insn) => {
  if (state.cpl !== 0 && (state.cr4 & CR4.TSD) !== 0n) raise.gp(0);
  if ((state.gpr32(insn.reg0) & ~SHALLOW) !== 0) raise.gp(0);
  changeFlags(state, 0, ARITHMETIC);
  return 'next';
};

export const umwait = waitInUserMode;
export const tpause = waitInUserMode;
