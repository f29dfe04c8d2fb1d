// How much earlier than a deadline the host's timer is set, so that the guest has its interrupt on time (Linux 6.16
// arch/x86/kvm/lapic.c: lapic_timer_advance, adjust_lapic_timer_advance, __wait_lapic_expire).
//
// Theory: from the host's timer to the guest's first handler instruction an exit and an entry pass. So the timer is set
// early by about as much, and the entry that brings the interrupt waits for whatever is left. How early is learned: each
// such entry corrects the advance by an eighth of how late or early it found itself; jitter and outliers correct nothing.

import type { SavedFields } from '../cpu/savedFields.ts';

/** LAPIC_TIMER_ADVANCE_*: nanoseconds, or TSC cycles where a correction is judged. */
const INITIAL_NS = 1000;
const MOST_NS = 5000;
const LEAST_CORRECTED = 100;
const MOST_CORRECTED = 10_000;
const STEP = 8;

const NS_PER_MS = 1_000_000;

export class TimerAdvance {
  /** The advance in cycles of the guest's TSC. */
  cycles = 0;
  #ns = 0;
  readonly #tscKhz: number;

  constructor(on: boolean, tscKhz: number) {
    this.#tscKhz = tscKhz;
    this.#set(on ? INITIAL_NS : 0);
  }

  /** timer_advance_ns; 0: off. */
  get ns(): number {
    return this.#ns;
  }

  transfer(fields: SavedFields): void {
    this.#set(fields.value('ns', this.#ns));
  }

  #set(ns: number): void {
    this.#ns = ns;
    this.cycles = Math.floor((ns * this.#tscKhz) / NS_PER_MS);
  }

  /** An entry with the timer's interrupt stands `delta` cycles behind its deadline (negative: before it). */
  adjust(delta: number): void {
    const size = Math.abs(delta);
    if (size < LEAST_CORRECTED || size > MOST_CORRECTED) return;
    const step = Math.floor(Math.floor((size * NS_PER_MS) / this.#tscKhz) / STEP);
    const ns = this.#ns + (delta < 0 ? -step : step);
    // The unsigned arithmetic of KVM makes an advance below 0 a very large one.
    this.#set(ns > MOST_NS || ns < 0 ? INITIAL_NS : ns);
  }
}
