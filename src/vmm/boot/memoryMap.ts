// The memory map as records of base, length and type, which boot protocols arrange a little differently.

import type { Ram } from '../ram.ts';
import { BootRecord } from './record.ts';

/**
 * One record of `size` bytes for each range, the fields from `at` of it on: base and length of 8 bytes, type of 4. `prefix`: what
 * is in the first four bytes in front of them.
 */
export function memoryMapRecords(
  { map }: Ram,
  { size, at = 0, prefix }: { size: number; at?: number; prefix?: number },
): Uint8Array {
  const record = new BootRecord(map.length * size);
  for (const [i, range] of map.entries()) {
    if (prefix !== undefined) record.u32(i * size, prefix);
    record.u64(i * size + at, range.gpa);
    record.u64(i * size + at + 8, range.size);
    record.u32(i * size + at + 16, range.type);
  }
  return record.bytes;
}
