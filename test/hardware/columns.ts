// Bytes in named columns: what is alike stands together, which compresses far better than record after record.

/** Numbers of 7 bits to a byte, the low ones first, the top bit says that there is more. */
export class ColumnWriter {
  readonly #columns = new Map<string, number[]>();

  #column(name: string): number[] {
    let column = this.#columns.get(name);
    if (!column) this.#columns.set(name, (column = []));
    return column;
  }

  number(name: string, value: number): void {
    const column = this.#column(name);
    let rest = value;
    for (; rest > 0x7f; rest = Math.floor(rest / 128)) column.push((rest % 128) | 0x80);
    column.push(rest);
  }

  /** A count of bytes, then those. */
  bytes(name: string, value: Uint8Array): void {
    this.number(name, value.length);
    for (const byte of value) this.#column(name).push(byte);
  }

  text(name: string, value: string): void {
    this.bytes(name, Buffer.from(value));
  }

  /** An unsigned number of up to 64 bits: as many bytes as it needs, the low ones first. */
  bigint(name: string, value: bigint): void {
    const bytes: number[] = [];
    for (let rest = value; rest > 0n; rest >>= 8n) bytes.push(Number(rest & 0xffn));
    this.bytes(name, Uint8Array.from(bytes));
  }

  /** All columns: their number; of each the name, the length, the bytes. */
  finish(): Uint8Array {
    const index = new ColumnWriter();
    index.number('', this.#columns.size);
    for (const [name, column] of this.#columns) {
      index.text('', name);
      index.bytes('', Uint8Array.from(column));
    }
    return Uint8Array.from(index.#column(''));
  }
}

class Cursor {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  number(): number {
    for (let value = 0, factor = 1; ; factor *= 128) {
      if (this.#at >= this.#bytes.length) throw new Error('a column ends too early: the file is damaged');
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  }

  bytes(): Uint8Array {
    const length = this.number();
    if (this.#at + length > this.#bytes.length) throw new Error('a column ends too early: the file is damaged');
    return this.#bytes.subarray(this.#at, (this.#at += length));
  }
}

export class ColumnReader {
  readonly #columns = new Map<string, Cursor>();

  constructor(bytes: Uint8Array) {
    const index = new Cursor(bytes);
    for (let left = index.number(); left > 0; left--) {
      const name = Buffer.from(index.bytes()).toString();
      this.#columns.set(name, new Cursor(index.bytes()));
    }
  }

  #column(name: string): Cursor {
    const column = this.#columns.get(name);
    if (!column) throw new Error(`column '${name}' is missing: the file is damaged`);
    return column;
  }

  number(name: string): number {
    return this.#column(name).number();
  }
  bytes(name: string): Uint8Array {
    return this.#column(name).bytes();
  }
  text(name: string): string {
    return Buffer.from(this.bytes(name)).toString();
  }
  bigint(name: string): bigint {
    return this.bytes(name).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }
}
