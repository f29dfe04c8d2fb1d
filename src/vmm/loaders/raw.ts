// Flat binaries: the bytes of the file are the guest's memory from the origin on, and its first byte is its entry.

import { DIRECT, type Image, ImageError } from '../image.ts';
import { SymbolTable } from '../symbols.ts';

/** An image of a flat binary placed at `origin` (guest physical). The bytes are not copied. */
export function loadRaw(bytes: Uint8Array, origin: number): Image {
  if (bytes.length === 0) throw new ImageError('the file is empty', 'a flat binary holds at least one instruction');
  if (!Number.isSafeInteger(origin) || origin < 0)
    throw new RangeError(`origin ${origin} is no guest physical address`);
  return {
    format: 'raw',
    protocol: DIRECT,
    entry: BigInt(origin),
    segments: [{ gpa: origin, bytes, memorySize: bytes.length }],
    symbols: SymbolTable.empty,
  };
}
