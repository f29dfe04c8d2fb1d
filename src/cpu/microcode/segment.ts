// Loads and stores of the data segment registers, and of the bases of FS and GS.

import { CR4, DR6, GPR, SEGMENT, SHADOW } from '../../x86/names/registers.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { isNull, markAccessed, readDescriptor, rplOf, segmentOf, selectorError } from '../descriptors.ts';
import { raise } from '../fault.ts';
import { dplOf, isConforming, isPresent, isReadable, nullSegment, segmentBase, segmentSelector } from '../segments.ts';
import { setSegmentBase, writeSegment, type Segment } from '../segments.ts';
import { operandAccess, readWordOperand, storeWord, truncate, writeGpr } from './checks.ts';
import { readStackSegment, takeStackSegment } from './codeSegment.ts';
import type { Microcode, MicrocodeCpu } from './microcode.ts';

/** Checks a selector for a data segment register and gives what it loads (SDM vol. 2, MOV). Not for CS. */
function takeSegment(cpu: MicrocodeCpu, segment: number, selector: number): Segment {
  const { cpl } = cpu.state;
  if (segment === SEGMENT.SS) return takeStackSegment(cpu, readStackSegment(cpu, selector, cpl), selector, cpl);
  if (isNull(selector)) return nullSegment(selector);
  const error = selectorError(selector);
  const descriptor = readDescriptor(cpu, selector) ?? raise.gp(error);
  const { attributes } = descriptor;
  if (!isReadable(attributes)) raise.gp(error);
  if (!isConforming(attributes) && Math.max(rplOf(selector), cpl) > dplOf(attributes)) raise.gp(error);
  if (!isPresent(attributes)) raise.np(error);
  markAccessed(cpu, descriptor);
  return segmentOf(descriptor, selector);
}

/** MOV Sreg, r/m16. */
export const loadSegment: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const segment = insn.reg0;
  if (segment === SEGMENT.CS || segment > SEGMENT.GS) raise.ud();
  writeSegment(state, segment, takeSegment(cpu, segment, readWordOperand(cpu, insn, insn.reg1)));
  if (segment !== SEGMENT.SS) return 'next';
  state.shadow |= SHADOW.MOV_SS; // holds off debug traps too; the single-step trap never comes (SDM vol. 3, 6.8.3)
  state.pendingDb &= ~Number(DR6.BS);
  return 'end';
};

/** MOV r/m16, Sreg. */
export const storeSegment: Microcode = (cpu, insn) => {
  const segment = insn.isMemory ? insn.reg0 : insn.reg1;
  if (segment > SEGMENT.GS) raise.ud();
  storeWord(cpu, insn, BigInt(segmentSelector(cpu.state, segment)));
  return 'next';
};

export const pushSegment: Microcode = ({ state, mmu }, insn) => {
  const rsp = BigInt.asUintN(64, state.gpr(GPR.RSP) - BigInt(insn.width));
  mmu.write(rsp, insn.width, BigInt(segmentSelector(state, insn.reg0)), 'stack');
  state.setGpr(GPR.RSP, rsp);
  return 'next';
};

export const popSegment: Microcode = (cpu, insn) => {
  const { state, mmu } = cpu;
  const rsp = state.gpr(GPR.RSP);
  const selector = Number(truncate(mmu.read(rsp, insn.width, 'stack'), 2));
  writeSegment(state, insn.reg0, takeSegment(cpu, insn.reg0, selector));
  state.setGpr(GPR.RSP, BigInt.asUintN(64, rsp + BigInt(insn.width)));
  return 'next';
};

/** LSS, LFS, LGS: a far pointer into a segment register and a general one. */
const loadFarPointer =
  (segment: number): Microcode =>
  (cpu, insn) => {
    const access = operandAccess(insn);
    const offset = cpu.mmu.read(insn.address, insn.width, access);
    const selector = Number(cpu.mmu.read(BigInt.asUintN(64, insn.address + BigInt(insn.width)), 2, access));
    writeSegment(cpu.state, segment, takeSegment(cpu, segment, selector));
    writeGpr(cpu.state, insn.reg0, insn.width, offset);
    return segment === SEGMENT.SS ? 'end' : 'next';
  };

export const lss = loadFarPointer(SEGMENT.SS);
export const lfs = loadFarPointer(SEGMENT.FS);
export const lgs = loadFarPointer(SEGMENT.GS);

function requireFsGsBase({ state }: MicrocodeCpu): void {
  if ((state.cr4 & CR4.FSGSBASE) === 0n) raise.ud();
}

const readBase =
  (segment: number): Microcode =>
  (cpu, insn) => {
    requireFsGsBase(cpu);
    writeGpr(cpu.state, insn.reg0, insn.width, segmentBase(cpu.state, segment));
    return 'next';
  };

const writeBase =
  (segment: number): Microcode =>
  (cpu, insn) => {
    requireFsGsBase(cpu);
    const base = truncate(cpu.state.gpr(insn.reg0), insn.width);
    if (!isCanonicalAddress(base)) raise.gp(0);
    setSegmentBase(cpu.state, segment, base);
    return 'next';
  };

export const rdfsbase = readBase(SEGMENT.FS);
export const rdgsbase = readBase(SEGMENT.GS);
export const wrfsbase = writeBase(SEGMENT.FS);
export const wrgsbase = writeBase(SEGMENT.GS);
