// Exits that recur, as the hypervisor sees them: which round trips may be made again, and the accounts of those that were.
//
// Theory. If nothing happens on the way from an exit to the next entry but what its handler does, and nothing waits, then a second
// round trip is the first one over again: the same charges, as many cycles. It is so if the handler says what it has looked at
// besides the question (`allow`), and that is the same: nothing has happened in between, and generated code may answer
// (cpu/code/recurrence.ts); or the vCPU's interrupts stand the same way, and then stand as they did behind the first
// (standing.ts); or it is the time, which is read anew. The last two are made again here (`repeat`), with other code in between
// (cpu/code/knownExits.ts). Nothing is worked out: what the first trip was measured to charge and count is what each of
// the others is counted with, when guest mode is left again and the guest's units have moved the clock.
//
// What is measured is compared with nothing, so `isQuiet` has to be right: whoever teaches exits or entries to look at something
// new adds it there, or to the standing. What becomes due in time needs no place in it, since no trip reaches beyond the units granted.

import { told, type Counter } from '../cpu/code/counter.ts';
import { EXIT, type ExitReason } from '../cpu/exit.ts';
import { RFLAGS } from '../x86/names/registers.ts';
import { COST } from '../host/costs.ts';
import type { CountingClock } from './bus/countingClock.ts';
import { Account, DEPENDS, RoundTrip, type CountMore, type Depends } from './roundTrip.ts';
import { change, Standing } from './standing.ts';
import { VCPU_MODE, type Vcpu } from './vcpu.ts';

/** Reasons of exits that may recur. */
const RECURS = new Uint8Array(1 + Math.max(...Object.values(EXIT)));
const { CPUID, INVD, WBINVD, CR_ACCESS, IO_INSTRUCTION, MSR_READ, MSR_WRITE, INTERRUPT_WINDOW, HLT } = EXIT;
for (const reason of [CPUID, INVD, WBINVD, CR_ACCESS, IO_INSTRUCTION, MSR_READ, MSR_WRITE, INTERRUPT_WINDOW, HLT])
  RECURS[reason] = 1;

/** Those of them that may depend on how the vCPU's interrupts stand. */
const ON_STANDING = new Uint8Array(RECURS.length);
for (const reason of [CR_ACCESS, MSR_WRITE, INTERRUPT_WINDOW, HLT]) ON_STANDING[reason] = 1;

/** So many standings are told apart; then all trips are forgotten. */
const STANDINGS = 32;
const NOTHING: CountMore = () => undefined;

export class Recurrence {
  readonly #vcpu: Vcpu;
  /** The trip under way is watched. */
  watched = false;
  /** On the way back in was asked which event is due. */
  lookedForEvents = false;
  #depends: Depends | null = null;
  #countMore = NOTHING;
  #clock: CountingClock | null = null;
  #reason = 0;
  /** Where the exit began, where a clock was read. */
  #from = 0;
  #read = 0;
  #before: Standing | null = null;
  #interruptible = false;
  readonly #account = new Account();
  /** Ways to stand that trips begin or end with: each of them once. */
  #standings: Standing[] = [];
  /** The one that the vCPU is known to have since units were granted; null: not looked at. */
  #standing: Standing | null = null;
  /** Whether trips can be made again under the units granted; null: not looked at. */
  #open: boolean | null = null;
  /** The clock that was read last, and what it is as of a position. */
  #counting: CountingClock | null = null;
  #countingFrom = 0;
  #counter: Counter | null = null;
  /** What generated code answers. */
  #recurring: RoundTrip | null = null;
  /** Trips made again that were not counted yet; the last one, and where it began. */
  readonly #repeated: RoundTrip[] = [];
  #last: RoundTrip | null = null;
  #lastAt = 0;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
  }

  /** An exit begins. */
  begin(reason: ExitReason): void {
    const vcpu = this.#vcpu;
    this.#depends = null;
    this.watched = vcpu.guest.watched && RECURS[reason] !== 0 && isQuiet(vcpu);
    if (!this.watched) return;
    this.#reason = reason;
    this.#from = vcpu.cpu.now;
    this.#clock = null;
    this.lookedForEvents = false;
    this.#before = ON_STANDING[reason] !== 0 && isStill(vcpu) ? this.#find(Standing.of(vcpu)) : null;
    this.#interruptible = isInterruptible(vcpu);
    this.#account.take(vcpu);
  }

  /** Its handler has looked at nothing but its question, and changed nothing that a second time would change again. */
  allow(depends: Depends = DEPENDS.ON_MORE, countMore = NOTHING): void {
    this.#depends = depends;
    this.#countMore = countMore;
  }

  /** It has looked at nothing but a clock, whose count it tells. */
  allowReading(clock: CountingClock): void {
    this.allow(DEPENDS.ON_TIME);
    this.#clock = clock;
    this.#read = this.#vcpu.cpu.now;
  }

  /** Something has happened on the way that another trip would not meet. */
  disturbed(): void {
    this.watched = false;
  }

  /** What trips take for granted has changed. */
  forget(): void {
    this.disturbed();
    this.#standings = [];
    this.#standing = null;
  }

  /** The guest was entered again: the round trip if it may be made again, else null. */
  end(): RoundTrip | null {
    const vcpu = this.#vcpu;
    if (!this.watched || this.#depends === null || !isQuiet(vcpu)) return null;
    const before = this.#before;
    const behind = before !== null && isStill(vcpu) ? this.#find(Standing.of(vcpu)) : null;
    if (behind === null && this.lookedForEvents) return null;
    const counted = this.#account.since(vcpu);
    if (counted.primitives.includes(COST.hardirq)) return null;
    const trip = new RoundTrip(this, {
      reason: this.#reason,
      cycles: vcpu.cpu.now - this.#from,
      left: vcpu.leftGuestAt < this.#from ? null : vcpu.leftGuestAt - this.#from,
      read: this.#read - this.#from,
      depends: behind === null && this.#depends === DEPENDS.ON_STANDING ? DEPENDS.ON_MORE : this.#depends,
      counted,
      countMore: this.#countMore,
      before,
      interruptible: this.#interruptible,
      behind,
      event: vcpu.guest.state.entryEvent,
      clock: this.#clock,
    });
    if (this.#clock !== null) trip.counter = this.#counterOf(this.#clock);
    this.#recurring = trip;
    return trip;
  }

  /**
   * Units are about to be granted up to the preemption timer's end: up to where, so that trips can be made again, each of whose
   * entries sets that timer anew.
   */
  grant(timerEnd: number): number {
    const { hvTimer, cpu, guest } = this.#vcpu;
    this.#standing = null;
    this.#open = null;
    if (hvTimer === null || !hvTimer.armed) return timerEnd;
    const { earliest } = hvTimer;
    if (earliest > cpu.now) return Math.min(earliest, timerEnd);
    this.#open = false;
    guest.trip = null;
    return timerEnd;
  }

  /** Makes a trip again, `at` units after the grant; false: it would be another one. */
  repeat(trip: RoundTrip, at: number): boolean {
    const vcpu = this.#vcpu;
    if (!(this.#open ??= isQuiet(vcpu))) return false;
    const { seen } = trip;
    const from = vcpu.cpu.now + at;
    if (seen.clock !== null) {
      trip.counter = this.#counterOf(seen.clock);
      trip.answer = told(trip.counter, at + seen.read);
    } else {
      if (seen.interruptible !== isInterruptible(vcpu) || !this.#stands(seen.before!)) return false;
      if (trip.change !== null) change(vcpu, trip.change);
      this.#standing = seen.behind;
      if (seen.event !== 0) injectAgain(vcpu, seen.event);
    }
    if (trip.times++ === 0) this.#repeated.push(trip);
    this.#last = trip;
    this.#lastAt = at;
    if (seen.left !== null) vcpu.leftGuestAt = from + seen.left;
    if (trip.recurs && vcpu.guest.state.recurCount === 0) this.#recurring = trip;
    return true;
  }

  /** A clock as of the grant: the last one that was asked for is kept. */
  #counterOf(clock: CountingClock): Counter {
    const { now } = this.#vcpu.cpu;
    if (this.#counting !== clock || this.#countingFrom !== now) {
      this.#counting = clock;
      this.#countingFrom = now;
      this.#counter = clock.counterAt(now);
    }
    return this.#counter!;
  }

  /** The guest is left: what generated code has answered, `times`, last `at` so many units after the grant; and trips made again. */
  account(times: number, at: number): void {
    if (times === 0 && this.#last === null) return;
    const vcpu = this.#vcpu;
    let last = this.#last;
    let lastAt = this.#lastAt;
    if (times > 0) {
      const recurring = this.#recurring!;
      recurring.count(vcpu, times);
      if (last === null || at > lastAt) {
        last = recurring;
        lastAt = at;
      }
    }
    for (const trip of this.#repeated) {
      trip.count(vcpu, trip.times);
      trip.times = 0;
    }
    this.#repeated.length = 0;
    this.#last = null;
    const { cpu, hvTimer, place } = vcpu;
    const { left, cycles } = last!.seen;
    if (left !== null) vcpu.leftGuestAt = cpu.now + lastAt + left;
    if (hvTimer !== null) place.timerEnd = hvTimer.update(cpu.now + lastAt + cycles);
  }

  /** The vCPU stands so. */
  #stands(standing: Standing): boolean {
    if (this.#standing !== null) return this.#standing === standing;
    if (!this.#standings.includes(standing) || !isStill(this.#vcpu) || !standing.isOf(this.#vcpu)) return false;
    this.#standing = standing;
    return true;
  }

  #find(standing: Standing): Standing {
    const found = this.#standings.find((other) => other.equals(standing));
    if (found !== undefined) return found;
    if (this.#standings.length === STANDINGS) this.#standings = [];
    this.#standings.push(standing);
    return standing;
  }
}

/**
 * Nobody listens, and nothing waits that an exit, an entry or what lies between them would do something about. What would keep
 * the vCPU from being entered again, or the processor from going on in generated code, need not be asked for.
 */
function isQuiet(vcpu: Vcpu): boolean {
  const { probes, requests, xen, directTimer, pv, lapic } = vcpu;
  const { timer } = lapic;
  if (probes.active || requests.pending || xen !== null || directTimer !== null) return false;
  if (vcpu.mode !== VCPU_MODE.IN_GUEST || vcpu.signalPending || vcpu.cpu.needResched) return false;
  return !pv.eoi.pending && !timer.hasPendingTimer() && timer.expiredTscdeadline === 0n && !timer.lazy.stale;
}

/** And nothing but its standing decides what becomes of its interrupts. */
function isStill(vcpu: Vcpu): boolean {
  const { apicv, events, lapic, pv, vm } = vcpu;
  const { exception, nmi } = events;
  if (vcpu.pvUnhalted || pv.asyncPf.hasDone) return false;
  if (apicv !== null || pv.eoi.enabled || vm.irqchip.pic.output || lapic.events.pending) return false;
  return !exception.pending && !exception.injected && nmi.pending === 0 && !nmi.injected;
}

/** RFLAGS.IF: neither a shadow nor an event is in the way where an exit is served in place. */
const isInterruptible = ({ guest }: Vcpu): boolean => (guest.state.rflags & RFLAGS.IF) !== 0;

/** Delivers an external interrupt at the next entry. */
function injectAgain({ guest: { state } }: Vcpu, event: number): void {
  state.entryEvent = event;
  state.entryErrorCode = 0;
}
