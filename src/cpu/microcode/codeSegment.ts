// Checks of code and stack segments that far transfers and returns share (SDM vol. 2, IRET, JMP, CALL and RET).

import { GPR, SEGMENT, SEGMENT_ATTRIBUTE } from '../../x86/names/registers.ts';
import { is64BitMode, isLongMode } from '../segments/codeMode.ts';
import { isNull, readDescriptor, rplOf, segmentOf, selectorError, type Descriptor } from '../segments/descriptors.ts';
import { markAccessed } from '../segments/descriptors.ts';
import { raise } from '../fault.ts';
import { dplOf, isCode, isConforming, isData, isPresent, isUsable, isWritableData } from '../segments/segments.ts';
import { nullSegment, nullifySegment, readSegment, realModeSegment, segmentAttributes } from '../segments/segments.ts';
import { segmentLimit, writeSegment, type Segment } from '../segments/segments.ts';
import { Stack } from '../segments/stack.ts';
import type { CpuState } from '../state.ts';
import type { MicrocodeCpu } from './microcode.ts';

const LONG_AND_32 = SEGMENT_ATTRIBUTE.L | SEGMENT_ATTRIBUTE.DB;

/** L and D together are reserved in IA-32e mode. */
function requireKnownSize(state: CpuState, { attributes }: Descriptor, error: number): void {
  if ((attributes & LONG_AND_32) === LONG_AND_32 && isLongMode(state)) raise.gp(error);
}

/** The target of JMP FAR or CALL FAR without a gate. */
export function checkDirectTarget(state: CpuState, code: Descriptor, selector: number): void {
  const error = selectorError(selector);
  const dpl = dplOf(code.attributes);
  requireKnownSize(state, code, error);
  if (isConforming(code.attributes)) {
    if (dpl > state.cpl) raise.gp(error);
  } else if (rplOf(selector) > state.cpl || dpl !== state.cpl) raise.gp(error);
  if (!isPresent(code.attributes)) raise.np(error);
}

/** The code segment that IRET or RET FAR goes back to: never to more privilege. */
export function readReturnCode(cpu: MicrocodeCpu, selector: number): Descriptor {
  if (isNull(selector)) raise.gp(0);
  const error = selectorError(selector);
  const rpl = rplOf(selector);
  const code = readDescriptor(cpu, selector) ?? raise.gp(error);
  if (!isCode(code.attributes) || rpl < cpu.state.cpl) raise.gp(error);
  requireKnownSize(cpu.state, code, error);
  const dpl = dplOf(code.attributes);
  if (isConforming(code.attributes) ? dpl > rpl : dpl !== rpl) raise.gp(error);
  if (!isPresent(code.attributes)) raise.np(error);
  return code;
}

/**
 * The stack segment of a return to `cpl`, or of a load of SS at that privilege. Null for a null selector, which only 64-bit code
 * outside of ring 3 may have.
 */
export function readStackSegment(
  cpu: MicrocodeCpu,
  selector: number,
  cpl: number,
  for64Bit: boolean,
): Descriptor | null {
  if (isNull(selector)) {
    if (!for64Bit || cpl === 3 || rplOf(selector) !== cpl) raise.gp(0);
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

/** Loads SS and RSP for the code that is returned to, whose CS is loaded; `released` bytes are taken off that stack. */
export function loadStack(cpu: MicrocodeCpu, segment: Segment, for64Bit: boolean, pointer: bigint, released = 0): void {
  writeSegment(cpu.state, SEGMENT.SS, segment);
  const stack = Stack.other(cpu, for64Bit ? null : segment, pointer, 0);
  stack.release(released);
  stack.commit();
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

/**
 * Loads CS from a checked descriptor; CPL is the caller's to change. Code that comes from 64-bit mode sees its stack with 32 bits
 * of RSP, and so must interrupts: the upper half is not preserved (SDM vol. 1, 3.4.1.1).
 */
export function loadCs(state: CpuState, code: Descriptor, selector: number, cpl: number): void {
  const was64Bit = is64BitMode(state);
  writeSegment(state, SEGMENT.CS, segmentOf(code, selector, cpl));
  if (was64Bit && !is64BitMode(state)) state.setGpr32(GPR.RSP, state.gpr32(GPR.RSP));
}

/** Loads CS and RIP in real mode. #GP(0) beyond the limit, which stays what it is. */
export function goInRealMode(state: CpuState, selector: number, offset: bigint): void {
  requireWithinRealCode(state, offset);
  writeSegment(state, SEGMENT.CS, realModeSegment(readSegment(state, SEGMENT.CS), selector));
  state.rip = offset;
}

export function requireWithinRealCode(state: CpuState, offset: bigint): void {
  if (offset > BigInt(segmentLimit(state, SEGMENT.CS))) raise.gp(0);
}
