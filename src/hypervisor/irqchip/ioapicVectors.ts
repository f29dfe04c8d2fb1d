// The vectors that a vCPU may get from the IOAPIC, and whose end the IOAPIC must hear of (ioapic_handled_vectors).

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell, Cells } from '../../host/cells.ts';

const WORDS = 8;
/** No stale vector. */
const NONE = -1;

export class IoapicVectors {
  /** One bit for each vector: the EOI-exit bitmap with APIC virtualisation. */
  readonly words: Cells<Uint32Array> = new Uint32Array(WORDS);
  /** highest_stale_pending_ioapic_eoi: a vector under way from an entry that names others now. Its end is told once more. */
  #stale: Cell<number> = NONE;

  transfer(fields: SavedFields): void {
    fields.elements('words', this.words);
    this.#stale = fields.value('stale', this.#stale);
  }

  clear(): void {
    this.words.fill(0);
    this.#stale = NONE;
  }

  add(vector: number): void {
    this.words[vector >> 5] |= 1 << (vector & 31);
  }

  addStale(vector: number): void {
    this.add(vector);
    if (vector > this.#stale) this.#stale = vector;
  }

  has(vector: number): boolean {
    return ((this.words[vector >> 5]! >>> (vector & 31)) & 1) !== 0;
  }

  isStale(vector: number): boolean {
    return vector === this.#stale;
  }
}
