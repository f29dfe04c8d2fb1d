// The modes that code is decoded and executed in, as one number: operating mode (SDM vol. 3, 2.2), default sizes of CS and SS,
// and whether segmentation can be felt. Derived from CR0, EFER and the segment registers; nothing is kept that these do not say.
//
// Theory. Segmentation costs an addition and two comparisons an access, and most 32-bit code never feels it: its segments all
// begin at 0 and end at 4 GiB. So 32-bit code is executed in one of two ways. FLAT knows that CS, SS, DS and ES are such
// segments, and that the stack is 32 bits wide; SEGMENTED assumes nothing, and reads bases, bounds and the stack's width from
// the state block. `bounds` says for each segment how far it may be read and written without a closer look: up to its limit,
// if it is present and of a kind that may be, and not at all where limits count from above (expand-down) or the kind
// forbids it. What lies beyond is for segmentation.ts to judge.

import { MODE } from '../../x86/decoder.ts';
import { CR0, EFER, SEGMENT, SEGMENT_ATTRIBUTE, SEGMENT_TYPE } from '../../x86/names/registers.ts';
import { OFFSET, SEGMENT_SIZE, type CpuState } from '../state.ts';

/** Values of `state.mode`. */
export const CODE = { LONG: 0, FLAT32: 1, SEGMENTED32: 2, SEGMENTED16: 3 } as const;
export type CodeMode = (typeof CODE)[keyof typeof CODE];

/** How code of each mode is decoded. */
export const DECODED_AS = [MODE.CODE64, MODE.CODE32, MODE.CODE32, MODE.CODE16] as const;

/** What generated code takes for granted of segments: handlers are made for each (handlers.ts). */
export type Environment = 'long' | 'flat' | 'segmented';
export const ENVIRONMENT_OF: readonly Environment[] = ['long', 'flat', 'segmented', 'segmented'];

const FLAT_LIMIT = 0xffff_ffff;
const { CS, SS, DS, ES } = SEGMENT;
const LIMIT = 8;
const ATTRIBUTES = 12;
const CODE_OR_DATA = SEGMENT_ATTRIBUTE.S | SEGMENT_ATTRIBUTE.P;
const PROTECTED = Number(CR0.PE);
const LONG_MODE = Number(EFER.LMA);
const STACK32 = 0xffff_ffffn;
const STACK16 = 0xffffn;

const isProtected = (state: CpuState): boolean => (state.views.u32[(state.base + OFFSET.cr0) >> 2]! & PROTECTED) !== 0;
export const isLongMode = (state: CpuState): boolean =>
  (state.views.u32[(state.base + OFFSET.efer) >> 2]! & LONG_MODE) !== 0;
/** CR0.PE = 0. */
export const isRealMode = (state: CpuState): boolean => !isProtected(state);
/** 64-bit mode: no segmentation but the bases of FS and GS. */
export const is64BitMode = (state: CpuState): boolean => state.mode === CODE.LONG;

/** Derives mode, stack width and bounds anew. After CR0.PE, EFER.LMA or a segment register has changed. */
export function selectCodeMode(state: CpuState): void {
  const { views } = state;
  const at = state.base + OFFSET.segments;
  const cs = views.u16[(at + SEGMENT_SIZE * CS + ATTRIBUTES) >> 1]!;
  if ((cs & SEGMENT_ATTRIBUTE.L) !== 0 && isLongMode(state)) {
    state.mode = CODE.LONG;
    return;
  }
  const real = isRealMode(state);
  for (let segment = ES; segment <= SEGMENT.GS; segment++) setBounds(state, segment, real);
  const ss = views.u16[(at + SEGMENT_SIZE * SS + ATTRIBUTES) >> 1]!;
  const wideStack = (ss & SEGMENT_ATTRIBUTE.DB) !== 0;
  state.stackMask = wideStack ? STACK32 : STACK16;
  if ((cs & SEGMENT_ATTRIBUTE.DB) === 0) state.mode = CODE.SEGMENTED16;
  else {
    const flat = wideStack && beginsAndEnds(state, CS) && isFlat(state, SS) && isFlat(state, DS) && isFlat(state, ES);
    state.mode = flat ? CODE.FLAT32 : CODE.SEGMENTED32;
  }
}

/** A segment register was written. */
export function segmentChanged(state: CpuState, segment: number): void {
  if (segment <= SEGMENT.GS && (segment === CS || state.mode !== CODE.LONG)) selectCodeMode(state);
}

const END32 = 0x1_0000_0000n;
/** From 0 to 4 GiB. */
function beginsAndEnds({ views, base }: CpuState, segment: number): boolean {
  const at = base + OFFSET.segments + SEGMENT_SIZE * segment;
  return views.u64[at >> 3] === 0n && views.u32[(at + LIMIT) >> 2] === FLAT_LIMIT;
}
const isFlat = (state: CpuState, segment: number): boolean =>
  beginsAndEnds(state, segment) && state.views.u64[boundsOf(state, segment) + 1] === END32;

/** Index of a segment's `bounds` among 64-bit words. */
const boundsOf = (state: CpuState, segment: number): number => ((state.base + OFFSET.bounds) >> 3) + 2 * segment;

function setBounds(state: CpuState, segment: number, real: boolean): void {
  const { u16, u32, u64 } = state.views;
  const at = state.base + OFFSET.segments + SEGMENT_SIZE * segment;
  const attributes = u16[(at + ATTRIBUTES) >> 1]!;
  const end = BigInt(u32[(at + LIMIT) >> 2]!) + 1n;
  const bounds = boundsOf(state, segment);
  u64[bounds] = real || isPlainlyReadable(attributes) ? end : 0n;
  u64[bounds + 1] = real || isPlainlyWritable(attributes) ? end : 0n;
}

/** In real mode limits count, kinds do not. */
function isPlainlyReadable(attributes: number): boolean {
  if ((attributes & CODE_OR_DATA) !== CODE_OR_DATA || (attributes & SEGMENT_ATTRIBUTE.UNUSABLE) !== 0) return false;
  const kind = attributes & SEGMENT_ATTRIBUTE.TYPE;
  return (kind & SEGMENT_TYPE.CODE) !== 0
    ? (kind & SEGMENT_TYPE.READABLE) !== 0
    : (kind & SEGMENT_TYPE.EXPAND_DOWN) === 0;
}
const isPlainlyWritable = (attributes: number): boolean =>
  (attributes & SEGMENT_TYPE.CODE) === 0 && (attributes & SEGMENT_TYPE.WRITABLE) !== 0 && isPlainlyReadable(attributes);
