// What the processor reads of the current task-state segment, in each of its three layouts (SDM vol. 3, 7.2.1, 7.6 and 7.7):
// the stacks of more privilege. The I/O permission bitmap is in microcode/io.ts; tasks are not switched.

import { SEGMENT, SELECTOR, SYSTEM_TYPE, TSS16, TSS32, TSS64 } from '../../x86/names/registers.ts';
import { isLongMode } from '../segments/codeMode.ts';
import { isNull, readDescriptor, rplOf, segmentOf, selectorError, type Descriptor } from '../segments/descriptors.ts';
import { raise } from '../fault.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { dplOf, isPresent, isWritableData, nullSegment, segmentAttributes, segmentBase } from '../segments/segments.ts';
import { segmentLimit, segmentSelector, systemType, type Segment } from '../segments/segments.ts';
import { Stack } from '../segments/stack.ts';
import type { CpuState } from '../state.ts';

/** A field of the TSS of 2, 4 or 8 bytes; the caller has checked the limit. */
const readField = ({ state, mmu }: MicrocodeCpu, field: number, bytes: number): bigint =>
  mmu.read(BigInt.asUintN(64, segmentBase(state, SEGMENT.TR) + BigInt(field)), bytes, 'system');

/** #TS of the TSS itself, unless it holds all bytes up to and with `last`. */
function requireWithin(state: CpuState, last: number, ext: number): void {
  if (last <= segmentLimit(state, SEGMENT.TR)) return;
  raise.ts((segmentSelector(state, SEGMENT.TR) & ~SELECTOR.RPL) | ext);
}

/** A stack pointer from the 64-bit TSS; #TS if the TSS is too short. */
export function stackFromTss(cpu: MicrocodeCpu, field: number, ext: number): bigint {
  requireWithin(cpu.state, field + 7, ext);
  return readField(cpu, field, 8);
}

/** Whether TR holds a 16-bit TSS, which only 16- and 32-bit protected mode know. */
export function is16BitTss(state: CpuState): boolean {
  const type = systemType(segmentAttributes(state, SEGMENT.TR));
  return type === SYSTEM_TYPE.TSS16_AVAILABLE || type === SYSTEM_TYPE.TSS16_BUSY;
}

/** SS:ESP of a privilege level. */
function readPointer(cpu: MicrocodeCpu, cpl: number, ext: number): { selector: number; pointer: bigint } {
  const narrow = is16BitTss(cpu.state);
  const bytes = narrow ? 2 : 4;
  const field = narrow ? TSS16.SP0 + 4 * cpl : TSS32.ESP0 + 8 * cpl;
  requireWithin(cpu.state, field + bytes + 1, ext);
  return { selector: Number(readField(cpu, field + bytes, 2)), pointer: readField(cpu, field, bytes) };
}

/** A stack of more privilege. */
export interface InnerStack {
  readonly stack: Stack;
  /** What SS will hold. */
  readonly segment: Segment;
  /** Its descriptor, to be marked accessed; null in IA-32e mode, where SS becomes null. */
  readonly descriptor: Descriptor | null;
}

/** The stack that the TSS names for a privilege level, after the checks of SDM vol. 2, CALL and INT n. */
export function innerStack(cpu: MicrocodeCpu, cpl: number, ext: number): InnerStack {
  if (isLongMode(cpu.state)) {
    const pointer = stackFromTss(cpu, TSS64.RSP0 + 8 * cpl, ext);
    return { stack: Stack.other(cpu, null, pointer, ext), segment: nullSegment(cpl, cpl), descriptor: null };
  }
  const { selector, pointer } = readPointer(cpu, cpl, ext);
  if (isNull(selector)) raise.ts(ext);
  const error = selectorError(selector) | ext;
  const descriptor = readDescriptor(cpu, selector) ?? raise.ts(error);
  const { attributes } = descriptor;
  if (rplOf(selector) !== cpl || dplOf(attributes) !== cpl || !isWritableData(attributes)) raise.ts(error);
  if (!isPresent(attributes)) raise.ss(error);
  const segment = segmentOf(descriptor, selector);
  return { stack: Stack.other(cpu, segment, pointer, error), segment, descriptor };
}
