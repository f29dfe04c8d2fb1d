// A guest image, ready to be written to guest memory: what the assembler and every loader produce, and all that a machine
// needs to boot one. Addresses are guest physical; guests start unpaged or identity-mapped, so they are virtual as well.

import { type SymbolTable } from './symbols.ts';

export type ImageFormat = 'assembly' | 'elf32' | 'elf64' | 'bzimage' | 'raw';

/** How the image wants to be started, with what the protocol says in its header (boot/). */
export type Protocol =
  /** In 64-bit mode, every vCPU at the entry. */
  | { readonly kind: 'direct' }
  | ({ readonly kind: 'multiboot' } & MultibootWishes)
  | ({ readonly kind: 'multiboot2' } & MultibootWishes)
  /** Xen's PVH: in 32-bit mode. */
  | { readonly kind: 'pvh' }
  /** Linux's 64-bit boot protocol. */
  | ({ readonly kind: 'linux' } & LinuxSetup)
  /** A disk whose first sector the BIOS starts in real mode. */
  | { readonly kind: 'boot-sector'; readonly disk: Uint8Array };
export type ProtocolName = Protocol['kind'];

/** What a Multiboot kernel asks for in its header, and what of its file is handed on. */
export interface MultibootWishes {
  /** A display that the kernel would prefer and does not get, in words. */
  readonly wanted?: string;
  readonly sections?: SectionTable;
}

/** An ELF file's section headers, and sections that no segment loads. */
export interface SectionTable {
  readonly count: number;
  readonly entrySize: number;
  /** Index of the section that holds the sections' names. */
  readonly names: number;
  readonly headers: Uint8Array;
  readonly unloaded: readonly UnloadedSection[];
}

export interface UnloadedSection {
  /** Where in `headers` its address belongs, and how many bytes that has. */
  readonly addressAt: number;
  readonly word: 4 | 8;
  readonly bytes: Uint8Array;
}

/** What a Linux kernel says of itself. */
export interface LinuxSetup {
  /** The setup header of a bzImage, from offset 0x1f1 of the file on; empty for a vmlinux, which has none. */
  readonly header: Uint8Array;
  /** The highest address that an initrd may reach, inclusive. */
  readonly initrdMax: number;
  /** Characters that a command line may have. */
  readonly commandLineMax: number;
}

export const DIRECT: Protocol = { kind: 'direct' };

export interface Segment {
  gpa: number;
  bytes: Uint8Array;
  /** Bytes in memory; what exceeds `bytes` is zero (`.bss`). */
  memorySize: number;
  /** False where the format says that this is no code. */
  executable?: boolean;
}

/** What one statement of the source became. No bytes: it names a place (`tick:`), or is in `.bss`. */
export interface ListingLine {
  address: bigint;
  bytes: Uint8Array;
  file: string;
  line: number;
  text: string;
  /** False for data and padding: not instructions. */
  isCode: boolean;
}

export interface Image {
  format: ImageFormat;
  /** What the user calls it, where that is known. */
  name?: string;
  protocol: Protocol;
  /** Where the first vCPU enters, in the mode that the protocol says. */
  entry: bigint;
  segments: Segment[];
  symbols: SymbolTable;
  /** Assembled images only, in address order. */
  listing?: ListingLine[];
}

/** Where guests are placed unless they say otherwise: the first address above the low megabyte, as PC kernels are. */
export const DEFAULT_ORIGIN = 0x10_0000;

/** The first address behind everything the image needs in memory. */
export function imageEnd(image: Image): number {
  return image.segments.reduce((end, { gpa, memorySize }) => Math.max(end, gpa + memorySize), 0);
}

/** A flat binary is as long as the distance between its first and last byte. */
const LARGEST_FLAT = 2 ** 30;

/** An image's bytes from its first to its last, as a flat binary has them. Throws ImageError for one that is mostly holes. */
export function flatten({ segments }: Image): Uint8Array {
  const start = Math.min(...segments.map(({ gpa }) => gpa));
  const length = Math.max(...segments.map(({ gpa, bytes }) => gpa + bytes.length)) - start;
  if (length > LARGEST_FLAT)
    throw new ImageError(`the image spans ${length} bytes`, 'bring its sections closer together, or link an ELF file');
  const flat = new Uint8Array(length);
  for (const { gpa, bytes } of segments) flat.set(bytes, gpa - start);
  return flat;
}

/** A file that cannot become an image: what was found, where, and what to try. */
export class ImageError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = 'ImageError';
    this.hint = hint;
  }
}
