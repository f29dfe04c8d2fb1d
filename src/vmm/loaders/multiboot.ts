// Multiboot 1 images: a header with a magic number in the first 8 KiB of a file, which is ELF or says itself where its bytes
// belong (Multiboot Specification 0.6.96, 3.1).

import { type Image, ImageError } from '../image.ts';
import { SymbolTable } from '../symbols.ts';
import { imageOf, isElf, physicalEntry, readElf } from './elf.ts';
import { readSectionTable } from './elfSections.ts';
import { FileView } from './fileView.ts';
import { segmentAt } from './loadAddresses.ts';

const MAGIC = 0x1badb002;
/** The header lies within this many bytes of the file, and on a multiple of four. */
const SEARCHED = 8192;
const ALIGNMENT = 4;

// prettier-ignore
const FIELD = {
  FLAGS: 4, CHECKSUM: 8,
  HEADER_ADDRESS: 12, LOAD_ADDRESS: 16, LOAD_END: 20, BSS_END: 24, ENTRY: 28,
  MODE_TYPE: 32, WIDTH: 36, HEIGHT: 40, DEPTH: 44,
} as const;
/** Sizes of a header, by what its flags say is in it. */
const SIZE = { PLAIN: 12, ADDRESSES: 32, VIDEO: 48 } as const;
const FLAG = { VIDEO: 1 << 2, ADDRESSES: 1 << 16 } as const;
/** Flags 0 to 15 are demands: page-aligned modules, memory map, video mode. Others of them nobody knows. */
const KNOWN_DEMANDS = 0b111;
const DEMANDS = 0xffff;
const TEXT_MODE = 1;

/** Where the header is; null when there is none. */
export function multibootHeader(bytes: Uint8Array): number | null {
  const file = new FileView(bytes);
  for (let at = 0; at + SIZE.PLAIN <= Math.min(bytes.length, SEARCHED); at += ALIGNMENT) {
    if (file.u32(at) !== MAGIC) continue;
    if (((file.u32(at) + file.u32(at + FIELD.FLAGS) + file.u32(at + FIELD.CHECKSUM)) & 0xffffffff) === 0) return at;
  }
  return null;
}

/** Whether the header at `at` tells where the file is to be loaded. */
export const hasAddresses = (bytes: Uint8Array, at: number): boolean =>
  (new FileView(bytes).u32(at + FIELD.FLAGS) & FLAG.ADDRESSES) !== 0;

/** Loads a file that has a header. Throws ImageError. */
export function loadMultiboot(bytes: Uint8Array): Image {
  const at = multibootHeader(bytes);
  if (at === null)
    throw new ImageError(
      'it has no Multiboot header (1badb002, flags and their checksum) in its first 8 KiB',
      'put the header into a section that the linker script places first',
    );
  const file = new FileView(bytes);
  const flags = file.u32(at + FIELD.FLAGS);
  const unknown = flags & DEMANDS & ~KNOWN_DEMANDS;
  if (unknown !== 0)
    throw new ImageError(
      `its Multiboot header demands what no version of the specification has (flags 0x${unknown.toString(16)})`,
      'clear these flags',
    );
  const protocol = { kind: 'multiboot', ...preferredVideo(file, at, flags) } as const;
  if ((flags & FLAG.ADDRESSES) !== 0) return { ...loadAtAddresses(file, at), protocol };
  if (!isElf(bytes))
    throw new ImageError(
      'its Multiboot header does not say where the file is to be loaded, and the file is not ELF',
      'set flag 16 and the five addresses of the header, or link an ELF file',
    );
  const elf = readElf(bytes);
  const sections = readSectionTable(file, elf.layout);
  return { ...imageOf(elf), entry: physicalEntry(elf), protocol: { ...protocol, ...(sections && { sections }) } };
}

/** What the header would like the display to be, where that is not the text mode that there is. */
function preferredVideo(file: FileView, at: number, flags: number): { wanted?: string } {
  if ((flags & FLAG.VIDEO) === 0) return {};
  file.require(at, SIZE.VIDEO, 'the Multiboot header with its video fields');
  const [type, width, height, depth] = [FIELD.MODE_TYPE, FIELD.WIDTH, FIELD.HEIGHT, FIELD.DEPTH].map((field) =>
    file.u32(at + field),
  );
  if (type === TEXT_MODE) return {};
  const size = width === 0 || height === 0 ? '' : ` of ${width} x ${height}`;
  return { wanted: `a graphics mode${size}${depth === 0 ? '' : ` in ${depth} bits`}` };
}

/** What boot loaders call the a.out kludge: the header's addresses in place of those of a file format. */
function loadAtAddresses(file: FileView, at: number): Omit<Image, 'protocol'> {
  file.require(at, SIZE.ADDRESSES, 'the Multiboot header with its addresses');
  const [header, load, loadEnd, bssEnd, entry] = [
    FIELD.HEADER_ADDRESS,
    FIELD.LOAD_ADDRESS,
    FIELD.LOAD_END,
    FIELD.BSS_END,
    FIELD.ENTRY,
  ].map((field) => file.u32(at + field)) as [number, number, number, number, number];
  const symbols = isElf(file.bytes) ? readElf(file.bytes).symbols : SymbolTable.empty;
  return {
    format: 'raw',
    entry: BigInt(entry),
    segments: [segmentAt(file, at, { header, load, loadEnd, bssEnd, entry })],
    symbols,
  };
}
