// vcpu->arch.xen.evtchn_pending_sel: the words of the event bitmap that a vCPU is to look at, while its vcpu_info cannot say so.
// Set from any physical CPU, cleared by the vCPU; why in this order, in evtchn.ts.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Atomic, Cell } from '../../host/cells.ts';

export class ShadowSel {
  #words: Cell<bigint> = 0n;

  /** kvm_xen_has_pending_events(). */
  get pending(): boolean {
    return this.#words !== 0n;
  }
  get words(): bigint {
    return this.#words;
  }

  /** test_and_set_bit(). */
  testAndSet(word: number): Atomic<boolean> {
    const bit = 1n << BigInt(word);
    const was = (this.#words & bit) !== 0n;
    this.#words |= bit;
    return was;
  }

  /** A locked AND with the complement. */
  clear(words: bigint): Atomic<void> {
    this.#words &= ~words;
  }

  transfer(fields: SavedFields): void {
    this.#words = fields.value('words', this.#words);
  }
}
