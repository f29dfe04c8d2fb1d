// A listing as GNU as prints one (-al): line number, address, bytes, source text; bytes that need more room continue below.

import type { Image, ListingLine } from '../vmm/image.ts';

/** Bytes on a row, and rows before the rest is left out. */
const ROW = 8;
const MAX_ROWS = 4;

const hexBytes = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');

function* linesOf(entry: ListingLine, address: string, lineWidth: number): Generator<string> {
  const { bytes, line, text } = entry;
  const number = String(line).padStart(lineWidth);
  yield `${number} ${address} ${hexBytes(bytes.subarray(0, ROW)).padEnd(3 * ROW)} ${text}`.trimEnd();
  const blank = ' '.repeat(lineWidth + 1 + address.length + 1);
  for (let at = ROW; at < bytes.length; at += ROW) {
    if (at === ROW * MAX_ROWS) {
      yield `${blank}… ${bytes.length} bytes`;
      return;
    }
    yield `${blank}${hexBytes(bytes.subarray(at, at + ROW))}`;
  }
}

/** The listing of an assembled image; a change of file has a line of its own. */
export function* listingLines(image: Image): Generator<string> {
  const listing = image.listing ?? [];
  const lineWidth = String(listing.reduce((max, { line }) => Math.max(max, line), 0)).length + 1;
  let file: string | null = null;
  for (const entry of listing) {
    if (entry.file !== file) {
      file = entry.file;
      yield `${file}:`;
    }
    const address = entry.address.toString(16).padStart(8, '0');
    yield* linesOf(entry, address, lineWidth);
  }
}

/** The listing and the symbols of an assembled image, as text. */
export function formatListing(image: Image): string {
  const symbols = [...image.symbols]
    .sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : a.name < b.name ? -1 : 1))
    .map(
      ({ name, address, kind, global }) =>
        `${address.toString(16).padStart(16, '0')} ${global ? 'g' : 'l'} ${kind.padEnd(8)} ${name}`,
    );
  return [...listingLines(image), '', 'symbols', ...symbols, ''].join('\n');
}
