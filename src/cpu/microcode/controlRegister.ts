// Moves to and from control registers, CLTS, LMSW, SMSW. CR0 and CR4 have bits that the hypervisor owns: the guest reads
// them from a shadow, and exits when it would change them (SDM vol. 3, 24.6.6 and 25.1.3).

import { CR0 } from '../../x86/names/registers.ts';
import type { OwnedBits } from '../controls.ts';
import { setCr0, setCr3, setCr4, setCr8 } from '../controlRegisters.ts';
import { EXIT } from '../exit.ts';
import { raise } from '../fault.ts';
import { OFFSET } from '../state.ts';
import { LOADING } from '../memory/pdptes.ts';
import { highWord, lowWord } from '../words.ts';
import { readVirtualCr8, writeVirtualCr8 } from '../virtualApic.ts';
import { CR_QUALIFICATION, leaveGuest } from '../vmexit.ts';
import {
  readNaturalGpr,
  readWordOperand,
  requireRing0,
  requireUnprevented,
  storeWord,
  writeNaturalGpr,
} from './checks.ts';
import type { Microcode, MicrocodeCpu, Operands, Outcome } from './microcode.ts';

const asGuestSees = (real: bigint, { mask, shadow }: OwnedBits): bigint => (shadow & mask) | (real & ~mask);
const keepOwned = (value: bigint, real: bigint, { mask }: OwnedBits): bigint => (value & ~mask) | (real & mask);
const keepOwnedHalf = (value: number, real: number, mask: number): number => ((value & ~mask) | (real & mask)) >>> 0;

function changesOwned(value: bigint, { mask, shadow }: OwnedBits): boolean {
  if (((lowWord(value) ^ lowWord(shadow)) & lowWord(mask)) !== 0) return true;
  return ((highWord(value) ^ highWord(shadow)) & highWord(mask)) !== 0;
}

const qualificationOf = (cr: number, type: number, gpr: number): number =>
  cr | (type << CR_QUALIFICATION.TYPE_SHIFT) | (gpr << CR_QUALIFICATION.GPR_SHIFT);

function exitCr(cpu: MicrocodeCpu, insn: Operands, cr: number, type: number, gpr: number, value: bigint): Outcome {
  return leaveGuest(cpu.state, EXIT.CR_ACCESS, insn.length, qualificationOf(cr, type, gpr), value);
}

/** Changes of CR0 behind which code may be other code. */
const ENDING_CR0 = CR0.PE | LOADING.CR0;

/** MOV CRn, r64; r32 outside 64-bit mode. */
export const movToCr: Microcode = (cpu, insn) => {
  const { state, controls } = cpu;
  const { reg0: cr, reg1: gpr } = insn;
  const value = readNaturalGpr(state, gpr);
  const exit = (): Outcome => exitCr(cpu, insn, cr, CR_QUALIFICATION.WRITE, gpr, value);
  const commit = (accepted: boolean): void => void (accepted || raise.gp(0));
  requireExisting(cr);
  requireRing0(state);
  switch (cr) {
    case 0: {
      if (changesOwned(value, controls.cr0)) return exit();
      const old = state.cr0;
      commit(setCr0(cpu, keepOwned(value, old, controls.cr0)));
      return ((state.cr0 ^ old) & ENDING_CR0) === 0n ? 'next' : 'end';
    }
    case 2:
      state.cr2 = value;
      return 'next';
    case 3:
      if (controls.cr3LoadExiting) return exit();
      commit(setCr3(cpu, value));
      break;
    case 4:
      if (changesOwned(value, controls.cr4)) return exit();
      commit(writeCr4(cpu, value));
      break;
    default:
      if (controls.cr8LoadExiting) return exit();
      commit(setCr8(cpu, value));
      return controls.virtualApic === null ? 'next' : writeVirtualCr8(state, controls.virtualApic, value);
  }
  return 'end';
};

function writeCr4(cpu: MicrocodeCpu, value: bigint): boolean {
  const { mask } = cpu.controls.cr4;
  const low = keepOwnedHalf(lowWord(value), cpu.state.low(OFFSET.cr4), lowWord(mask));
  return setCr4(cpu, low, keepOwnedHalf(highWord(value), 0, highWord(mask)));
}

/** MOV r64, CRn; r32 outside 64-bit mode. */
export const movFromCr: Microcode = (cpu, insn) => {
  const { state, controls } = cpu;
  const { reg0: gpr, reg1: cr } = insn;
  requireExisting(cr);
  requireRing0(state);
  if ((cr === 3 && controls.cr3StoreExiting) || (cr === 8 && controls.cr8StoreExiting)) {
    return exitCr(cpu, insn, cr, CR_QUALIFICATION.READ, gpr, 0n);
  }
  writeNaturalGpr(state, gpr, readCr(cpu, cr));
  return 'next';
};

function readCr({ state, controls }: MicrocodeCpu, cr: number): bigint {
  switch (cr) {
    case 0:
      return asGuestSees(state.cr0, controls.cr0);
    case 2:
      return state.cr2;
    case 3:
      return state.cr3;
    case 4:
      return asGuestSees(state.cr4, controls.cr4);
    default:
      return controls.virtualApic === null ? state.cr8 : readVirtualCr8(controls.virtualApic);
  }
}

/** Bit n: there is a CRn. */
const EXISTING = (1 << 0) | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 8);

function requireExisting(cr: number): void {
  if (((EXISTING >> cr) & 1) === 0) raise.ud();
}

export const clts: Microcode = (cpu, insn) => {
  const { state, controls } = cpu;
  requireRing0(state);
  if ((controls.cr0.mask & CR0.TS) !== 0n) {
    if ((controls.cr0.shadow & CR0.TS) !== 0n) return exitCr(cpu, insn, 0, CR_QUALIFICATION.CLTS, 0, 0n);
  } else state.cr0 &= ~CR0.TS;
  return 'next';
};

const LMSW_BITS = CR0.PE | CR0.MP | CR0.EM | CR0.TS;
const LMSW_SOURCE_SHIFT = 16n;

/** LMSW sets PE but never clears it. */
export const lmsw: Microcode = (cpu, insn) => {
  const { state, controls } = cpu;
  requireRing0(state);
  const source = BigInt(readWordOperand(cpu, insn, insn.reg0));
  const { mask, shadow } = controls.cr0;
  const given = source & LMSW_BITS;
  const differing = (given ^ shadow) & mask & LMSW_BITS;
  const clearsOnlyPe = differing === CR0.PE && (given & CR0.PE) === 0n;
  if (differing !== 0n && !clearsOnlyPe) {
    const qualification = (source << LMSW_SOURCE_SHIFT) | BigInt(CR_QUALIFICATION.LMSW << CR_QUALIFICATION.TYPE_SHIFT);
    return leaveGuest(state, EXIT.CR_ACCESS, insn.length, qualification, source);
  }
  const value = (state.cr0 & ~(LMSW_BITS & ~CR0.PE)) | given;
  if (!setCr0(cpu, keepOwned(value, state.cr0, controls.cr0))) raise.gp(0);
  return 'end';
};

export const smsw: Microcode = (cpu, insn) => {
  requireUnprevented(cpu.state);
  storeWord(cpu, insn, asGuestSees(cpu.state.cr0, cpu.controls.cr0));
  return 'next';
};
