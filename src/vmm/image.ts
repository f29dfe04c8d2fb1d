// A guest image, ready to be written to guest memory: what the assembler and every loader produce, and all that a machine
// needs to boot one. Addresses are guest physical; guests start unpaged or identity-mapped, so they are virtual as well.

import { type SymbolTable } from './symbols.ts';

export type ImageFormat = 'assembly' | 'elf32' | 'elf64' | 'raw';

/** How the image wants to be started, with what the protocol says in its header (boot/). */
export type Protocol =
  /** In 64-bit mode, every vCPU at the entry. */
  | { readonly kind: 'direct' }
  /** Multiboot 1: in 32-bit mode. `wanted`: a display that the kernel would prefer and does not get. */
  | { readonly kind: 'multiboot'; readonly wanted?: string };
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

/** A file that cannot become an image: what was found, where, and what to try. */
export class ImageError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = 'ImageError';
    this.hint = hint;
  }
}
