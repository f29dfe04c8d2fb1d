// Checks of code and stack segments that far transfers and returns share (SDM vol. 2, IRET, JMP, CALL and RET).

import { SEGMENT, SEGMENT_ATTRIBUTE } from '../../x86/names/registers.ts';
import { isNull, readDescriptor, rplOf, segmentOf, selectorError, type Descriptor } from '../descriptors.ts';
import { markAccessed } from '../descriptors.ts';
import { raise, stop } from '../fault.ts';
import { dplOf, is64BitCode, isCode, isConforming, isData, isPresent, isUsable, isWritableData } from '../segments.ts';
import { nullSegment, nullifySegment, segmentAttributes, writeSegment, type Segment } from '../segments.ts';
import type { CpuState } from '../state.ts';
import type { MicrocodeCpu } from './microcode.ts';

/** Code that 64-bit mode may transfer to. Other code means compatibility mode, which is not implemented. */
function require64Bit({ attributes }: Descriptor, selector: number): void {
  if (is64BitCode(attributes)) return;
  if ((attributes & SEGMENT_ATTRIBUTE.L) !== 0) raise.gp(selectorError(selector));
  stop(
    `a transfer to 32-bit or 16-bit code (selector 0x${selector.toString(16)}): compatibility mode is not implemented yet`,
    'use a code segment with L = 1 and D = 0',
  );
}

/** The target of JMP FAR or CALL FAR without a gate. */
export function checkDirectTarget(state: CpuState, code: Descriptor, selector: number): void {
  const error = selectorError(selector);
  const dpl = dplOf(code.attributes);
  if (isConforming(code.attributes)) {
    if (dpl > state.cpl) raise.gp(error);
  } else if (rplOf(selector) > state.cpl || dpl !== state.cpl) raise.gp(error);
  if (!isPresent(code.attributes)) raise.np(error);
  require64Bit(code, selector);
}

/** The code segment that IRET or RET FAR goes back to: never to more privilege. */
export function readReturnCode(cpu: MicrocodeCpu, selector: number): Descriptor {
  if (isNull(selector)) raise.gp(0);
  const error = selectorError(selector);
  const rpl = rplOf(selector);
  const code = readDescriptor(cpu, selector) ?? raise.gp(error);
  if (!isCode(code.attributes) || rpl < cpu.state.cpl) raise.gp(error);
  const dpl = dplOf(code.attributes);
  if (isConforming(code.attributes) ? dpl > rpl : dpl !== rpl) raise.gp(error);
  if (!isPresent(code.attributes)) raise.np(error);
  require64Bit(code, selector);
  return code;
}

/**
 * The stack segment of a return to `cpl`, or of a load of SS at that privilege: null is fine in 64-bit mode outside of ring
 * 3. Null for a null selector.
 */
export function readStackSegment(cpu: MicrocodeCpu, selector: number, cpl: number): Descriptor | null {
  if (isNull(selector)) {
    if (cpl === 3 || rplOf(selector) !== cpl) raise.gp(0);
    return null;
  }
  const error = selectorError(selector);
  const stack = readDescriptor(cpu, selector) ?? raise.gp(error);
  if (rplOf(selector) !== cpl || !isWritableData(stack.attributes) || dplOf(stack.attributes) !== cpl) raise.gp(error);
  if (!isPresent(stack.attributes)) raise.ss(error);
  return stack;
}

/** Marks a stack segment accessed, and gives the segment register it makes. */
export function takeStackSegment(cpu: MicrocodeCpu, stack: Descriptor | null, selector: number, cpl: number): Segment {
  if (stack === null) return nullSegment(selector, cpl);
  markAccessed(cpu, stack);
  return segmentOf(stack, selector);
}

const DATA_SEGMENTS = [SEGMENT.ES, SEGMENT.DS, SEGMENT.FS, SEGMENT.GS];

/** Goes to `cpl` and takes away the data segments that it may not use. */
export function returnToCpl(cpu: MicrocodeCpu, cpl: number): void {
  const { state } = cpu;
  if (cpl === state.cpl) return;
  state.cpl = cpl;
  for (const segment of DATA_SEGMENTS) {
    const attributes = segmentAttributes(state, segment);
    const guarded = isData(attributes) || (isCode(attributes) && !isConforming(attributes));
    if (isUsable(attributes) && guarded && dplOf(attributes) < cpl) nullifySegment(state, segment);
  }
  cpu.mmu.selectViews();
}

/** Loads CS from a checked descriptor; CPL is the caller's to change. */
export function loadCs(state: CpuState, code: Descriptor, selector: number, cpl: number): void {
  writeSegment(state, SEGMENT.CS, segmentOf(code, selector, cpl));
}
