// A set of small integers whose members are listed, so that clearing a sparsely used table costs what is in use.

export class IndexSet {
  readonly #list: Uint16Array;
  readonly #member: Uint8Array;
  #size = 0;

  /** For integers from 0 to `capacity` - 1; at most 65536. */
  constructor(capacity: number) {
    this.#list = new Uint16Array(capacity);
    this.#member = new Uint8Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** Member number `i`, in no particular order. */
  at(i: number): number {
    return this.#list[i]!;
  }

  add(index: number): void {
    if (this.#member[index] !== 0) return;
    this.#member[index] = 1;
    this.#list[this.#size++] = index;
  }

  /** Takes out member number `i`; the last member takes its place, so walk downwards while removing. */
  removeAt(i: number): void {
    this.#member[this.#list[i]!] = 0;
    this.#list[i] = this.#list[--this.#size]!;
  }

  clear(): void {
    for (let i = 0; i < this.#size; i++) this.#member[this.#list[i]!] = 0;
    this.#size = 0;
  }
}
