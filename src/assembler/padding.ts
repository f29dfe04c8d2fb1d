// Padding in code: the longest NOPs first, and a jump over gaps that would take too many, byte for byte as GNU as 2.40
// (tc-i386.c: alt_11 and i386_generate_nops).

import type { Mode } from './encoder.ts';

export const NOP = 0x90;

// prettier-ignore
const LONG_NOPS: readonly (readonly number[])[] = [
  [],
  [NOP],
  [0x66, NOP],
  [0x0f, 0x1f, 0x00],
  [0x0f, 0x1f, 0x40, 0x00],
  [0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  [0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  [0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  [0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

const LONGEST = LONG_NOPS.length - 1;
/** More NOPs than this in a row, and jumping over them is cheaper. */
const MAX_NOPS = 7;

/** Instructions that do nothing, `size` bytes of them. */
export function nops(size: number, mode: Mode): Uint8Array {
  const bytes = new Uint8Array(size);
  if (mode !== 64) return bytes.fill(NOP);
  let at = 0;
  if (size > LONGEST * MAX_NOPS) {
    const isShort = size - 2 <= 127;
    const distance = size - (isShort ? 2 : 5);
    bytes.set(isShort ? [0xeb, distance] : [0xe9, distance, distance >> 8, distance >> 16, distance >> 24]);
    at = size - distance;
  }
  while (at < size) {
    const nop = LONG_NOPS[Math.min(LONGEST, size - at)];
    bytes.set(nop, at);
    at += nop.length;
  }
  return bytes;
}
