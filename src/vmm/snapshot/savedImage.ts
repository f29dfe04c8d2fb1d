// What a snapshot keeps of the guest's image: enough to name addresses and to tell whether a file is the one that was booted.
// Its bytes are in memory, as far as they still matter.

import type { Image, ImageFormat, Protocol } from '../image.ts';
import { SymbolTable, type AddressRange, type GuestSymbol } from '../symbols.ts';
import { crc32 } from './crc32.ts';

export interface SavedImage {
  readonly format: ImageFormat;
  readonly name: string | null;
  readonly protocol: Protocol;
  readonly entry: bigint;
  /** Tells images apart: of all bytes and addresses. */
  readonly identity: string;
  readonly symbols: readonly GuestSymbol[];
  readonly ranges: readonly AddressRange[];
}

/** Eight hexadecimal digits for each segment's bytes and place, and the entry. */
export function identityOf({ entry, segments }: Image): string {
  const parts = segments.map(
    ({ gpa, bytes, memorySize }) => `${gpa.toString(16)}+${memorySize.toString(16)}:${hex(crc32(bytes))}`,
  );
  return [entry.toString(16), ...parts].join(' ');
}
const hex = (value: number): string => value.toString(16).padStart(8, '0');

export const saveImage = (image: Image, identity: string): SavedImage => ({
  format: image.format,
  name: image.name ?? null,
  protocol: image.protocol,
  entry: image.entry,
  identity,
  symbols: image.symbols.all,
  ranges: image.symbols.ranges,
});

/** An image without bytes, for a machine that need not be booted any more. */
export const restoredImage = ({ format, name, protocol, entry, symbols, ranges }: SavedImage): Image => ({
  format,
  ...(name !== null && { name }),
  protocol,
  entry,
  segments: [],
  symbols: new SymbolTable(symbols, ranges),
});
