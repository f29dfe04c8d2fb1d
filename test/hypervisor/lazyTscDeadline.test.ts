// The lazy TSC deadline: the transitions of its state machine by number, the hazards of its design by number, and the
// property that matters: no wake-up is ever lost. States: D disabled, I idle, A armed, L armed and extended by the guest.
import { describe, expect, it } from 'vitest';
import { GPA, LazyGuest } from './lazyGuest.ts';
import { KVM_REQ } from '../../src/hypervisor/requests.ts';

type State = 'D' | 'I' | 'A' | 'L';
function stateOf(guest: LazyGuest): State {
  if (!guest.lazy.enabled) return 'D';
  expect(guest.armed).toBe(guest.lazy.cachedArmed);
  if (guest.armed === 0n) return 'I';
  expect(guest.hostTimer).toBe(guest.armed);
  return guest.pending > guest.armed ? 'L' : 'A';
}

/** A guest in a state; in A and L, `T` is armed, and in L `P` pending. */
function guestIn(state: State) {
  const guest = new LazyGuest();
  const T = guest.now + 1000n;
  const P = guest.now + 3000n;
  if (state !== 'D') expect(guest.online()).toBe(true);
  if (state === 'A' || state === 'L') guest.setNextEvent(T);
  if (state === 'L') guest.setNextEvent(P);
  expect(stateOf(guest)).toBe(state);
  guest.traps = 0;
  return { guest, T, P, clears: guest.lazy.counters.clears };
}
const both = ['A', 'L'] as const;
const all = ['D', 'I', 'A', 'L'] as const;

describe('transition', () => {
  it('1: D, enabled -> I', () => {
    const { guest } = guestIn('D');
    expect(guest.online()).toBe(true);
    expect(stateOf(guest)).toBe('I');
    expect(guest.lazy.readMsr()).toBe(BigInt(GPA) | 1n);
  });

  it('1: D, enabled where no memory is -> D and #GP', () => {
    const { guest } = guestIn('D');
    expect(guest.enable(0x100000)).toBe(false);
    expect([stateOf(guest), guest.lazy.readMsr()]).toEqual(['D', 0n]);
  });

  it('2: I, set_next_event -> A by one trap', () => {
    const { guest, T } = guestIn('I');
    guest.setNextEvent(T);
    expect([stateOf(guest), guest.traps, guest.hostTimer]).toEqual(['A', 1, T]);
    expect(guest.lazy.counters.updates).toBe(1);
  });

  it('3: I, set_next_event in the past -> I, with the interrupt', () => {
    const { guest, clears } = guestIn('I');
    guest.setNextEvent(guest.now - 1n);
    expect([stateOf(guest), clears.expired]).toEqual(['I', 1]);
    expect(guest.runTo(guest.now)).toHaveLength(1);
    expect(stateOf(guest)).toBe('I');
  });

  it.each(both)('4: %s, set_next_event before armed -> A, earlier, by a trap', (from) => {
    const { guest, T } = guestIn(from);
    guest.setNextEvent(T - 500n);
    expect([stateOf(guest), guest.traps, guest.armed]).toEqual(['A', 1, T - 500n]);
    expect(guest.runTo(T + 9000n)).toEqual([T - 500n]);
  });

  it.each(both)('5: %s, set_next_event after armed -> L without a trap; at armed -> A', (from) => {
    const { guest, T } = guestIn(from);
    for (let later = 1n; later < 100n; later++) guest.setNextEvent(T + later);
    expect([stateOf(guest), guest.traps, guest.hostTimer]).toEqual(['L', 0, T]);
    guest.setNextEvent(T);
    expect([stateOf(guest), guest.traps]).toEqual(['A', 0]);
  });

  it('6: A, the timer fires -> I, with the interrupt', () => {
    const { guest, T, clears } = guestIn('A');
    expect(guest.runTo(T)).toEqual([T]);
    expect([stateOf(guest), clears.fired]).toEqual(['I', 1]);
  });

  it('7: L, the timer fires at armed -> A at pending, without an interrupt', () => {
    const { guest, T, P } = guestIn('L');
    expect(guest.runTo(T)).toEqual([]);
    expect([stateOf(guest), guest.armed, guest.hostTimer]).toEqual(['A', P, P]);
    expect(guest.lazy.counters).toMatchObject({ kicks: 1, rearms: 1, spurious: 0 });
    expect(guest.runTo(P)).toEqual([P]);
    expect([stateOf(guest), guest.traps]).toEqual(['I', 0]);
  });

  it('8: L, fires when pending has passed too -> I, with one interrupt at once', () => {
    const { guest, P, clears } = guestIn('L');
    guest.passTo(P + 100n);
    expect(guest.runTo(P + 100n)).toEqual([P + 100n]);
    expect([stateOf(guest), guest.lazy.counters.rearms, clears.expired]).toEqual(['I', 1, 1]);
    expect(guest.runTo(P + 9000n)).toEqual([]);
  });

  it.each(['I', 'A', 'L'] as const)('9: %s, TSC_DEADLINE = 0 -> I, nothing armed', (from) => {
    const { guest, P } = guestIn(from);
    guest.writeDeadline(0n);
    expect([stateOf(guest), guest.hostTimer]).toEqual(['I', null]);
    expect(guest.runTo(P + 9000n)).toEqual([]);
  });

  it.each(both)('10: %s, LVTT masked -> I', (from) => {
    const { guest, clears } = guestIn(from);
    guest.mask();
    expect([guest.armed, guest.lazy.cachedArmed, clears.masked]).toEqual([0n, 0n, 1]);
  });

  it.each(both)('10: %s, LVTT to another mode -> I, and the timer is cancelled', (from) => {
    const { guest, P, clears } = guestIn(from);
    guest.periodic();
    expect([stateOf(guest), clears.mode, guest.hostTimer]).toEqual(['I', 1, null]);
    expect(guest.runTo(P + 9000n)).toEqual([]);
  });

  it.each(all)('11: %s, disabled -> D; armed says 0 and is never written again', (from) => {
    const { guest, T } = guestIn(from);
    expect(guest.offline()).toBe(true);
    expect([stateOf(guest), guest.armed, guest.lazy.readMsr()]).toEqual(['D', 0n, 0n]);
    guest.writeDeadline(T);
    expect(guest.armed).toBe(0n);
  });

  it.each(all)('12: %s, INIT -> D; the page is left as it was', (from) => {
    const { guest } = guestIn(from);
    const { armed, pending } = guest;
    guest.vcpu.reset(true);
    expect([stateOf(guest), guest.lazy.readMsr(), guest.hostTimer]).toEqual(['D', 0n, null]);
    expect([guest.armed, guest.pending]).toEqual([armed, pending]);
  });

  it.each(both)('13: %s, the vCPU blocks: the same deadline', (from) => {
    const { guest, T } = guestIn(from);
    guest.vcpu.lapic.timer.startSwTimer();
    expect([stateOf(guest), guest.hostTimer]).toEqual([from, T]);
  });

  // The preemption timer does not count while the vCPU is preempted: here nothing fired at T.
  it.each(['A', 'L'] as const)('13: %s, the vCPU blocks after the deadline: it has fired', (from) => {
    const { guest, T, P } = guestIn(from);
    guest.vcpu.timer[0]!.cancel();
    guest.passTo(T + 1n);
    guest.vcpu.lapic.timer.startSwTimer();
    expect([guest.vcpu.lapic.timer.pending, guest.hostTimer]).toEqual([1, null]);
    expect(guest.runTo(T + 1n)).toHaveLength(from === 'A' ? 1 : 0);
    expect(stateOf(guest)).toBe(from === 'A' ? 'I' : 'A');
    expect(guest.runTo(P + 9000n)).toEqual(from === 'A' ? [] : [P]);
  });
});

describe('hazard', () => {
  it('1: loading armed before storing pending loses the wake-up; the right order does not', () => {
    // Between the two steps of the guest the timer fires and the host looks at the page.
    const wrong = guestIn('A');
    const stale = wrong.guest.armed;
    expect(wrong.guest.runTo(wrong.T)).toEqual([wrong.T]);
    wrong.guest.storePending(wrong.P);
    wrong.guest.decide(stale, wrong.P);
    expect([wrong.guest.traps, wrong.guest.runTo(wrong.P + 9000n)]).toEqual([0, []]);

    const right = guestIn('A');
    right.guest.storePending(right.P);
    expect(right.guest.runTo(right.T)).toEqual([]);
    right.guest.decide(right.guest.armed, right.P);
    expect(right.guest.runTo(right.P + 9000n)).toEqual([right.P]);
  });

  it('2: no interrupt reaches the guest while armed is in the past, however late the run loop comes', () => {
    const { guest, T, P } = guestIn('L');
    guest.passTo(T + 10n);
    // The callback counts the expiry, asks and kicks; the vector comes with the decision, not before it.
    expect([guest.vcpu.lapic.timer.pending, guest.vcpu.kicks]).toEqual([1, 1]);
    expect(guest.vcpu.requests.test(KVM_REQ.UNBLOCK)).toBe(true);
    expect(guest.vcpu.lapic.pendingInterrupt()).toBe(-1);
    guest.runTo(T + 10n);
    expect(guest.armed).toBe(P);
  });

  it('3: a deadline that has passed when it is armed leaves armed 0, so the next one traps', () => {
    const { guest } = guestIn('I');
    guest.setNextEvent(guest.now);
    guest.runTo(guest.now);
    const next = guest.now + 700n;
    guest.setNextEvent(next);
    expect([guest.traps, guest.runTo(next)]).toEqual([2, [next]]);
  });

  it('4: masked, fired, unmasked: the next deadline traps', () => {
    for (const from of both) {
      const { guest, P } = guestIn(from);
      guest.mask();
      expect(guest.runTo(P + 1n)).toEqual([]);
      guest.unmask();
      const next = guest.now + 700n;
      guest.setNextEvent(next);
      expect([guest.traps, guest.runTo(next)]).toEqual([1, [next]]);
    }
  });

  it('4: armed while masked: the expiry drops the vector and clears armed', () => {
    const { guest, T } = guestIn('I');
    guest.mask();
    guest.setNextEvent(T);
    expect(guest.runTo(T)).toEqual([]);
    expect(stateOf(guest)).toBe('I');
  });

  it('5: a change of mode and back: the next deadline traps', () => {
    const { guest } = guestIn('L');
    guest.periodic();
    guest.unmask();
    const next = guest.now + 900n;
    guest.setNextEvent(next);
    expect([guest.traps, guest.runTo(next)]).toEqual([1, [next]]);
  });

  it('5: the APIC disabled and enabled again: the next deadline traps', () => {
    const { guest, P } = guestIn('L');
    const { lapic } = guest.vcpu;
    const x2apic = lapic.base;
    lapic.writeBase(0xfee00000n);
    expect(guest.armed).toBe(0n);
    expect(guest.runTo(P)).toEqual([]);
    lapic.writeBase(x2apic, true);
    const next = guest.now + 900n;
    guest.setNextEvent(next);
    expect([guest.traps, guest.runTo(next)]).toEqual([1, [next]]);
  });

  it('6: shut down with a stale pending; a direct WRMSR later is not extended by it', () => {
    const { guest, P } = guestIn('L');
    guest.mask();
    guest.writeDeadline(0n);
    guest.unmask();
    const direct = guest.now + 200n;
    guest.writeDeadline(direct);
    expect(guest.pending).toBe(P);
    expect(guest.runTo(P + 9000n)).toEqual([direct]);
    expect(guest.lazy.counters.rearms).toBe(0);
    // The next set_next_event is extended as ever.
    const next = guest.now + 100n;
    guest.setNextEvent(next);
    guest.setNextEvent(next + 100n);
    expect(guest.runTo(next + 9000n)).toEqual([next + 100n]);
  });

  it('7: an extended deadline interrupts once, at pending', () => {
    const { guest, P } = guestIn('L');
    expect(guest.runTo(P + 9000n)).toEqual([P]);
  });

  it('8: after INIT nothing is written to memory that may be recycled, and RDMSR says so', () => {
    const { guest, T } = guestIn('L');
    guest.vcpu.reset(true);
    guest.rig.memory.setU64(GPA, 0x1111n);
    guest.storePending(0x2222n);
    guest.vcpu.write(0x80f, 0x1ff);
    guest.unmask();
    guest.writeDeadline(T);
    guest.runTo(T + 9000n);
    expect([guest.armed, guest.pending, guest.lazy.readMsr()]).toEqual([0x1111n, 0x2222n, 0n]);
  });

  it('9: a misaligned address is #GP', () => {
    const { guest } = guestIn('D');
    for (const offset of [2, 4, 8, 16, 32]) expect(guest.enable(GPA + offset)).toBe(false);
    expect(stateOf(guest)).toBe('D');
  });

  it('9: enabled elsewhere, the old place is let go', () => {
    const { guest, T } = guestIn('L');
    expect(guest.enable(GPA + 64)).toBe(true);
    expect(guest.rig.memory.u64(GPA + 64)).toBe(T);
    guest.runTo(T);
    expect([guest.armed, guest.rig.memory.u64(GPA + 64)]).toEqual([T, 0n]);
  });

  it('9: a slot that went and came back with an old copy of the page is brought up to date before entry', () => {
    const { guest, T } = guestIn('A');
    const old = guest.armed;
    guest.rig.memory.setPresent(false);
    expect(guest.runTo(T)).toEqual([T]);
    guest.rig.memory.setPresent(true);
    expect([guest.armed, guest.lazy.stale]).toEqual([old, true]);
    guest.runTo(guest.now);
    expect([stateOf(guest), guest.lazy.stale]).toEqual(['I', false]);
    const next = guest.now + 700n;
    guest.setNextEvent(next);
    expect(guest.runTo(next)).toEqual([next]);
  });

  it('9: fired while the page is gone: an ordinary expiry, counted as spurious', () => {
    const { guest, T } = guestIn('L');
    guest.rig.memory.setPresent(false);
    expect(guest.runTo(T)).toEqual([T]);
    expect(guest.lazy.counters).toMatchObject({ spurious: 1, rearms: 0 });
  });

  it('9: moved and back before it fires: the extension counts', () => {
    const { guest, P } = guestIn('L');
    guest.rig.memory.setPresent(false);
    guest.rig.memory.setPresent(true);
    expect(guest.runTo(P)).toEqual([P]);
  });

  it.each(['deadline first', 'lazy first'])('10: restored in either order (%s), a deadline still ends', (order) => {
    // The target's memory is the source's; its vCPU is new.
    const { guest, T, P } = guestIn('L');
    guest.vcpu.reset(false);
    guest.vcpu.lapic.writeBase(guest.vcpu.lapic.base | (1n << 10n));
    guest.vcpu.write(0x80f, 0x1ff);
    guest.unmask();
    const steps = [() => guest.vcpu.lapic.timer.setLapicTscdeadlineMsr(T, true), () => guest.enable()];
    for (const step of order === 'lazy first' ? steps.reverse() : steps) step();
    expect(stateOf(guest)).toBe('L');
    expect(guest.runTo(P + 9000n)).toEqual([P]);
    guest.setNextEvent(guest.now + 50n);
    expect(guest.runTo(guest.now + 50n)).toHaveLength(1);
  });

  it.each([-5000n, 5000n])('11: the guest moves its TSC by %i: what is armed and pending moves with it', (by) => {
    const { guest, T, P } = guestIn('L');
    guest.vcpu.tscOffset += by;
    guest.vcpu.lapic.timer.tscMoved();
    guest.runTo(guest.now);
    if (guest.now < T) expect([stateOf(guest), guest.hostTimer]).toEqual(['L', T]);
    // Both words are guest TSCs: what has passed by the new time has passed.
    const due = guest.now < P ? P : guest.now;
    const before = guest.vcpu.taken.map(({ tsc }) => tsc);
    expect([...before, ...guest.runTo(P + 9000n)]).toEqual([due]);
    expect(stateOf(guest)).toBe('I');
  });

  it('12: a pending of all ones is just a deadline that never comes', () => {
    const { guest, T } = guestIn('A');
    guest.setNextEvent(2n ** 64n - 1n);
    expect(guest.runTo(T + 1_000_000n)).toEqual([]);
    expect(guest.armed).toBe(2n ** 64n - 1n);
    expect(guest.lazy.counters.rearms).toBe(1);
    const next = guest.now + 10n;
    guest.setNextEvent(next);
    expect(guest.runTo(next)).toEqual([next]);
  });
});

describe('hazard 12, words that the guest spoils', () => {
  it.each([0n, 1n, 2n ** 64n - 1n])('armed = %i decides nothing: the host compares with its own copy', (word) => {
    const { guest, P } = guestIn('L');
    guest.rig.memory.setU64(GPA, word);
    expect(guest.runTo(P + 9000n)).toEqual([P]);
    expect(guest.armed).toBe(0n);
  });

  it('a pending of 0 is a deadline that was not put off', () => {
    const { guest, T } = guestIn('L');
    guest.storePending(0n);
    expect(guest.runTo(T + 9000n)).toEqual([T]);
  });
});

describe('hazard 13, a vCPU goes offline and comes back', () => {
  /** As Linux takes a CPU down: the device is shut down, then the page is given back. */
  function goOffline(guest: LazyGuest): void {
    guest.mask();
    guest.writeDeadline(0n);
    guest.offline();
  }

  it('zeroed, enabled, registered: the first deadline traps and ends', () => {
    const { guest } = guestIn('L');
    goOffline(guest);
    expect(guest.online()).toBe(true);
    guest.unmask();
    const next = guest.now + 700n;
    guest.setNextEvent(next);
    expect([guest.traps, guest.runTo(next + 9000n)]).toEqual([2, [next]]);
  });

  it('offline: what is written where the page was stays as it is', () => {
    const { guest, P } = guestIn('L');
    goOffline(guest);
    guest.rig.memory.setU64(GPA, 0x1111n);
    guest.storePending(0x2222n);
    guest.unmask();
    guest.writeDeadline(guest.now + 100n);
    guest.runTo(P + 9000n);
    expect([guest.armed, guest.pending]).toEqual([0x1111n, 0x2222n]);
  });

  it('registered before the page is enabled, with old words in it: a deadline may be skipped, so the order matters', () => {
    const { guest } = guestIn('A');
    guest.vcpu.reset(true); // no last word to the page: armed is stale
    guest.vcpu.write(0x80f, 0x1ff);
    guest.unmask();
    const next = guest.now + 5000n;
    guest.setNextEvent(next);
    expect([guest.traps, guest.runTo(next + 9000n)]).toEqual([0, []]);
    // The right order heals it.
    guest.online();
    const right = guest.now + 700n;
    guest.setNextEvent(right);
    expect(guest.runTo(right)).toEqual([right]);
  });
});

describe('probes', () => {
  it('tell the whole story of an extended deadline', () => {
    const { guest, P } = guestIn('I');
    const ops: string[] = [];
    guest.rig.probes.subscribe((name, event) => {
      if (name === 'kvm_lazy_tsc') ops.push((event as { op: string }).op);
    });
    guest.setNextEvent(guest.now + 100n);
    guest.setNextEvent(P);
    guest.runTo(P);
    guest.offline();
    expect(ops).toEqual(['update', 'kick', 'update', 'rearm', 'kick', 'clear', 'exit']);
  });
});
