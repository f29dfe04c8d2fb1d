// A segment register as KVM hands it out: struct kvm_segment, the descriptor's fields one by one.

import { isCanonicalAddress } from '../../cpu/canonical.ts';
import { readSegment, writeSegment } from '../../cpu/segments/segments.ts';
import type { CpuState } from '../../cpu/state.ts';
import { DPL_SHIFT, SEGMENT, SEGMENT_ATTRIBUTE, SYSTEM_TYPE } from '../../x86/names/registers.ts';
import { requireBits, requireU64, type Refuse } from './ioctl.ts';

/** `limit` in bytes, inclusive, whatever `g` says; the others are the descriptor's fields, flags 0 or 1. */
export interface KvmSegment {
  readonly base: bigint;
  readonly limit: number;
  readonly selector: number;
  readonly type: number;
  readonly present: number;
  readonly dpl: number;
  readonly db: number;
  readonly s: number;
  readonly l: number;
  readonly g: number;
  readonly avl: number;
  readonly unusable: number;
}

/** Flags by field. */
const FLAGS = {
  present: SEGMENT_ATTRIBUTE.P,
  db: SEGMENT_ATTRIBUTE.DB,
  s: SEGMENT_ATTRIBUTE.S,
  l: SEGMENT_ATTRIBUTE.L,
  g: SEGMENT_ATTRIBUTE.G,
  avl: SEGMENT_ATTRIBUTE.AVL,
  unusable: SEGMENT_ATTRIBUTE.UNUSABLE,
} as const;
type Flag = keyof typeof FLAGS;
const FLAG_NAMES = Object.keys(FLAGS) as Flag[];

/** vmx_get_segment(). */
export function getSegment(state: CpuState, index: number): KvmSegment {
  const { base, limit, selector, attributes } = readSegment(state, index);
  const flags = Object.fromEntries(
    FLAG_NAMES.map((flag) => [flag, (attributes & FLAGS[flag]) === 0 ? 0 : 1]),
  ) as unknown as Record<Flag, number>;
  const type = attributes & SEGMENT_ATTRIBUTE.TYPE;
  return { base, limit, selector, type, dpl: (attributes & SEGMENT_ATTRIBUTE.DPL) >> DPL_SHIFT, ...flags };
}

/** vmx_set_segment(). */
export function setSegment(state: CpuState, index: number, segment: KvmSegment): void {
  const { base, limit, selector, type, dpl } = segment;
  const flags = FLAG_NAMES.reduce((all, flag) => (segment[flag] === 0 ? all : all | FLAGS[flag]), 0);
  writeSegment(state, index, { base, limit, selector, attributes: type | (dpl << DPL_SHIFT) | flags });
}

const PAGE_LIMIT = 0xfff;
const LARGEST_BYTE_LIMIT = 0xf_ffff;

/**
 * Refuses what no segment register can hold: KVM_SET_SREGS takes it, and VM entry fails (SDM vol. 3, 27.3.1.2). `name` is a
 * field of struct kvm_sregs.
 */
export function checkSegment(name: string, index: number, segment: KvmSegment, refuse: Refuse): void {
  const no = (why: string): never => refuse(`${name}: ${why}`);
  const { base, limit, selector, type, dpl, g, l, db, s, present, unusable } = segment;
  requireU64({ base }, no);
  requireBits(32, { limit }, no);
  requireBits(16, { selector }, no);
  requireBits(4, { type }, no);
  requireBits(2, { dpl }, no);
  requireBits(1, Object.fromEntries(FLAG_NAMES.map((flag) => [flag, segment[flag]])), no);
  if (index >= SEGMENT.FS && !isCanonicalAddress(base)) no(`base 0x${base.toString(16)} is not canonical`);
  if (unusable === 1) {
    if (index === SEGMENT.TR || index === SEGMENT.CS) no('it cannot be unusable');
    return;
  }
  if (present === 0) no('it is usable but not present');
  if (g === 1 && (limit & PAGE_LIMIT) !== PAGE_LIMIT)
    no(`limit 0x${limit.toString(16)} is not whole pages, but g is set`);
  if (g === 0 && limit > LARGEST_BYTE_LIMIT) no(`limit 0x${limit.toString(16)} needs g`);
  if (index === SEGMENT.CS && l === 1 && db === 1) no('l and db are both set');
  if (index === SEGMENT.LDTR && (s === 1 || type !== SYSTEM_TYPE.LDT)) no(`type ${type} is not that of an LDT (2)`);
  if (index === SEGMENT.TR && (s === 1 || type !== SYSTEM_TYPE.TSS_BUSY)) {
    no(`type ${type} is not that of a busy TSS (${SYSTEM_TYPE.TSS_BUSY})`);
  }
  if (index <= SEGMENT.GS && s === 0) no('a system descriptor (s = 0) is for ldt and tr only');
}
