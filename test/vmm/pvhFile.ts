// Makes a PVH kernel of assembled code: an ELF file with the note that names the entry.

import type { Image } from '../../src/vmm/image.ts';
import { elfFile, type Shape } from './elfFile.ts';

const PT_NOTE = 4;
const PHYS32_ENTRY = 18;

/** A note of Xen's with an entry. */
export function pvhNote(entry: number): Uint8Array {
  const note = new Uint8Array(20);
  const view = new DataView(note.buffer);
  [4, 4, PHYS32_ENTRY].forEach((value, i) => view.setUint32(4 * i, value, true));
  note.set(new TextEncoder().encode('Xen'), 12);
  view.setUint32(16, entry, true);
  return note;
}

export function pvhFile({ segments, entry }: Image, shape: Shape = {}): Uint8Array {
  const loads = segments.map(({ gpa, bytes, memorySize }) => ({
    vaddr: BigInt(gpa),
    bytes,
    memorySize: BigInt(memorySize),
  }));
  return elfFile(entry, [...loads, { type: PT_NOTE, vaddr: 0n, bytes: pvhNote(Number(entry)) }], [], shape);
}
