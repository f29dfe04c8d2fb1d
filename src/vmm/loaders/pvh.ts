// PVH: an ELF file with a note of Xen's that holds a physical 32-bit entry (Xen docs/misc/pvh.pandoc, public/elfnote.h). Linux has
// it with CONFIG_PVH.

import { type Image, ImageError } from '../image.ts';
import { imageOf, readElf, type ElfFile } from './elf.ts';

const OWNER = 'Xen\0';
const PHYS32_ENTRY = 18;
const NOTE_HEADER = 12;
/** Names and contents are padded to this in both classes, whatever the gABI says of class 64. */
const ALIGNMENT = 4;
const alignUp = (value: number): number => Math.ceil(value / ALIGNMENT) * ALIGNMENT;

/** The entry that the note names; null when there is no such note. Throws ImageError for notes that are malformed. */
export function pvhEntry({ file, notes }: ElfFile): bigint | null {
  const decoder = new TextDecoder();
  for (const { offset, size } of notes) {
    const end = offset + size;
    for (let at = offset; at + NOTE_HEADER <= end; ) {
      const [nameSize, contentsSize, type] = [file.u32(at), file.u32(at + 4), file.u32(at + 8)];
      const nameAt = at + NOTE_HEADER;
      const contentsAt = nameAt + alignUp(nameSize);
      if (contentsAt + contentsSize > end)
        throw new ImageError(`a note at byte ${at} is longer than its segment`, 'rebuild or copy the file again');
      at = contentsAt + alignUp(contentsSize);
      const owner = nameSize === OWNER.length ? decoder.decode(file.bytes.subarray(nameAt, nameAt + nameSize)) : '';
      if (owner !== OWNER || type !== PHYS32_ENTRY) continue;
      if (contentsSize !== 4 && contentsSize !== 8)
        throw new ImageError(`its PVH note has ${contentsSize} bytes`, 'an entry has 4 or 8 bytes');
      return file.word(contentsAt, contentsSize);
    }
  }
  return null;
}

/** Loads a file that has the note. Throws ImageError. */
export function loadPvh(bytes: Uint8Array): Image {
  const elf = readElf(bytes);
  const entry = pvhEntry(elf);
  if (entry === null) throw new ImageError('it has no PVH note', 'add a note of Xen with type 18');
  const isLoaded = elf.loadable.some(
    ({ segment: { gpa, memorySize } }) => entry >= BigInt(gpa) && entry < BigInt(gpa + memorySize),
  );
  if (!isLoaded)
    throw new ImageError(
      `its PVH note enters at 0x${entry.toString(16)}, where nothing is loaded`,
      'the note holds a physical address: subtract what the kernel is linked higher by',
    );
  return { ...imageOf(elf), entry, protocol: { kind: 'pvh' } };
}
