// Where a file without a format belongs in memory, as the headers of Multiboot 1 and 2 say it.

import { ImageError, type Segment } from '../image.ts';
import type { FileView } from './fileView.ts';

/** The addresses of a header. An end that is 0 is where the file ends, or that of the bytes loaded. */
export interface LoadAddresses {
  readonly header: number;
  readonly load: number;
  readonly loadEnd: number;
  readonly bssEnd: number;
  readonly entry: number;
}

const hex = (value: number): string => `0x${value.toString(16)}`;

/** The bytes of a file that belong at `load`, given that the header at offset `at` belongs at `header`. Throws ImageError. */
export function segmentAt(
  file: FileView,
  at: number,
  { header, load, loadEnd, bssEnd, entry }: LoadAddresses,
): Segment {
  const refuse = (message: string): never => {
    throw new ImageError(`the addresses in its Multiboot header: ${message}`, 'check the labels that the header names');
  };
  if (load > header) refuse(`the header at ${hex(header)} is in front of what is loaded at ${hex(load)}`);
  const offset = at - (header - load);
  if (offset < 0) refuse(`${header - load} bytes are loaded in front of the header, and the file has ${at} there`);
  const size = loadEnd === 0 ? file.bytes.length - offset : loadEnd - load;
  if (size <= 0) refuse(`loading ends at ${hex(loadEnd)}, not behind its begin at ${hex(load)}`);
  file.require(offset, size, 'what the Multiboot header says is loaded');
  const end = Math.max(load + size, bssEnd);
  if (bssEnd !== 0 && bssEnd < load + size)
    refuse(`.bss ends at ${hex(bssEnd)}, in front of the bytes loaded up to ${hex(load + size)}`);
  if (entry < load || entry >= end) refuse(`the entry ${hex(entry)} is not in memory from ${hex(load)} to ${hex(end)}`);
  return { gpa: load, bytes: file.bytes.subarray(offset, offset + size), memorySize: end - load };
}
