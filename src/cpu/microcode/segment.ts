// Loads and stores of the data segment registers, and of the bases of FS and GS.

import { CR4, DR6, SEGMENT, SHADOW } from '../../x86/names/registers.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { is64BitMode, isRealMode } from '../segments/codeMode.ts';
import { isNull, markAccessed, readDescriptor, rplOf, segmentOf, selectorError } from '../segments/descriptors.ts';
import { raise } from '../fault.ts';
import {
  dplOf,
  isConforming,
  isPresent,
  isReadable,
  nullSegment,
  readSegment,
  segmentBase,
} from '../segments/segments.ts';
import { realModeSegment, segmentSelector, setSegmentBase, writeSegment, type Segment } from '../segments/segments.ts';
import { Stack } from '../segments/stack.ts';
import type { CpuState } from '../state.ts';
import { readFarPointer, readWordOperand, storeWord, truncate, writeGpr } from './checks.ts';
import { readStackSegment, takeStackSegment } from './codeSegment.ts';
import type { Microcode, MicrocodeCpu, Outcome } from './microcode.ts';

/** Checks a selector for a data segment register and gives what it loads (SDM vol. 2, MOV). Not for CS. */
function takeSegment(cpu: MicrocodeCpu, segment: number, selector: number): Segment {
  const { state } = cpu;
  const { cpl } = state;
  if (isRealMode(state)) return realModeSegment(readSegment(state, segment), selector);
  if (segment === SEGMENT.SS) {
    return takeStackSegment(cpu, readStackSegment(cpu, selector, cpl, is64BitMode(state)), selector, cpl);
  }
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

/** Loads a data segment register. Code that follows may have been decoded for other segments: then the block ends. */
function load(state: CpuState, segment: number, value: Segment): Outcome {
  const { mode } = state;
  writeSegment(state, segment, value);
  return state.mode === mode ? 'next' : 'end';
}

/** As `load`; a load of SS holds interrupts and debug traps off; the single-step trap never comes (SDM vol. 3, 6.8.3). */
function loadAndShadow(state: CpuState, segment: number, value: Segment): Outcome {
  const outcome = load(state, segment, value);
  if (segment !== SEGMENT.SS) return outcome;
  state.shadow |= SHADOW.MOV_SS;
  state.pendingDb &= ~Number(DR6.BS);
  return 'end';
}

/** MOV Sreg, r/m16. */
export const loadSegment: Microcode = (cpu, insn) => {
  const segment = insn.reg0;
  if (segment === SEGMENT.CS || segment > SEGMENT.GS) raise.ud();
  return loadAndShadow(cpu.state, segment, takeSegment(cpu, segment, readWordOperand(cpu, insn, insn.reg1)));
};

/** MOV r/m16, Sreg. */
export const storeSegment: Microcode = (cpu, insn) => {
  const segment = insn.isMemory ? insn.reg0 : insn.reg1;
  if (segment > SEGMENT.GS) raise.ud();
  storeWord(cpu, insn, BigInt(segmentSelector(cpu.state, segment)));
  return 'next';
};

/** In a doubleword's place recent processors write a word and leave the upper half alone (SDM vol. 2, PUSH). */
export const pushSegment: Microcode = (cpu, insn) => {
  const stack = Stack.current(cpu);
  stack.push(insn.width, BigInt(segmentSelector(cpu.state, insn.reg0)), insn.width === 4 ? 2 : insn.width);
  stack.commit();
  return 'next';
};

/** Of POP SS the stack is the one before. */
export const popSegment: Microcode = (cpu, insn) => {
  const stack = Stack.current(cpu);
  const selector = Number(truncate(stack.pop(insn.width), 2));
  const value = takeSegment(cpu, insn.reg0, selector);
  stack.commit();
  return loadAndShadow(cpu.state, insn.reg0, value);
};

/** LSS, LDS and the like: a far pointer into a segment register and a general one. */
const loadFarPointer =
  (segment: number): Microcode =>
  (cpu, insn) => {
    const { offset, selector } = readFarPointer(cpu, insn);
    const value = takeSegment(cpu, segment, selector);
    writeGpr(cpu.state, insn.reg0, insn.width, offset);
    const outcome = load(cpu.state, segment, value);
    return segment === SEGMENT.SS ? 'end' : outcome;
  };

export const les = loadFarPointer(SEGMENT.ES);
export const lds = loadFarPointer(SEGMENT.DS);
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
