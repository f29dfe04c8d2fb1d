// A growing byte buffer with WebAssembly's variable-length integers (LEB128).

export class Bytes {
  #data = new Uint8Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  #reserve(extra: number): void {
    if (this.#length + extra <= this.#data.length) return;
    const grown = new Uint8Array(Math.max(this.#data.length * 2, this.#length + extra));
    grown.set(this.#data.subarray(0, this.#length));
    this.#data = grown;
  }

  byte(value: number): void {
    if (this.#length === this.#data.length) this.#reserve(1);
    this.#data[this.#length++] = value;
  }

  unsigned(value: number): void {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.byte(rest);
  }

  signed(value: number): void {
    let rest = value | 0;
    for (;;) {
      const low = rest & 0x7f;
      rest >>= 7;
      if (rest === (low & 0x40 ? -1 : 0)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  signed64(value: bigint): void {
    let rest = BigInt.asIntN(64, value);
    if (rest >= -0x8000_0000n && rest < 0x8000_0000n) {
      this.signed(Number(rest));
      return;
    }
    for (;;) {
      const low = Number(rest & 0x7fn);
      rest >>= 7n;
      if (rest === (low & 0x40 ? -1n : 0n)) {
        this.byte(low);
        return;
      }
      this.byte(low | 0x80);
    }
  }

  /** A name: its length and its characters, which must be ASCII. */
  name(text: string): void {
    this.unsigned(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }

  append(other: Bytes): void {
    this.#reserve(other.#length);
    this.#data.set(other.#data.subarray(0, other.#length), this.#length);
    this.#length += other.#length;
  }

  /** Another buffer with its length in front, as sections and function bodies are stored. */
  sized(other: Bytes): void {
    this.unsigned(other.#length);
    this.append(other);
  }

  toUint8Array(): Uint8Array<ArrayBuffer> {
    return this.#data.slice(0, this.#length);
  }
}
