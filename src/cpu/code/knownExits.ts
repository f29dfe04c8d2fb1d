// Exits that are known: the hypervisor has served them before, and can do the same over again without serving them.
//
// Theory. A guest asks the same things again and again with other code in between: it ends interrupts, sends itself one, reads
// a clock. Of such an exit the hypervisor keeps what its round trip took and changed (`Trip`, hypervisor/roundTrip.ts). Here is
// kept for each CPU which instruction asked what, so that the next time the trip can be made again: the hypervisor checks that it
// would be the same, does what the handler did and counts; the units are paid, and the guest goes on. An exit is looked at
// closely (`watched`) when it has been asked for once; one whose trips are never the same is left in peace after a few of them.
//
// Like an exit that recurs in generated code (recurrence.ts), a trip must not reach beyond what was granted, nor beyond the horizon.

import { RFLAGS } from '../../x86/names/registers.ts';
import { EXIT, type ExitReason } from '../exit.ts';
import type { CpuState } from '../state.ts';
import { stepOver } from '../vmexit.ts';
import type { Counter } from './counter.ts';
import { placesOfForm, type Places } from './exitPlaces.ts';
import { HANDLERS } from './handlers.ts';
import { remaining } from './payment.ts';
import { RECORD } from './records.ts';

/** The round trip of an exit, as it was. */
export interface Trip {
  /** Units from the exit to the entry. */
  readonly units: number;
  /** The same exit with nothing in between would be the same trip: it may recur in generated code. */
  readonly recurs: boolean;
  /** It may be made again whatever was in between, if `repeat` says so. */
  readonly repeats: boolean;
  /** What was answered this time, in the first register of the answer; null: what was answered the first time. */
  readonly answer: number | null;
  /** What the answer counts under the units granted; null: it is what it was. */
  readonly counter: Counter | null;
  /** Units from the exit to where the counter was read. */
  readonly readAt: number;
  /** Makes it again, `at` units after the grant. False: it would be another one, and nothing was done. */
  repeat(at: number): boolean;
}

/** By handler; undefined: not looked at yet. Whole from the start: an array with holes would be a dictionary. */
const byHandler = new Array<Places | null | undefined>(HANDLERS.length).fill(undefined);

/** Of the exit of a handler's instruction; null: it is always served. */
export function placesOf(handler: number): Places | null {
  const places = byHandler[handler];
  return places === undefined ? (byHandler[handler] = placesOfForm(HANDLERS[handler]!.form)) : places;
}

/** Slots; a power of 2. */
const SLOTS = 64;
/** So many trips are watched for one that can be made again. */
const PATIENCE = 8;
const NO_RECORD = 0;
/** Registers of a question, and of an answer, at most. */
const QUESTION = 3;
const ANSWER = 4;

export class KnownExit {
  record = NO_RECORD;
  /** Parts of the record, whose place in the code cache may be another one's by now. */
  handler = 0;
  slots = 0;
  immediate = 0;
  trip: Trip | null = null;
  /** Units of the trip beside the one that the exit's block was paid for its instruction. */
  units = 0;
  patience = PATIENCE;
  /** The trip was another one when it was to be made again. */
  stale = false;
  readonly from = new Uint32Array(2 * QUESTION);
  readonly to = new Uint32Array(2 * ANSWER);
}

/** With these set, more is due behind an instruction that is stepped over. */
const TRAPS = RFLAGS.TF | RFLAGS.RF;

/** Its trip is not known, or is another one now. */
const isWorthWatching = (known: KnownExit): boolean => (known.trip === null || known.stale) && --known.patience >= 0;

/** The CPU whose exits they are. */
export interface TripMaker {
  readonly state: CpuState;
  /** Makes a trip again from where so many units are left. */
  repeat(trip: Trip, left: number): boolean;
}

export class KnownExits {
  readonly #cpu: TripMaker;
  readonly #state: CpuState;
  readonly #slots = Array.from({ length: SLOTS }, () => new KnownExit());
  /** For which generated code is left: the interrupt window, and HLT where an event waits. */
  readonly #window = new KnownExit();
  readonly #halt = new KnownExit();
  /** The exit that is being served, where it may become known. */
  #asked: KnownExit | null = null;

  constructor(cpu: TripMaker) {
    this.#cpu = cpu;
    this.#state = cpu.state;
  }

  /** Makes the trip of a record's exit again; null: it is to be served. CPL 0, and no shadow stands. */
  repeat(record: number): KnownExit | null {
    const state = this.#state;
    const places = placesOf(state.views.u16[record >> 1]!);
    if (places === null) return null;
    const known = this.#slotOf(record, places);
    const { trip, units } = known;
    const { budget } = state;
    if (trip === null || !this.#reaches(budget - units) || !this.#asksTheSame(known, places, record)) return null;
    if (!this.#cpu.repeat(trip, budget + remaining(state, record))) {
      known.stale = true;
      return null;
    }
    known.patience = PATIENCE;
    state.budget = budget - units;
    this.#answer(known, places, record);
    if (trip.answer !== null) this.#state.views.u32[this.#address(places.to[0]!, record)] = trip.answer;
    return known;
  }

  /** The same for an exit for which generated code was left; HLT is stepped over. */
  repeatOutside(reason: ExitReason): boolean {
    const known = this.#outside(reason);
    if (known === null || known.trip === null) return false;
    const state = this.#state;
    const { budget } = state;
    if (!this.#reaches(budget - known.units) || (state.rflags & TRAPS) !== 0) return false;
    if (!this.#cpu.repeat(known.trip, budget)) return !(known.stale = true);
    known.patience = PATIENCE;
    state.budget = budget - known.units;
    if (reason === EXIT.HLT) stepOver(state);
    return true;
  }

  /** A record's exit is about to be served: whether the hypervisor is to watch it. Outside of CPL 0 a question can stand in memory. */
  asked(record: number): boolean {
    this.#asked = null;
    const places = placesOf(this.#state.views.u16[record >> 1]!);
    if (places === null || this.#state.cpl !== 0) return false;
    const known = (this.#asked = this.#slotOf(record, places));
    if (this.#asksTheSame(known, places, record)) return isWorthWatching(known);
    const { u16, u32 } = this.#state.views;
    known.record = record;
    known.handler = u16[record >> 1]!;
    known.slots = u32[(record + RECORD.slots) >> 2]!;
    known.immediate = u32[(record + RECORD.imm) >> 2]!;
    known.trip = null;
    known.patience = PATIENCE;
    this.#copy(known.from, places.from, record);
    return false;
  }

  askedOutside(reason: ExitReason): boolean {
    this.#asked = this.#outside(reason);
    return this.#asked !== null && isWorthWatching(this.#asked);
  }

  #outside(reason: ExitReason): KnownExit | null {
    if (reason === EXIT.INTERRUPT_WINDOW) return this.#window;
    return reason === EXIT.HLT ? this.#halt : null;
  }

  /** It was served: the trip, if it may be made again. `paid`: the unit of its instruction, which the block has paid. */
  served(trip: Trip, paid: 0 | 1): void {
    const known = this.#asked;
    if (known === null) return;
    known.trip = trip;
    known.stale = false;
    known.units = trip.units - paid;
    const { record } = known;
    if (record !== NO_RECORD) this.#copy(known.to, placesOf(this.#state.views.u16[record >> 1]!)!.to, record);
  }

  /** The exit asked for last has recurred in generated code: watching it was worth it. */
  recurred(): void {
    if (this.#asked !== null) this.#asked.patience = PATIENCE;
  }

  #reaches(left: number): boolean {
    return left >= 0 && left >= this.#state.aheadBelow;
  }

  /** Slots go by what is asked, too: one WRMSR of a guest may be all that it has. */
  #slotOf(record: number, { from }: Places): KnownExit {
    const { u32 } = this.#state.views;
    let hash = record >>> 5;
    for (let i = 0; i < from.length; i++) hash = 7 * hash + u32[this.#address(from[i]!, record)]!;
    return this.#slots[hash & (SLOTS - 1)]!;
  }

  #asksTheSame(known: KnownExit, places: Places, record: number): boolean {
    const { u16, u32 } = this.#state.views;
    if (known.record !== record || known.handler !== u16[record >> 1]!) return false;
    if (known.slots !== u32[(record + RECORD.slots) >> 2]! || known.immediate !== u32[(record + RECORD.imm) >> 2]!)
      return false;
    const { from } = known;
    for (let i = 0; i < places.from.length; i++) {
      const at = this.#address(places.from[i]!, record);
      if (u32[at] !== from[2 * i] || u32[at + 1] !== from[2 * i + 1]) return false;
    }
    return true;
  }

  #answer({ to }: KnownExit, places: Places, record: number): void {
    const { u32 } = this.#state.views;
    for (let i = 0; i < places.to.length; i++) {
      const at = this.#address(places.to[i]!, record);
      u32[at] = to[2 * i]!;
      u32[at + 1] = to[2 * i + 1]!;
    }
  }

  #copy(to: Uint32Array, places: readonly number[], record: number): void {
    const { u32 } = this.#state.views;
    for (let i = 0; i < places.length; i++) {
      const at = this.#address(places[i]!, record);
      to[2 * i] = u32[at]!;
      to[2 * i + 1] = u32[at + 1]!;
    }
  }

  /** Of a register: the index of its lower half among the words of memory. */
  #address(place: number, record: number): number {
    const { views, base } = this.#state;
    return (base + (place < 0 ? views.u16[(record - place) >> 1]! : place)) >>> 2;
  }
}
