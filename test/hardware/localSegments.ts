// The LDT of cases in 16- and 32-bit code: segments whose bases and limits make the code and data pages of native.ts reachable in every way that a
// segment can. Vectors store selectors alone, so this table is a part of their format (vectorFormat.ts).
import { NATIVE, type NativeCase } from './nativeCase.ts';

export type SegmentKind = 'code' | 'execute-only' | 'data' | 'read-only' | 'expand-down';

/** A segment of privilege 3, as modify_ldt(2) makes them: always accessed, never conforming unless absent. */
export interface LocalSegment {
  readonly index: number;
  readonly kind: SegmentKind;
  /** Linear. */
  readonly base: number;
  /** In bytes, inclusive. */
  readonly limit: number;
  /** D of code, B of data. */
  readonly big: boolean;
  /** The limit counts pages. */
  readonly pages: boolean;
  readonly present: boolean;
}

type Traits = Partial<Pick<LocalSegment, 'big' | 'pages' | 'present'>>;
const BIG: Traits = { big: true };
const BIG_PAGES: Traits = { big: true, pages: true };
const ABSENT: Traits = { big: true, present: false };

const { CODE, DATA, WINDOW, FS_BASE, GS_BASE } = NATIVE;
const [FLAT_LIMIT, WORD_LIMIT] = [0xffff_ffff, 0xffff];
/** With this base the end of the first page of an area is the end of 64 KiB, and the second page lies behind it. */
const seam = (area: number): number => area + 0x1000 - 0x1_0000;
/** Half of the address space further up: linear addresses pass 4 GiB on the way. */
const WRAPPING = 0xe000_0000;
/** Where segments that end within the window do. */
const EDGE = WINDOW + 0x40;

const segment = (index: number, kind: SegmentKind, base: number, limit: number, traits: Traits = {}): LocalSegment => ({
  index,
  kind,
  base: base >>> 0,
  limit: limit >>> 0,
  big: false,
  pages: false,
  present: true,
  ...traits,
});

/** Selectors of 64-bit cases find entry 6 empty, and those that are meant to be unfit entries from 40 on. */
// prettier-ignore
export const LOCAL_SEGMENTS: readonly LocalSegment[] = [
  segment(1,  'code',         CODE,            0x1fff,       BIG),
  segment(2,  'code',         WRAPPING,             FLAT_LIMIT,   BIG_PAGES),
  segment(3,  'execute-only', CODE - 0x100,    0x20ff,       BIG),
  segment(4,  'code',         CODE,            WORD_LIMIT),
  segment(5,  'execute-only', CODE - 0x11,     WORD_LIMIT),
  segment(7,  'code',         seam(CODE),      WORD_LIMIT),
  segment(8,  'code',         seam(CODE),      0x1_ffff),
  segment(9,  'code',         CODE,            0x17ff),
  segment(10, 'code',         CODE,            0x17ff,       BIG),
  segment(11, 'code',         CODE,            0x0fff,       BIG_PAGES),

  segment(12, 'data',         DATA,            0x1fff,       BIG),
  segment(13, 'data',         DATA,            WORD_LIMIT),
  segment(14, 'data',         seam(DATA),      WORD_LIMIT),
  segment(15, 'data',         seam(DATA),      0x1_ffff,     BIG),
  segment(16, 'read-only',    DATA - 0x100,    WORD_LIMIT),
  segment(17, 'expand-down',  EDGE - 0x8000,        0x7fff,       BIG),
  segment(18, 'expand-down',  DATA + 0x2000 - 0x1_0000, WORD_LIMIT - (DATA + 0x2000 - EDGE)),
  segment(19, 'expand-down',  seam(DATA),      WORD_LIMIT,   BIG_PAGES),
  segment(20, 'data',         WINDOW,          0x9f,         BIG),
  segment(21, 'data',         WINDOW + 3,      0x90),
  segment(22, 'data',         WRAPPING,             FLAT_LIMIT,   BIG_PAGES),
  segment(23, 'data',         DATA,            WORD_LIMIT,   ABSENT),
  segment(24, 'code',         CODE,            WORD_LIMIT,   ABSENT),
  segment(25, 'data',         EDGE,                 0),
  segment(26, 'data',         DATA,            0x0fff,       BIG_PAGES),
  segment(27, 'data',         FS_BASE,              FLAT_LIMIT,   BIG_PAGES),
  segment(28, 'data',         GS_BASE,              FLAT_LIMIT,   BIG_PAGES),
  segment(29, 'data',         seam(DATA),      0x1_ffff),
];
const ENTRIES = 32;

const TABLE_LOCAL = 4;
const USER = 3;
export const selectorOf = (index: number): number => (index << 3) | TABLE_LOCAL | USER;

const CODE_TYPE = 0xa;
const READ_WRITE = 2;
const TYPE: Readonly<Record<SegmentKind, number>> = {
  code: CODE_TYPE,
  'execute-only': CODE_TYPE & ~READ_WRITE,
  data: READ_WRITE,
  'read-only': 0,
  'expand-down': 4 | READ_WRITE,
};
const ACCESSED = 1;
const [S, DPL_USER, P, B, G, AVL] = [0x10, 0x60, 0x80, 0x4000, 0x8000, 0x1000];

/** The limit as the descriptor has it: in bytes or pages. */
const storedLimit = ({ limit, pages }: LocalSegment): number => (pages ? limit >>> 12 : limit);

function descriptorOf(local: LocalSegment): bigint {
  const { base, big, pages, present, kind } = local;
  const limit = storedLimit(local);
  const flags = (big ? B : 0) | (pages ? G : 0) | AVL | (present ? P : 0) | DPL_USER | S | TYPE[kind] | ACCESSED;
  const low = ((base & 0xffff) << 16) | (limit & 0xffff);
  const high = (base & 0xff00_0000) | ((base >>> 16) & 0xff) | (flags << 8) | (limit & 0xf_0000);
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** Where Linux's GDT has the LDT's descriptor. */
export const LDT_SELECTOR = 0x50;

/** The table as the processor reads it. */
export const LDT = new BigUint64Array(ENTRIES);
for (const local of LOCAL_SEGMENTS) LDT[local.index] = descriptorOf(local);

const CONTENTS: Readonly<Record<SegmentKind, number>> = {
  data: 0,
  'read-only': 0,
  'expand-down': 1,
  code: 2,
  'execute-only': 2,
};
export const LINUX_ENTRY_BYTES = 16;

/** The same as `struct user_desc` of modify_ldt(2). */
export function linuxEntries(): Uint8Array {
  const words = new Uint32Array((LOCAL_SEGMENTS.length * LINUX_ENTRY_BYTES) / 4);
  LOCAL_SEGMENTS.forEach((local, i) => {
    const { index, base, big, pages, present, kind } = local;
    const unwritable = kind === 'read-only' || kind === 'execute-only';
    const bits = +big | (CONTENTS[kind] << 1) | (+unwritable << 3) | (+pages << 4) | (+!present << 5) | (1 << 6);
    words.set([index, base, storedLimit(local), bits], 4 * i);
  });
  return new Uint8Array(words.buffer);
}

/** Index of CS among the selectors of a case. */
export const CS = 1;

/** What a case may know of a segment. */
export type CaseSegment = Omit<LocalSegment, 'index'>;

const FLAT_DATA: CaseSegment = { kind: 'data', base: 0, limit: FLAT_LIMIT, big: true, pages: true, present: true };
const GLOBAL: Readonly<Record<number, CaseSegment>> = { 0x23: { ...FLAT_DATA, kind: 'code' }, 0x2b: FLAT_DATA };

/** The 16- or 32-bit segment that a selector names at privilege 3, in the LDT or Linux's GDT; null if that is none. */
export const segmentAt = (selector: number): CaseSegment | null =>
  selector & TABLE_LOCAL
    ? (LOCAL_SEGMENTS.find(({ index }) => index === selector >> 3) ?? null)
    : (GLOBAL[selector | USER] ?? null);

/** RIP of a case's first byte: in 16- and 32-bit code the offset in CS. */
export function startRip({ offset, selectors }: NativeCase): bigint {
  const linear = NATIVE.CODE + offset;
  return BigInt(selectors ? (linear - segmentAt(selectors[CS]!)!.base) >>> 0 : linear);
}
