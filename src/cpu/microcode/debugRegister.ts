// Moves to and from debug registers. What breakpoints match: breakpoints.ts.

import { CR4, DR6, DR7 } from '../../x86/names/registers.ts';
import { EXIT } from '../exit.ts';
import { raise } from '../fault.ts';
import { DR_QUALIFICATION, vmExit } from '../vmexit.ts';
import { is64BitMode } from '../segments/codeMode.ts';
import { OFFSET, type CpuState } from '../state.ts';
import { requireRing0, writeNaturalGpr } from './checks.ts';
import type { Microcode, MicrocodeCpu, Operands } from './microcode.ts';

const LAST = 7;
/** DR4 and DR5 are other names of DR6 and DR7 while CR4.DE = 0. */
const isAlias = (dr: number): boolean => dr === 4 || dr === 5;

/** What both directions check, in the order of SDM vol. 3, 25.1.3: the exit comes before most faults. Gives the register. */
function checkAccess(
  { state, controls }: MicrocodeCpu,
  insn: Operands,
  dr: number,
  gpr: number,
  direction: number,
): number {
  if (dr > LAST) raise.ud();
  if (controls.movDrExiting) {
    vmExit(state, EXIT.DR_ACCESS, insn.length, BigInt(dr | direction | (gpr << DR_QUALIFICATION.GPR_SHIFT)));
  }
  const aliased = isAlias(dr);
  if (aliased && (state.cr4 & CR4.DE) !== 0n) raise.ud();
  requireRing0(state);
  if ((state.low(OFFSET.dr + 8 * 7) & GD) !== 0) raise.db(DR6.BD);
  return aliased ? dr + 2 : dr;
}

const WRITABLE_DR6 = Number(DR6.B0 | DR6.B1 | DR6.B2 | DR6.B3 | DR6.BD | DR6.BS | DR6.BT);
const FIXED_DR6 = Number(DR6.FIXED);
/** Bits 12, 14 and 15 of DR7 are always 0, bit 10 is always 1; 11 (RTM) is not offered. */
const UNDEFINED_DR7 = 0xd800;
const FIXED_DR7 = Number(DR7.FIXED);
const GD = Number(DR7.GD);
/** Index of the low word of a debug register; the high one follows. */
const wordOf = (state: CpuState, dr: number): number => ((state.base + OFFSET.dr) >> 2) + 2 * dr;

/** MOV DRn, r64; r32 outside 64-bit mode. DR0 to DR3 take any address (SDM vol. 3, 17.2.6). */
export const movToDr: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const dr = checkAccess(cpu, insn, insn.reg0, insn.reg1, 0);
  const low = state.gpr32(insn.reg1);
  const high = is64BitMode(state) ? state.gprHigh(insn.reg1) : 0;
  if (dr >= 6 && high !== 0) raise.gp(0);
  const { u32 } = state.views;
  const at = wordOf(state, dr);
  u32[at] = dr === 6 ? (low & WRITABLE_DR6) | FIXED_DR6 : dr === 7 ? (low & ~UNDEFINED_DR7) | FIXED_DR7 : low;
  u32[at + 1] = high;
  return dr !== 6 && cpu.mmu.breakpointsChanged() ? 'end' : 'next';
};

/** MOV r64, DRn; r32 outside 64-bit mode. */
export const movFromDr: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const dr = checkAccess(cpu, insn, insn.reg1, insn.reg0, DR_QUALIFICATION.READ);
  const value = state.views.u64[wordOf(state, dr) >> 1]!;
  const fixed = dr === 6 ? DR6.FIXED : dr === 7 ? DR7.FIXED : 0n;
  writeNaturalGpr(state, insn.reg0, value | fixed);
  return 'next';
};
