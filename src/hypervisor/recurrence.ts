// Exits that recur, as the hypervisor sees them: what the round trip of one took, and that of those which generated code has
// answered by itself (cpu/code/recurrence.ts).
//
// Theory. A handler that has looked at nothing but its question says so (`allow`): the same again would be answered the same.
// If nothing else happened on the way from the exit to the next entry either, and nothing waits, then a second round trip is
// the first one over again: the same charges, and as many cycles. Nothing is worked out here: what the first one charged is
// what each of the others is counted with, when guest mode is left again and the guest's units have moved the clock.
//
// What is measured is compared with nothing, so `isQuiet` has to be right: whoever teaches exits or entries to look at something
// new adds it there. What becomes due in time needs no place in it, since an exit does not recur beyond the units granted.

import { EXIT, type ExitReason } from '../cpu/exit.ts';
import { OFFSET } from '../cpu/state.ts';
import { COST, PRIMITIVE_COUNT } from '../host/costs.ts';
import type { Vcpu } from './vcpu.ts';

/** Reasons of exits that may recur. */
const RECURS = new Uint8Array(1 + Math.max(...Object.values(EXIT)));
const { CPUID, INVD, WBINVD, CR_ACCESS, IO_INSTRUCTION, MSR_READ } = EXIT;
for (const reason of [CPUID, INVD, WBINVD, CR_ACCESS, IO_INSTRUCTION, MSR_READ]) RECURS[reason] = 1;

/** Counts what a handler counts of its exit, for `times` more. */
export type CountMore = (vcpu: Vcpu, times: number) => void;
const NOTHING: CountMore = () => undefined;

export class Recurrence {
  readonly #vcpu: Vcpu;
  /** The exit has to be watched: it is the second one in a row of this reason at this place. */
  #watched = false;
  #allowed = false;
  #countMore = NOTHING;
  #reason = 0;
  #rip = 0;
  /** Where the exit began, and what had been charged by then. */
  #from = 0;
  readonly #charged = new Float64Array(PRIMITIVE_COUNT);
  /** Of one round trip: cycles, and those up to where the guest's registers were left. */
  #cycles = 0;
  #left = 0;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
  }

  /** An exit begins. */
  begin(reason: ExitReason): void {
    const { cpu, guest } = this.#vcpu;
    const rip = guest.state.low(OFFSET.rip);
    const again = rip === this.#rip && reason === this.#reason;
    this.#rip = rip;
    this.#reason = reason;
    this.#allowed = false;
    this.#watched = again && RECURS[reason] !== 0 && isQuiet(this.#vcpu);
    if (!this.#watched) return;
    this.#from = cpu.now;
    this.#charged.set(cpu.charged);
  }

  /** Its handler has looked at nothing but its question, and changed nothing that a second time would change again. */
  allow(countMore = NOTHING): void {
    this.#allowed = true;
    this.#countMore = countMore;
  }

  /** The guest was entered again: the cycles of the round trip if the exit may recur, else 0. */
  end(): number {
    const vcpu = this.#vcpu;
    if (!this.#watched || !this.#allowed || !isQuiet(vcpu)) return 0;
    const { charged, now } = vcpu.cpu;
    for (let i = 0; i < PRIMITIVE_COUNT; i++) this.#charged[i] = charged[i]! - this.#charged[i]!;
    if (this.#charged[COST.hardirq] !== 0) return 0;
    this.#cycles = now - this.#from;
    this.#left = vcpu.leftGuestAt - this.#from;
    return this.#cycles;
  }

  /** The exit has recurred `times`, the last time at position `at`. */
  account(times: number, at: number): void {
    const vcpu = this.#vcpu;
    const { cpu, stat, hvTimer, vm: { host } } = vcpu; // prettier-ignore
    stat.exits += times;
    stat.byReason[this.#reason]! += times;
    host.stepUnits -= times * this.#cycles;
    this.#countMore(vcpu, times);
    for (let i = 0; i < PRIMITIVE_COUNT; i++) cpu.charged[i]! += times * this.#charged[i]!;
    vcpu.leftGuestAt = at + this.#left;
    if (hvTimer !== null) vcpu.place.timerEnd = hvTimer.update(at + this.#cycles);
  }
}

/**
 * Nobody listens, and nothing waits that an exit, an entry or what lies between them would do something about. What would keep
 * the vCPU from being entered again, or the processor from going on in generated code, need not be asked for.
 */
function isQuiet({ probes, requests, xen, directTimer, pv, lapic: { timer } }: Vcpu): boolean {
  if (probes.active || requests.pending || xen !== null || directTimer !== null) return false;
  return !pv.eoi.pending && !timer.hasPendingTimer() && timer.expiredTscdeadline === 0n && !timer.lazy.stale;
}
