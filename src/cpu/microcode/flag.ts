// Instructions that change system flags: STI, CLI, POPF, STAC, CLAC.

import { CR4, RFLAGS, SHADOW } from '../../x86/names/registers.ts';
import { raise, stop } from '../fault.ts';
import { iopl, readRflags, writeRflags } from '../rflags.ts';
import { Stack } from '../segments/stack.ts';
import type { CpuState } from '../state.ts';
import { changeFlags } from './checks.ts';
import type { Microcode } from './microcode.ts';

const USER_CPL = 3;

function requireInterruptPrivilege(state: CpuState): void {
  if (state.cpl <= iopl(state)) return;
  if (state.cpl === USER_CPL && (state.cr4 & CR4.PVI) !== 0n) {
    stop('protected-mode virtual interrupts (CR4.PVI) are not implemented', 'leave CR4.PVI clear');
  }
  raise.gp(0);
}

/** Interrupts stay blocked for one more instruction if they were disabled. */
export const sti: Microcode = ({ state }) => {
  requireInterruptPrivilege(state);
  if ((state.rflags & RFLAGS.IF) === 0) {
    state.rflags |= RFLAGS.IF;
    state.shadow |= SHADOW.STI;
  }
  return 'end';
};

export const cli: Microcode = ({ state }) => {
  requireInterruptPrivilege(state);
  state.rflags &= ~RFLAGS.IF;
  return 'next';
};

/** What POPF loads at any privilege; RF is cleared, VM, VIF and VIP stay. */
const ALWAYS =
  RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.TF | RFLAGS.DF | RFLAGS.OF | RFLAGS.NT; // prettier-ignore

export const popf: Microcode = (cpu, insn) => {
  const { state, mmu } = cpu;
  const stack = Stack.current(cpu);
  const image = Number(stack.pop(insn.width) & 0xffff_ffffn);
  let loaded: number = insn.width === 2 ? ALWAYS : ALWAYS | RFLAGS.AC | RFLAGS.ID;
  if (state.cpl <= iopl(state)) loaded |= RFLAGS.IF;
  if (state.cpl === 0) loaded |= RFLAGS.IOPL;
  writeRflags(state, (readRflags(state) & ~(loaded | RFLAGS.RF)) | (image & loaded));
  stack.commit();
  mmu.selectViews();
  return 'end';
};

/** #UD, not #GP, outside of ring 0. */
export const stac: Microcode = ({ state, mmu }) => {
  if (state.cpl !== 0) raise.ud();
  changeFlags(state, RFLAGS.AC, 0);
  mmu.selectViews();
  return 'next';
};

export const clac: Microcode = ({ state, mmu }) => {
  if (state.cpl !== 0) raise.ud();
  changeFlags(state, 0, RFLAGS.AC);
  mmu.selectViews();
  return 'next';
};
