// Multiboot 1 images: a header with a magic number in the first 8 KiB of an ELF file (Multiboot Specification 0.6.96, 3.1).

import { ImageError, type Image } from '../image.ts';
import { loadElf64 } from './elf64.ts';
import { FileView } from './fileView.ts';

const MAGIC = 0x1badb002;
/** The header lies within this many bytes of the file, and on a multiple of four. */
const SEARCHED = 8192;
const ALIGNMENT = 4;
/** Magic, flags, checksum. */
const HEADER_SIZE = 12;
/** Flags 0 to 15 are demands: page-aligned modules, memory map, video mode. Others of them nobody knows. */
const KNOWN_DEMANDS = 0b111;
const DEMANDS = 0xffff;

/** Where the header is; null when there is none. */
export function multibootHeader(bytes: Uint8Array): number | null {
  const file = new FileView(bytes);
  for (let at = 0; at + HEADER_SIZE <= Math.min(bytes.length, SEARCHED); at += ALIGNMENT) {
    if (file.u32(at) !== MAGIC) continue;
    if (((file.u32(at) + file.u32(at + 4) + file.u32(at + 8)) & 0xffffffff) === 0) return at;
  }
  return null;
}

/** Loads an ELF file that has the header at `at`. Throws ImageError. */
export function loadMultiboot(bytes: Uint8Array, at: number): Image {
  const flags = new FileView(bytes).u32(at + 4);
  const unknown = flags & DEMANDS & ~KNOWN_DEMANDS;
  if (unknown !== 0)
    throw new ImageError(
      `its Multiboot header demands what no version of the specification has (flags 0x${unknown.toString(16)})`,
      'clear these flags',
    );
  return { ...loadElf64(bytes), protocol: { kind: 'multiboot', flags } };
}
