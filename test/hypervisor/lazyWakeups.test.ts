// No wake-up is ever lost: whatever the guest and the host do in whatever order, a deadline that the guest wants ends in an
// interrupt, no later than the run loop comes by after it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LazyVersion } from '../../src/hypervisor/params.ts';
import { GPA, LazyGuest } from './lazyGuest.ts';

/** A guest that remembers which deadline it waits for, as a clock-event layer does, and looks after every interrupt. */
class WaitingGuest {
  readonly guest: LazyGuest;
  wanted: bigint | null = null;
  /** Interrupts that came before the deadline that was wanted. */
  early = 0;
  #handled = 0;

  constructor(lazyTscdeadline: LazyVersion) {
    this.guest = new LazyGuest({ params: { lazyTscdeadline } });
    this.guest.online();
  }

  /** The host's run loop, then the guest's interrupt handler: an early interrupt makes it program the device again. */
  service = (): void => {
    const { guest } = this;
    guest.vcpu.runLoop();
    if (!guest.rig.memory.present) return;
    const { taken } = guest.vcpu;
    for (; this.#handled < taken.length; this.#handled++) {
      if (this.wanted === null) continue;
      if (taken[this.#handled]!.tsc >= this.wanted) {
        this.wanted = null;
      } else {
        this.early++;
        guest.setNextEvent(this.wanted);
        guest.vcpu.runLoop();
      }
    }
  };

  want(deadline: bigint, how: 'set_next_event' | 'wrmsr'): void {
    this.wanted = deadline;
    if (how === 'set_next_event') this.guest.setNextEvent(deadline);
    else this.guest.writeDeadline(deadline);
  }

  /** Nothing is wanted any more; `how` is what the guest does to its timer. */
  stop(how: () => void): void {
    this.wanted = null;
    how();
  }

  pass(cycles: number, service: () => void): void {
    const { rig } = this.guest;
    rig.advanceTo(rig.time + cycles, service);
    this.service();
  }

  check(): void {
    const { guest } = this;
    if (this.wanted !== null) expect(this.wanted).toBeGreaterThan(guest.now);
    // What the guest trusts: armed is 0, or a timer stands behind it.
    if (guest.armed !== 0n) expect(guest.hostTimer).toBe(guest.armed);
  }
}

const delta = fc.integer({ min: -50, max: 3000 });
const time = fc.integer({ min: 0, max: 4000 });
const later = (w: WaitingGuest, by: number): bigint => w.guest.now + BigInt(by);

type Event = (w: WaitingGuest) => void;
const ordinary = fc.oneof(
  {
    weight: 8,
    arbitrary: delta.map(
      (by): Event =>
        (w) =>
          w.want(later(w, by), 'set_next_event'),
    ),
  },
  {
    weight: 2,
    arbitrary: delta.map(
      (by): Event =>
        (w) =>
          w.want(later(w, by), 'wrmsr'),
    ),
  },
  {
    weight: 6,
    arbitrary: time.map(
      (t): Event =>
        (w) =>
          w.pass(t, w.service),
    ),
  },
  // The run loop comes late: several timers may have to be told apart at once.
  {
    weight: 3,
    arbitrary: time.map(
      (t): Event =>
        (w) =>
          w.pass(t, () => {}),
    ),
  },
  fc.constant<Event>((w) => w.stop(() => w.guest.writeDeadline(0n))),
  fc.constant<Event>((w) =>
    w.stop(() => {
      w.guest.mask();
      w.service();
      w.guest.unmask();
    }),
  ),
  time.map(
    (t): Event =>
      (w) =>
        w.stop(() => {
          w.guest.mask();
          w.pass(t, w.service);
          w.guest.unmask();
        }),
  ),
  fc.constant<Event>((w) =>
    w.stop(() => {
      w.guest.periodic();
      w.guest.unmask();
    }),
  ),
  fc.constant<Event>((w) =>
    w.stop(() => {
      w.guest.writeDeadline(0n);
      w.guest.offline();
      w.guest.online();
    }),
  ),
);
/** The page's memory is away for a while, and comes back with an old word in `armed`. */
const hole = fc.tuple(time, delta).map(
  ([t, by]): Event =>
    (w) => {
      const { memory } = w.guest.rig;
      memory.setPresent(false);
      w.pass(t, w.service);
      memory.setU64(GPA, later(w, by));
      memory.setPresent(true);
      w.service();
    },
);

function play(events: readonly Event[], version: LazyVersion = 'fixed'): WaitingGuest {
  const w = new WaitingGuest(version);
  for (const event of events) {
    event(w);
    w.service();
    w.check();
  }
  return w;
}

describe('a deadline that the guest waits for', () => {
  it('ends in an interrupt, never early, in any sequence of guest and host events', () => {
    fc.assert(
      fc.property(fc.array(ordinary, { maxLength: 40 }), (events) => {
        expect(play(events).early).toBe(0);
      }),
      { numRuns: 1500, seed: 2 },
    );
  });

  it('ends in an interrupt even when the page comes and goes', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof({ weight: 5, arbitrary: ordinary }, hole), { maxLength: 40 }), (events) => {
        const { lazy } = play(events).guest;
        expect(lazy.counters.rearms).toBeLessThanOrEqual(lazy.counters.kicks);
      }),
      { numRuns: 1500, seed: 3 },
    );
  });

  it.each(['v2', 'v3'] as const)(
    'ends in %s too, as long as the request is not late; but some come early',
    (version) => {
      let early = 0;
      fc.assert(
        fc.property(fc.array(ordinary, { maxLength: 40 }), (events) => {
          early += play(events, version).early;
        }),
        { numRuns: 300, seed: 4 },
      );
      expect(early).toBeGreaterThan(10);
    },
  );
});
