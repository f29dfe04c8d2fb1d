// Bounded reads of a file that may be cut off or lie: every offset is checked before it is used, and says what it was for.

import { ImageError } from '../image.ts';

export class FileView {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Throws unless `size` bytes at `offset` are in the file. */
  require(offset: number, size: number, what: string): void {
    if (offset + size <= this.bytes.length) return;
    throw new ImageError(
      `the file is cut off: ${what} should end at byte ${offset + size}, and the file has ${this.bytes.length}`,
      'rebuild or copy the file again',
    );
  }

  u8(offset: number): number {
    return this.#view.getUint8(offset);
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, true);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  u64(offset: number): bigint {
    return this.#view.getBigUint64(offset, true);
  }

  /** A field of 4 or 8 bytes. */
  word(offset: number, size: 4 | 8): bigint {
    return size === 8 ? this.u64(offset) : BigInt(this.u32(offset));
  }

  /** A field of 4 or 8 bytes that must be an offset into the file. */
  offset(at: number, size: 4 | 8, what: string): number {
    const value = this.word(at, size);
    if (value > BigInt(this.bytes.length)) this.require(Number(value), 0, what);
    return Number(value);
  }
}
