// ELF section headers in guest memory, as Multiboot hands them on: those of the file, with the addresses of the symbols and
// strings that the loader has put behind the kernel.

import type { SectionTable } from '../image.ts';
import { PAGE_SIZE } from '../../x86/names/paging.ts';
import { ONE_MIB } from '../ram.ts';
import type { Placement } from './placement.ts';
import { BootRecord } from './record.ts';

const FOUR_GIB = 2 ** 32;

/** Places the sections that no segment loads; returns the headers, which name their places. Throws BootError. */
export function placeSections({ headers, unloaded }: SectionTable, placement: Placement): Uint8Array {
  const record = new BootRecord(headers.length);
  record.bytes.set(headers);
  for (const { addressAt, word, bytes } of unloaded) {
    const room = { from: Math.max(placement.end, ONE_MIB), below: FOUR_GIB, align: PAGE_SIZE };
    const gpa = placement.put(bytes, "the kernel's symbols", room);
    if (word === 8) record.u64(addressAt, gpa);
    else record.u32(addressAt, gpa);
  }
  return record.bytes;
}
