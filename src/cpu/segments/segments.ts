// Segment registers: the hidden part (base, limit, attributes) that the state block holds beside each selector. Reading
// descriptors from memory is descriptors.ts's affair.

import { DPL_SHIFT, SEGMENT_ATTRIBUTE, SEGMENT_TYPE } from '../../x86/names/registers.ts';
import { segmentChanged } from './codeMode.ts';
import { OFFSET, SEGMENT_SIZE, type CpuState } from '../state.ts';

/** A segment register: its selector and hidden part. `attributes` in SEGMENT_ATTRIBUTE's layout, `limit` in bytes, inclusive. */
export interface Segment {
  readonly selector: number;
  readonly base: bigint;
  readonly limit: number;
  readonly attributes: number;
}

const LIMIT = 8;
const ATTRIBUTES = 12;
const SELECTOR_AT = 14;
/** Byte address of a segment register. */
const at = (state: CpuState, index: number): number => state.base + OFFSET.segments + SEGMENT_SIZE * index;

export const segmentBase = (state: CpuState, index: number): bigint => state.views.u64[at(state, index) >> 3]!;
export const segmentLimit = (state: CpuState, index: number): number =>
  state.views.u32[(at(state, index) + LIMIT) >> 2]!;
export const segmentAttributes = (state: CpuState, index: number): number =>
  state.views.u16[(at(state, index) + ATTRIBUTES) >> 1]!;
export const segmentSelector = (state: CpuState, index: number): number =>
  state.views.u16[(at(state, index) + SELECTOR_AT) >> 1]!;

/** A copy of a segment register, by its machine number (SEGMENT). */
export const readSegment = (state: CpuState, index: number): Segment => ({
  selector: segmentSelector(state, index),
  base: segmentBase(state, index),
  limit: segmentLimit(state, index),
  attributes: segmentAttributes(state, index),
});

/** Loads a segment register, and derives the mode of the code. CS and SS decide CPL too: `state.cpl` is the caller's to set. */
export function writeSegment(state: CpuState, index: number, { selector, base, limit, attributes }: Segment): void {
  const place = at(state, index);
  state.views.u64[place >> 3] = base;
  state.views.u32[(place + LIMIT) >> 2] = limit;
  state.views.u16[(place + ATTRIBUTES) >> 1] = attributes;
  state.views.u16[(place + SELECTOR_AT) >> 1] = selector;
  segmentChanged(state, index);
}

/** The same from plain numbers, for a base of 32 bits. */
export function writeSegmentWords(
  state: CpuState,
  index: number,
  selector: number,
  base: number,
  limit: number,
  attributes: number,
): void {
  const place = at(state, index);
  const { u16, u32 } = state.views;
  u32[place >> 2] = base;
  u32[(place + 4) >> 2] = 0;
  u32[(place + LIMIT) >> 2] = limit;
  u16[(place + ATTRIBUTES) >> 1] = attributes;
  u16[(place + SELECTOR_AT) >> 1] = selector;
  segmentChanged(state, index);
}

export const setSegmentBase = (state: CpuState, index: number, base: bigint): void => {
  state.views.u64[at(state, index) >> 3] = base;
};

/** Makes a segment register null without touching its base (SDM vol. 2, RET: segments that the new CPL may not use). */
export function nullifySegment(state: CpuState, index: number): void {
  const place = at(state, index);
  state.views.u16[(place + ATTRIBUTES) >> 1]! |= SEGMENT_ATTRIBUTE.UNUSABLE;
  state.views.u16[(place + SELECTOR_AT) >> 1] = 0;
  segmentChanged(state, index);
}

/** What loading a null selector leaves. In SS the DPL still tells the CPL. */
export const nullSegment = (selector: number, dpl = 0): Segment => ({
  selector,
  base: 0n,
  limit: 0,
  attributes: SEGMENT_ATTRIBUTE.UNUSABLE | (dpl << DPL_SHIFT),
});

const WRITABLE_DATA = SEGMENT_ATTRIBUTE.P | SEGMENT_ATTRIBUTE.S | SEGMENT_TYPE.WRITABLE | SEGMENT_TYPE.ACCESSED;

/**
 * What loading a selector leaves in real mode: the base alone is new, limit and attributes live on from protected mode, or
 * from reset ("unreal mode"). A segment that was null there becomes one that may be used.
 */
export const realModeSegment = ({ limit, attributes }: Segment, selector: number): Segment => ({
  selector,
  base: BigInt(selector << 4),
  limit,
  attributes: isUsable(attributes) ? attributes : WRITABLE_DATA,
});

const FLAT_LIMIT = 0xffff_ffff;
const FLAT = SEGMENT_ATTRIBUTE.P | SEGMENT_ATTRIBUTE.S | SEGMENT_ATTRIBUTE.G;

const flatCode = (selector: number, attributes: number): Segment => ({
  selector,
  base: 0n,
  limit: FLAT_LIMIT,
  attributes: FLAT | SEGMENT_TYPE.CODE | SEGMENT_TYPE.READABLE | SEGMENT_TYPE.ACCESSED | attributes,
});

/** The flat 64-bit code segment that SYSCALL and the like load without reading a descriptor. */
export const flatCode64 = (selector: number, dpl: number): Segment =>
  flatCode(selector, SEGMENT_ATTRIBUTE.L | (dpl << DPL_SHIFT));

/** The flat 32-bit code segment that SYSENTER and the like load outside IA-32e mode, or for code of compatibility mode. */
export const flatCode32 = (selector: number, dpl: number): Segment =>
  flatCode(selector, SEGMENT_ATTRIBUTE.DB | (dpl << DPL_SHIFT));

/** The flat data segment that goes with it. */
export const flatData = (selector: number, dpl: number): Segment => ({
  selector,
  base: 0n,
  limit: FLAT_LIMIT,
  attributes: FLAT | SEGMENT_ATTRIBUTE.DB | SEGMENT_TYPE.WRITABLE | SEGMENT_TYPE.ACCESSED | (dpl << DPL_SHIFT),
});

// Predicates on attributes

export const dplOf = (attributes: number): number => (attributes & SEGMENT_ATTRIBUTE.DPL) >> DPL_SHIFT;
export const isPresent = (attributes: number): boolean => (attributes & SEGMENT_ATTRIBUTE.P) !== 0;
export const isUsable = (attributes: number): boolean => (attributes & SEGMENT_ATTRIBUTE.UNUSABLE) === 0;
const isCodeOrData = (attributes: number): boolean => (attributes & SEGMENT_ATTRIBUTE.S) !== 0;
export const isCode = (attributes: number): boolean =>
  isCodeOrData(attributes) && (attributes & SEGMENT_TYPE.CODE) !== 0;
export const isData = (attributes: number): boolean =>
  isCodeOrData(attributes) && (attributes & SEGMENT_TYPE.CODE) === 0;
export const isConforming = (attributes: number): boolean =>
  isCode(attributes) && (attributes & SEGMENT_TYPE.CONFORMING) !== 0;
export const isWritableData = (attributes: number): boolean =>
  isData(attributes) && (attributes & SEGMENT_TYPE.WRITABLE) !== 0;
/** Data, or code that may be read. */
export const isReadable = (attributes: number): boolean =>
  isData(attributes) || (isCode(attributes) && (attributes & SEGMENT_TYPE.READABLE) !== 0);
/** The type of a system descriptor (SYSTEM_TYPE); -1 for code and data. */
export const systemType = (attributes: number): number =>
  isCodeOrData(attributes) ? -1 : attributes & SEGMENT_ATTRIBUTE.TYPE;
export const is64BitCode = (attributes: number): boolean =>
  isCode(attributes) && (attributes & SEGMENT_ATTRIBUTE.L) !== 0 && (attributes & SEGMENT_ATTRIBUTE.DB) === 0;
