// INIT and SIPI: what is pending, and the wait-for-SIPI state machine that takes it (kvm_apic_accept_events; SDM vol. 3, 9.4).

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Atomic, Cell } from '../../host/cells.ts';
import { KVM_REQ } from '../requests.ts';
import type { LapicOwner } from './owner.ts';

/** Bits of pending_events. */
const INIT = 1;
const SIPI = 2;

export class InitSipiEvents {
  readonly #owner: LapicOwner;
  #pending: Cell<number> = 0;
  sipiVector: Cell<number> = 0;

  constructor(owner: LapicOwner) {
    this.#owner = owner;
  }

  transfer(fields: SavedFields): void {
    this.#pending = fields.value('pending', this.#pending);
    fields.own<InitSipiEvents>(this, 'sipiVector');
  }

  /** kvm_apic_has_pending_init_or_sipi(). */
  get pending(): boolean {
    return this.#pending !== 0;
  }
  get initPending(): boolean {
    return (this.#pending & INIT) !== 0;
  }
  get sipiPending(): boolean {
    return (this.#pending & SIPI) !== 0;
  }

  /** An INIT forgets a SIPI that was not taken yet: one store of both bits. */
  receiveInit(): void {
    this.#pending = INIT;
    this.#notify();
  }

  /** The vector is there before the bit says so. */
  receiveSipi(vector: number): void {
    this.sipiVector = vector;
    this.#set(SIPI);
    this.#notify();
  }

  /** A VMM says what is pending; the vCPU does not run, and nobody is to be kicked. */
  restoreInit(pending: boolean): void {
    if (pending) this.#set(INIT);
    else this.#testAndClear(INIT);
  }
  restoreSipi(): void {
    this.#set(SIPI);
  }

  /**
   * Takes what is pending, in the vCPU's own context. INIT goes first; it leaves an application processor waiting for a
   * SIPI and a bootstrap processor running. A SIPI counts only while one is waited for. Where INIT is blocked it stays
   * pending, and a SIPI is lost.
   */
  accept(): void {
    if (!this.pending) return;
    const owner = this.#owner;
    if (!owner.initSipiAllowed()) {
      this.#testAndClear(SIPI);
      return;
    }
    if (this.#testAndClear(INIT)) {
      owner.reset(true);
      owner.mpState = owner.id === owner.vm.bspId ? 'runnable' : 'init-received';
    }
    if (this.#testAndClear(SIPI) && owner.mpState === 'init-received') {
      owner.deliverSipi(this.sipiVector);
      owner.mpState = 'runnable';
    }
  }

  #notify(): void {
    this.#owner.requests.make(KVM_REQ.EVENT);
    this.#owner.kick();
  }

  #set(bit: number): Atomic<void> {
    this.#pending |= bit;
  }

  #testAndClear(bit: number): Atomic<boolean> {
    const was = (this.#pending & bit) !== 0;
    this.#pending &= ~bit;
    return was;
  }
}
