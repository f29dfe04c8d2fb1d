// Instructions that change system flags: STAC and CLAC, and what is rare of STI and CLI.

import { CR4, RFLAGS } from '../../x86/names/registers.ts';
import { raise, stop } from '../fault.ts';
import type { Microcode } from './microcode.ts';

const USER_CPL = 3;

/** STI and CLI with CPL above IOPL; their semantics (x86/system.ts) know that already. */
export const refusedByIopl: Microcode = ({ state }) => {
  if (state.cpl === USER_CPL && (state.cr4 & CR4.PVI) !== 0n) {
    stop('protected-mode virtual interrupts (CR4.PVI) are not implemented', 'leave CR4.PVI clear');
  }
  return raise.gp(0);
};

/** #UD, not #GP, outside of ring 0. */
export const stac: Microcode = ({ state, mmu }) => {
  if (state.cpl !== 0) raise.ud();
  state.rflags |= RFLAGS.AC;
  mmu.selectViews();
  return 'next';
};

export const clac: Microcode = ({ state, mmu }) => {
  if (state.cpl !== 0) raise.ud();
  state.rflags &= ~RFLAGS.AC;
  mmu.selectViews();
  return 'next';
};
