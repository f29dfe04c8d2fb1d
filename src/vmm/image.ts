// A guest image, ready to be written to guest memory: what the assembler and every loader produce, and all that a machine
// needs to boot one. Addresses are guest physical; guests start identity-mapped, so they are virtual addresses as well.

import { type SymbolTable } from './symbols.ts';

export type ImageFormat = 'assembly' | 'elf64' | 'raw';

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
  /** Where the vCPU enters, in 64-bit mode. */
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
