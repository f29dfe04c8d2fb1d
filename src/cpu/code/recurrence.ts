// Exits that recur: generated code that asks the hypervisor the same once more, with nothing in between, answers itself.
//
// Theory. Loops exit again and again at one instruction: CPUID, a port that is read until it changes, CR8. An exit whose
// handler has looked at nothing but what the instruction asks would be answered the same again, and its round trip would
// take the same time, as long as nothing else happens. So when such an exit has been served in place, the hypervisor says
// what its round trip took, in units (`recurring`), and here is kept which instruction it was, what it asked and what it was
// answered. When generated code comes to that very record again, without having been left, having called microcode or having
// been granted units anew since (`forget`, `Cpu.grant`), and the registers ask the same, it takes the answer, pays the units and
// counts. The exit has happened: the hypervisor accounts for it when guest mode is left next (hypervisor/recurrence.ts). Only
// the host's time is less.
//
// It must not reach beyond what was granted, since there something may be due; nor beyond the horizon, behind which others
// would come first. There the exit is an ordinary one, as it is in an instruction that runs by itself, outside of CPL 0, and on
// the evaluator, which knows nothing of all this.

import { OFFSET, type CpuState } from '../state.ts';
import type { Places } from './exitPlaces.ts';
import { placesOf, type KnownExit, type Trip } from './knownExits.ts';
import { remaining } from './payment.ts';

/** The exit of one CPU that may recur. */
export class Recurrence {
  readonly #state: CpuState;
  #places: Places | null = null;

  constructor(state: CpuState) {
    this.#state = state;
  }

  /** None may: generated code is entered, or has called out. */
  forget(): void {
    this.#state.recurRecord = 0;
  }

  /** An exit at a record is about to be served. Outside of CPL 0 what an instruction may do can stand in memory. */
  asked(record: number): void {
    this.#places = this.#state.cpl === 0 ? placesOf(this.#state.views.u16[record >> 1]!) : null;
    if (this.#places !== null) this.#keep(record, this.#places.from, OFFSET.recurFrom);
  }

  /** It was; the same again would take `units` beside the one that its block was paid for it, of the units granted. */
  answered(record: number, trip: Trip, units: number, granted: number): void {
    if (this.#places === null) return;
    this.#keep(record, this.#places.to, OFFSET.recurTo);
    this.#begin(record, trip, units, granted);
  }

  /** It was a trip made again, whose question and answer are known. */
  again(record: number, { from, to, trip, units }: KnownExit, granted: number): void {
    const { views, base } = this.#state;
    views.u32.set(from, (base + OFFSET.recurFrom) >>> 2);
    views.u32.set(to, (base + OFFSET.recurTo) >>> 2);
    this.#begin(record, trip!, units, granted);
  }

  #begin(record: number, { counter, readAt }: Trip, units: number, granted: number): void {
    const state = this.#state;
    state.recurRecord = record;
    state.recurUnits = units;
    state.recurFloor = Math.max(state.aheadBelow, 0);
    state.recurTicks = 0;
    if (counter === null) return;
    state.recurTicks = counter.ticks;
    state.recurCycles = counter.cycles;
    state.recurBase = counter.base;
    state.recurRest = counter.rest;
    state.recurMask = counter.mask;
    state.recurReadEnd = granted - remaining(state, record) + readAt;
  }

  #keep(record: number, registers: readonly number[], to: number): void {
    const { u16, u32 } = this.#state.views;
    const { base } = this.#state;
    for (let i = 0; i < registers.length; i++) {
      const place = registers[i]!;
      const from = (base + (place < 0 ? u16[(record - place) >> 1]! : place)) >>> 2;
      const target = (base + to + 8 * i) >>> 2;
      u32[target] = u32[from]!;
      u32[target + 1] = u32[from + 1]!;
    }
  }
}
