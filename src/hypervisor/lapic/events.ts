// INIT and SIPI: what is pending, and the wait-for-SIPI state machine that takes it (kvm_apic_accept_events; SDM vol. 3, 9.4).

import { KVM_REQ } from '../requests.ts';
import type { LapicOwner } from './owner.ts';
import type { Cell } from '../../host/cells.ts';

export class InitSipiEvents {
  readonly #owner: LapicOwner;
  initPending: Cell<boolean> = false;
  sipiPending: Cell<boolean> = false;
  sipiVector: Cell<number> = 0;

  constructor(owner: LapicOwner) {
    this.#owner = owner;
  }

  /** kvm_apic_has_pending_init_or_sipi(). */
  get pending(): boolean {
    return this.initPending || this.sipiPending;
  }

  /** A later INIT forgets a SIPI that was not taken yet. */
  receiveInit(): void {
    this.initPending = true;
    this.sipiPending = false;
    this.#notify();
  }

  receiveSipi(vector: number): void {
    this.sipiVector = vector;
    this.sipiPending = true;
    this.#notify();
  }

  #notify(): void {
    this.#owner.requests.make(KVM_REQ.EVENT);
    this.#owner.kick();
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
      this.sipiPending = false;
      return;
    }
    if (this.initPending) {
      this.initPending = false;
      owner.reset(true);
      owner.mpState = owner.id === owner.vm.bspId ? 'runnable' : 'init-received';
    }
    if (this.sipiPending) {
      this.sipiPending = false;
      if (owner.mpState !== 'init-received') return;
      owner.deliverSipi(this.sipiVector);
      owner.mpState = 'runnable';
    }
  }
}
