// The words of the x87: which bits of the control word there are, when the status word says that an exception waits, and the tag
// word in full and as FXSAVE abridges it, a bit for each physical register that is set unless it is empty (SDM vol. 1, 8.1.3 to
// 8.1.7 and 10.5.1).

/** Bit 6 of the control word is reserved and reads as one. */
const FCW_FIXED = 1 << 6;
const FCW_BITS = 0x1f7f;
const EXCEPTION_MASKS = 0x3f;
/** ES of the status word, and B, which is always the same since the 387. */
export const ERROR_SUMMARY = (1 << 7) | (1 << 15);

/** The control word that there is after `value` was loaded. */
export const controlWord = (value: number): number => (value & FCW_BITS) | FCW_FIXED;

/** The status word with ES and B as its flags and the masks of the control word have them. */
export const withErrorSummary = (fsw: number, fcw: number): number =>
  (fsw & ~ERROR_SUMMARY) | ((fsw & ~fcw & EXCEPTION_MASKS) === 0 ? 0 : ERROR_SUMMARY);

const TAG = { VALID: 0, ZERO: 1, SPECIAL: 2, EMPTY: 3 } as const;
const TOP_SHIFT = 11;
const LOW = 0xffff_ffff_ffff_ffffn;
const INTEGER_BIT = 1n << 63n;
const EXPONENT = 0x7fffn;

export function abridgedTags(full: number): number {
  let abridged = 0;
  for (let i = 0; i < 8; i++) if (((full >> (2 * i)) & TAG.EMPTY) !== TAG.EMPTY) abridged |= 1 << i;
  return abridged;
}

/** `st`: ST0 to ST7, 80 bits each. The tag of a register that is not empty follows from what it holds. */
export function fullTags(st: readonly bigint[], abridged: number, fsw: number): number {
  let tags = 0;
  for (let physical = 0; physical < 8; physical++) {
    const value = st[(physical - (fsw >> TOP_SHIFT)) & 7]!;
    const tag = ((abridged >> physical) & 1) === 0 ? TAG.EMPTY : tagOf(value);
    tags |= tag << (2 * physical);
  }
  return tags;
}

function tagOf(value: bigint): number {
  const exponent = (value >> 64n) & EXPONENT;
  const significand = value & LOW;
  if (exponent === 0n) return significand === 0n ? TAG.ZERO : TAG.SPECIAL;
  return exponent === EXPONENT || (significand & INTEGER_BIT) === 0n ? TAG.SPECIAL : TAG.VALID;
}
