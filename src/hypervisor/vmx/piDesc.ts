// struct pi_desc: the posted-interrupt descriptor of a vCPU (SDM vol. 3, 29.6; Linux arch/x86/include/asm/posted_intr.h).
// Senders on any CPU set bits, the vCPU and the processor that runs its guest take them.

import type { PostedInterruptDescriptor } from '../../cpu/virtualApic.ts';
import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Atomic, Cell, Cells } from '../../host/cells.ts';

export const PIR_WORDS = 8;

export class PiDesc implements PostedInterruptDescriptor {
  /** Posted-interrupt requests, a bit for each vector. */
  readonly #pir: Cells<Uint32Array> = new Uint32Array(PIR_WORDS);
  /** Outstanding notification: somebody has told, or need not tell, the vCPU to look at PIR. */
  #on: Cell<boolean> = false;

  transfer(fields: SavedFields): void {
    fields.elements('pir', this.#pir);
    this.#on = fields.value('on', this.#on);
  }

  /** pi_test_and_set_pir(). */
  testAndSetPir(vector: number): Atomic<boolean> {
    const bit = 1 << (vector & 31);
    const was = (this.#pir[vector >> 5]! & bit) !== 0;
    this.#pir[vector >> 5]! |= bit;
    return was;
  }

  /** pi_test_and_set_on(). */
  testAndSetOn(): Atomic<boolean> {
    const was = this.#on;
    this.#on = true;
    return was;
  }

  /** pi_test_on(). */
  get on(): boolean {
    return this.#on;
  }

  /** pi_clear_on(). */
  clearOn(): Atomic<void> {
    this.#on = false;
  }

  /** xchg of one word of PIR with 0. */
  takePir(word: number): Atomic<number> {
    const taken = this.#pir[word]!;
    this.#pir[word] = 0;
    return taken;
  }
}
