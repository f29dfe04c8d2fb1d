// What a guest prints, whatever device it prints through: bytes in order, readable as text at any time.

import type { SavedFields } from '../cpu/savedFields.ts';

export class GuestConsole {
  #bytes = new Uint8Array(256);
  #length = 0;
  readonly #listeners = new Set<(byte: number) => void>();

  write(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#length++] = byte;
    for (const listener of this.#listeners) listener(byte);
  }

  /** Everything so far, as UTF-8. */
  get text(): string {
    return new TextDecoder().decode(this.bytes);
  }

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  transfer(fields: SavedFields): void {
    const bytes = fields.data('bytes', this.bytes);
    if (!fields.restoring) return;
    this.#bytes = new Uint8Array(Math.max(bytes.length, this.#bytes.length));
    this.#bytes.set(bytes);
    this.#length = bytes.length;
  }

  /** Hands each further byte to `listener`; returns the function that ends this. */
  listen(listener: (byte: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
