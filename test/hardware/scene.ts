// The segments that a case of 16- or 32-bit code begins with: as often as not the usual ones, else anything that the LDT has.
import { selectorOf as local } from './localSegments.ts';
import type { Random } from './random.ts';

const USER_CS32 = 0x23;
const USER_DS = 0x2b;

/** Flat segments, and FS and GS with bases, as a 32-bit system gives them to its programs. */
const PLAIN32 = [USER_DS, USER_CS32, USER_DS, USER_DS, local(27), local(28)];
/** Segments of 64 KiB: those of DS, SS and ES at the data pages, those of FS and GS around the middle of these. */
const PLAIN16 = [local(13), local(4), local(13), local(13), local(14), local(29)];

const CODE32 = [USER_CS32, USER_CS32, ...[1, 2, 3, 10, 11].map(local)];
const CODE16 = [4, 4, 5, 7, 8, 9].map(local);
const STACK32 = [USER_DS, USER_DS, ...[12, 15, 17, 19, 20, 22, 26].map(local)];
const STACK16 = [13, 13, 14, 14, 18, 21, 29].map(local);
// prettier-ignore
const DATA = [USER_DS, USER_DS, ...[12, 13, 13, 14, 14, 15, 16, 17, 18, 19, 20, 21, 22, 25, 26, 27, 28, 29].map(local)];
/** Code that may be read. */
const CODE_AS_DATA = [USER_CS32, ...[1, 2, 4].map(local)];
const NULL = 0;
const USER_CS64 = 0x33;

/** Null, privileged, absent, beyond a table, of 64 bits, or empty: what other lists do not have. */
// prettier-ignore
const UNFIT = [0, 1, 2, 3, 0x08, 0x0b, 0x10, 0x13, 0x18, 0x1b, 0x40, 0x50, 0x6b, 0x80, 0x34, 0x37, 0x1fc, 0xffff, ...[23, 24, 30].map(local)];
/** With another RPL than 3. */
const LOWER_RPL = [12, 13, 1, 4].map((index) => local(index) & ~3);
/** For data segments, and for instructions that look at descriptors. */
export const SELECTORS = [
  ...DATA,
  ...DATA,
  ...CODE_AS_DATA,
  ...[3, 5].map(local),
  ...STACK16,
  ...LOWER_RPL,
  USER_CS64,
  ...UNFIT,
];
// prettier-ignore
export const CODE_SELECTORS = [
  ...CODE32, ...CODE32, ...CODE16, ...CODE16, USER_CS64, USER_CS64, USER_DS, local(13), ...LOWER_RPL, ...UNFIT,
];

function dataSegment(random: Random): number {
  if (random.oneIn(24)) return NULL;
  return random.pick(random.oneIn(12) ? CODE_AS_DATA : DATA);
}

/** Selectors in the order of NativeCase. */
export function drawScene(bits: 16 | 32, random: Random): readonly number[] {
  if (random.oneIn(2)) return plainScene(bits);
  const wideStack = random.oneIn(4) ? bits === 16 : bits === 32;
  const data = () => dataSegment(random);
  return [
    data(),
    random.pick(bits === 32 ? CODE32 : CODE16),
    random.pick(wideStack ? STACK32 : STACK16),
    data(),
    data(),
    data(),
  ];
}

export const plainScene = (bits: 16 | 32): readonly number[] => (bits === 32 ? PLAIN32 : PLAIN16);

/** A data segment in which 16-bit addresses reach the data. */
export const nearSegment = (random: Random): number => random.pick(STACK16);
