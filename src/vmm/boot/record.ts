// Records that boot protocols hand to a kernel: little-endian fields at fixed offsets of bytes that are filled before they are placed.

export class BootRecord {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  /** Zeroes, `size` bytes of them. */
  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
  }

  u8(at: number, value: number): void {
    this.#view.setUint8(at, value);
  }

  u16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }

  u32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  u64(at: number, value: number | bigint): void {
    this.#view.setBigUint64(at, BigInt(value), true);
  }
}

/** A string as C has it: UTF-8 and a zero byte. */
export const cString = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);
