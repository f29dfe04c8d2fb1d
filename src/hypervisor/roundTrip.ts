// The round trip of an exit, from the exit to the next entry, as it was when it was served: what it took, what it counted, how the
// vCPU stood before and behind it. Nothing is written down twice: what one trip was measured to be is what each repetition counts.

import type { Counter } from '../cpu/code/counter.ts';
import type { Trip } from '../cpu/code/knownExits.ts';
import { PRIMITIVE_COUNT } from '../host/costs.ts';
import type { CountingClock } from './bus/countingClock.ts';
import type { Recurrence } from './recurrence.ts';
import type { Change, Standing } from './standing.ts';
import { COUNTS, type Count, type Vcpu } from './vcpu.ts';

/** What a handler says its exit depends on, besides its question. */
export const DEPENDS = {
  /** Not known, so that a repetition must follow at once: nothing may have been in between. */
  ON_MORE: 0,
  /** How the vCPU stands as regards its interrupts (standing.ts). */
  ON_STANDING: 1,
  /** The time, which its answer tells. */
  ON_TIME: 2,
} as const;
export type Depends = (typeof DEPENDS)[keyof typeof DEPENDS];

/** Counts what a handler counts of its exit by name, for `times` more. */
export type CountMore = (vcpu: Vcpu, times: number) => void;

/** What a vCPU has spent and counted by now. */
export class Account {
  readonly #charged = new Float64Array(PRIMITIVE_COUNT);
  readonly #counts = new Float64Array(COUNTS.length);

  take({ cpu, stat }: Vcpu): void {
    this.#charged.set(cpu.charged);
    for (let i = 0; i < COUNTS.length; i++) this.#counts[i] = stat[COUNTS[i]!];
  }

  /** What it has since. */
  since({ cpu, stat }: Vcpu): Counted {
    const { charged } = cpu;
    const since: Counted = { primitives: [], charges: [], counts: [], steps: [] };
    for (let i = 0; i < PRIMITIVE_COUNT; i++)
      if (charged[i] !== this.#charged[i]) {
        since.primitives.push(i);
        since.charges.push(charged[i]! - this.#charged[i]!);
      }
    for (const [i, name] of COUNTS.entries())
      if (stat[name] !== this.#counts[i]) {
        since.counts.push(name);
        since.steps.push(stat[name] - this.#counts[i]!);
      }
    return since;
  }
}

/** Plain arrays: a typed one of some size is a call of malloc, and trips are made often. */
interface Counted {
  readonly primitives: number[];
  readonly charges: number[];
  readonly counts: Count[];
  readonly steps: number[];
}

/** What was seen of a trip. */
export interface Seen {
  readonly reason: number;
  /** Cycles from the exit to the entry, and to where a clock was read. */
  readonly cycles: number;
  readonly read: number;
  /** To where the guest's registers were left; null: a fast path has kept them. */
  readonly left: number | null;
  readonly depends: Depends;
  readonly counted: Counted;
  readonly countMore: CountMore;
  /** How the vCPU stood, and RFLAGS.IF, before. Null: it does not matter. */
  readonly before: Standing | null;
  readonly interruptible: boolean;
  readonly behind: Standing | null;
  /** The external interrupt that was injected: VM-entry interruption information; 0: none. */
  readonly event: number;
  /** The clock whose count it tells; null: none. */
  readonly clock: CountingClock | null;
}

export class RoundTrip implements Trip {
  readonly seen: Seen;
  readonly units: number;
  readonly recurs: boolean;
  readonly repeats: boolean;
  readonly readAt: number;
  answer: number | null = null;
  counter: Counter | null = null;
  /** What it does to the vCPU's standing; null: nothing. */
  readonly change: Change | null;
  /** Repetitions that were not counted yet. */
  times = 0;
  readonly #recurrence: Recurrence;

  constructor(recurrence: Recurrence, seen: Seen) {
    this.#recurrence = recurrence;
    this.seen = seen;
    const { before, behind } = seen;
    this.change = before === null || behind === null || before === behind ? null : behind.since(before);
    this.units = seen.cycles;
    this.recurs = seen.event === 0 && this.change === null;
    this.readAt = seen.read;
    this.repeats = seen.depends !== DEPENDS.ON_MORE;
  }

  repeat(at: number): boolean {
    return this.#recurrence.repeat(this, at);
  }

  /** It was made `times` more. */
  count(vcpu: Vcpu, times: number): void {
    const { seen } = this;
    vcpu.stat.byReason[seen.reason]! += times;
    vcpu.vm.host.stepUnits -= times * seen.cycles;
    addCounted(vcpu, seen.counted, times);
    seen.countMore(vcpu, times);
  }
}

function addCounted({ cpu, stat }: Vcpu, { primitives, charges, counts, steps }: Counted, times: number): void {
  for (let i = 0; i < primitives.length; i++) cpu.charged[primitives[i]!]! += times * charges[i]!;
  for (let i = 0; i < counts.length; i++) stat[counts[i]!] += times * steps[i]!;
}
