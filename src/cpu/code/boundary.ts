// The boundary behind an instruction at which an interrupt is due, as generated code meets it while a call of its own waits.
//
// Theory. What is due between two instructions is guest mode's affair (guestMode.ts), for which generated code is left and
// entered again. Where only the interrupt window opens, its trip is one to be made again, the event goes to ring 0 by the
// views, and the block of its handler is at hand, all this is done here, and generated code goes on at that block. Each step
// is done or not done: guest mode does what is missing.

import { RFLAGS } from '../../x86/names/registers.ts';
import { deliverAtHand } from '../events/commonDelivery.ts';
import { EVENT_TYPE, isValid, typeOf } from '../events/interruption.ts';
import { EXIT } from '../exit.ts';
import type { Caller } from './caller.ts';
import type { Fetch } from './fetch.ts';
import type { KnownExits } from './knownExits.ts';
import { remaining } from './payment.ts';

/** With these set, single instructions run by themselves. */
const ALONE = RFLAGS.TF | RFLAGS.RF;

export class Boundary {
  readonly #cpu: Caller;
  readonly #fetch: Fetch;
  readonly #known: KnownExits;

  constructor(cpu: Caller, fetch: Fetch, known: KnownExits) {
    this.#cpu = cpu;
    this.#fetch = fetch;
    this.#known = known;
  }

  /** At the stored RIP, with nothing paid for behind it: the block to go on with, which is paid for. 0: guest mode is to look. */
  cross(): number {
    const { state, controls } = this.#cpu;
    if (!this.#isCommon() || !this.#opensWindow()) return 0;
    if (isValid(state.entryEvent) && !this.#deliver()) return 0;
    if (controls.interruptWindow && this.#cpu.interruptible()) return 0;
    if ((state.rflags & ALONE) !== 0) return 0;
    const block = this.#fetch.known();
    if (block === 0) return 0;
    const left = state.budget - remaining(state, block);
    if (left < 0) return 0;
    state.budget = left;
    this.#fetch.enterPage();
    return block;
  }

  /** Nothing is due but a window, or an event that was injected. */
  #isCommon(): boolean {
    const { state, controls, mmu, serveExit } = this.#cpu;
    if (serveExit === null || state.budget <= 0 || state.activity !== 0 || state.shadow !== 0) return false;
    if (state.pendingDb !== 0 || controls.nmiWindow || controls.virtualApic !== null) return false;
    return !mmu.fragments.pending && !mmu.breakpoints.executing;
  }

  /** False: one opens whose exit is to be served. */
  #opensWindow(): boolean {
    const { state, controls } = this.#cpu;
    if (!controls.interruptWindow || !this.#cpu.interruptible()) return true;
    state.exitLength = 0;
    return this.#known.repeatOutside(EXIT.INTERRUPT_WINDOW);
  }

  /** An external interrupt. Delivery costs a unit. */
  #deliver(): boolean {
    const { state } = this.#cpu;
    const event = state.entryEvent | 0;
    if (state.budget <= 0 || typeOf(event) !== EVENT_TYPE.EXTERNAL || !deliverAtHand(this.#cpu, event, 0, 0, false))
      return false;
    state.entryEvent = 0;
    state.budget--;
    return true;
  }
}
