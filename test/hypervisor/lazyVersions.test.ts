// What the versions of the lazy TSC deadline do when `armed` passes: the races of V2 and V3, and that the fixed protocol has
// none of them. Real run loop where the order of its steps matters, the rig of LAPICs where another CPU comes in between.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { KVM_MSR } from '../../src/hypervisor/names.ts';
import { LAZY_VERSIONS, type KvmParams, type LazyVersion } from '../../src/hypervisor/params.ts';
import { LAZY_TSCDEADLINE } from '../../src/hypervisor/pv/lazyTscDeadline.ts';
import { KVM_REQ } from '../../src/hypervisor/requests.ts';
import { MSR, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { LazyGuest } from './lazyGuest.ts';
import { hlt, sti, wrmsr, type Step } from './scriptedCpu.ts';
import { vmRig, type VmRig } from './vmRig.ts';

const RFC = ['v2', 'v3'] as const;
const GPA = 0x40;
const T = 20_000n;
const P = 60_000n;
/** The preemption timer rounds down by so much; the entry then waits. */
const TICK = 32n;
const shutdown: Step = { exit: EXIT.TRIPLE_FAULT };
const eoi = wrmsr(X2APIC_MSR.EOI, 0n);

/** A guest that arms T and puts it off to P, then does `wait` in two halves: up to T and beyond, and up to P and beyond. */
function putOff(lazyTscdeadline: LazyVersion, wait: Step[], params: Partial<KvmParams> = {}): VmRig {
  const store = (deadline: bigint): Step => ({
    then: () => {
      const word = new Uint8Array(8);
      new DataView(word.buffer).setBigUint64(0, deadline, true);
      rig.vm.memory.write(GPA + LAZY_TSCDEADLINE.PENDING, word);
    },
  });
  const script = [
    wrmsr(X2APIC_MSR.SIVR, 0x1ffn),
    wrmsr(X2APIC_MSR.LVT_TIMER, 0x400ecn),
    wrmsr(KVM_MSR.LAZY_TSCDEADLINE, BigInt(GPA) | 1n),
    sti,
    store(T),
    wrmsr(MSR.TSC_DEADLINE, T),
    store(P),
    ...wait,
    eoi,
    sti,
    ...wait,
    shutdown,
  ];
  const rig = vmRig([script], { features: ['lazy-tscdeadline'], params: { lazyTscdeadline, ...params } });
  rig.vm.memslots.set({ slot: 0, gpa: 0, size: 4096, address: rig.vm.memslots.arena.allocate(4096) });
  for (let i = 0; i < 600 && rig.host.step() === 'progress'; i++);
  return rig;
}
/** For which deadline each injected interrupt was: `T`, early, or `P`. */
const injected = (rig: VmRig): string[] =>
  rig.events.filter(({ name }) => name === 'kvm_inj_virq').map(({ time }) => (BigInt(time) < P - TICK ? 'T' : 'P'));
const counters = (rig: VmRig) => rig.vm.vcpus[0]!.lapic.timer.lazy.counters;
const running: Step[] = [{ run: 45_000 }];

describe.each(LAZY_VERSIONS)('%s', (version) => {
  it('arms an extended deadline anew, and ends it at its time', () => {
    for (const wait of [running, [hlt]]) {
      const rig = putOff(version, wait);
      expect(injected(rig).at(-1)).toBe('P');
      expect(counters(rig).rearms).toBe(1);
    }
  });

  it('interrupts once from the preemption timer: without APIC virtualisation the early one is swallowed', () => {
    const rig = putOff(version, running);
    expect(rig.vm.vcpus[0]!.stat.byReason[EXIT.PREEMPTION_TIMER]).toBe(2);
    expect([injected(rig), counters(rig).spurious]).toEqual([['P'], 0]);
  });

  it(`with APIC virtualisation ${version === 'v2' ? 'is early from the preemption timer too' : 'is on time as well'}`, () => {
    const rig = putOff(version, running, { apicv: true });
    expect(counters(rig)).toMatchObject({ rearms: 1, spurious: version === 'v2' ? 1 : 0 });
  });

  it('looks before the exit of the preemption timer counts as an expiry, or behind it, or not at all', () => {
    const guest = new LazyGuest({ params: { lazyTscdeadline: version } });
    guest.online();
    guest.setNextEvent(guest.now + 100n);
    guest.setNextEvent(guest.now + 300n);
    const { timer } = guest.vcpu.lapic;
    timer.hvTimerInUse = true;
    const requests: number[] = [];
    guest.vcpu.requests.make = (request) => void requests.push(request);
    timer.expiredHvTimer();
    expect([guest.lazy.counters.kicks, timer.pending, requests]).toEqual(
      { v2: [1, 0, [KVM_REQ.UNBLOCK]], v3: [1, 0, []], fixed: [0, 1, [KVM_REQ.UNBLOCK]] }[version],
    );
  });

  const swallows = version === 'fixed';
  const early = swallows ? ['P'] : ['T', 'P'];
  it(`${swallows ? 'is silent at' : 'interrupts early, at'} armed where an hrtimer carries it`, () => {
    const rig = putOff(version, running, { preemptionTimer: false });
    expect([injected(rig), counters(rig).spurious]).toEqual([early, swallows ? 0 : 1]);
  });

  it(`${swallows ? 'does not wake' : 'wakes'} a halted vCPU at armed`, () => {
    const rig = putOff(version, [hlt]);
    expect([injected(rig), counters(rig).spurious]).toEqual([early, swallows ? 0 : 1]);
  });
});

describe('hazard 11, a guest that writes its TSC while it waits', () => {
  /** Waits up to 10 000, then moves its clock. */
  const moved = (to: bigint): VmRig => putOff('fixed', [{ run: 8000 }, wrmsr(MSR.TSC, to), { run: 70_000 }]);

  it('forwards, beyond armed and not beyond pending: is interrupted at pending, by the new time', () => {
    const rig = moved(T + 10_000n);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
    expect(counters(rig)).toMatchObject({ rearms: 1, spurious: 0 });
    const { time } = rig.events.find(({ name }) => name === 'kvm_inj_virq')!;
    expect(Number(rig.vm.vcpus[0]!.tsc.at(time) - P)).toBeGreaterThanOrEqual(-Number(TICK));
    expect(time).toBeLessThan(Number(P) - 10_000);
  });

  it('forwards, beyond both: is interrupted at once', () => {
    const rig = moved(P + 10_000n);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
    expect(rig.events.find(({ name }) => name === 'kvm_inj_virq')!.time).toBeLessThan(Number(T));
  });
});

it('hazard 14: nothing nested is offered, so there is no guest of the guest to whom the page could be shown', () => {
  const { cpuid } = putOff('fixed', running).vm;
  const asker = { id: 0, apicEnabled: true, cr4: 0n };
  expect(cpuid.answer(1, 0, asker).ecx & (1 << 5)).toBe(0); // VMX
  expect(cpuid.answer(0x8000_0001, 0, asker).ecx & (1 << 2)).toBe(0); // SVM
});

describe('hazard 2, a vCPU that runs on another CPU as soon as it is kicked', () => {
  /** Its handler sets the next deadline before the callback of the timer goes on. */
  function race(lazyTscdeadline: LazyVersion): { guest: LazyGuest; next: bigint } {
    const guest = new LazyGuest({ params: { lazyTscdeadline } });
    guest.online();
    const next = guest.now + 2000n;
    guest.setNextEvent(guest.now + 1000n);
    guest.vcpu.onKick = () => {
      guest.vcpu.onKick = () => {}; // the interrupt kicks as well
      guest.vcpu.runLoop();
      guest.setNextEvent(next);
    };
    guest.passTo(next - 1000n);
    guest.rig.advanceTo(guest.rig.time + 51_000, () => guest.vcpu.runLoop());
    return { guest, next };
  }

  it.each(RFC)('%s: the handler trusts an armed that has passed, and sleeps on: the tick does not come', (version) => {
    const { guest, next } = race(version);
    expect([guest.traps, guest.hostTimer]).toEqual([1, null]);
    expect(guest.armed).toBe(next - 1000n);
    expect(guest.vcpu.taken).toHaveLength(1);
    // The request waits for an entry that nothing brings about; it does not end a halt.
    expect(guest.vcpu.requests.test(KVM_REQ.LAZY_TSCDEADLINE)).toBe(true);
    expect(guest.vcpu.requests.test(KVM_REQ.UNBLOCK)).toBe(false);
  });

  it.each(RFC)('%s: whatever exit comes by later brings the tick, late by that much', (version) => {
    const { guest, next } = race(version);
    guest.vcpu.runLoop();
    guest.vcpu.runLoop();
    expect(guest.vcpu.taken.map(({ tsc }) => tsc - next)).toEqual([-1000n, 50_000n]);
  });

  it('fixed: armed is 0 by the time of the interrupt, so the handler traps, and the tick is on time', () => {
    const { guest, next } = race('fixed');
    expect(guest.traps).toBe(2);
    expect(guest.vcpu.taken.map(({ tsc }) => tsc)).toEqual([next - 1000n, next]);
  });
});

describe('what else V2 and V3 do', () => {
  const guestOf = (lazyTscdeadline: LazyVersion): LazyGuest => {
    const guest = new LazyGuest({ params: { lazyTscdeadline } });
    guest.online();
    return guest;
  };

  it.each(RFC)('%s, hazard 6: a WRMSR without a word in pending is put off by what pending held before', (version) => {
    const guest = guestOf(version);
    const stale = guest.now + 3000n;
    guest.setNextEvent(stale);
    guest.mask();
    guest.writeDeadline(0n);
    guest.unmask();
    const direct = guest.now + 200n;
    guest.writeDeadline(direct);
    expect(guest.runTo(stale + 9000n)).toEqual([direct, stale]);
  });

  it.each(RFC)('%s, hazard 8: RDMSR answers the address that a reset has ended', (version) => {
    const guest = guestOf(version);
    const address = guest.lazy.readMsr();
    guest.vcpu.reset(true);
    expect([guest.lazy.readMsr(), guest.lazy.enabled]).toEqual([address, false]);
  });

  it.each(RFC)('%s, hazard 12: a guest that overwrites armed makes its own deadline end early', (version) => {
    const guest = guestOf(version);
    const armed = guest.now + 100n;
    guest.setNextEvent(armed);
    guest.setNextEvent(guest.now + 500n);
    guest.rig.memory.setU64(0x3040, 2n ** 64n - 1n);
    expect(guest.runTo(guest.now + 9000n)).toEqual([armed]);
  });

  it.each(RFC)('%s clears what expires while it moves from one timer to another, and interrupts', (version) => {
    const guest = guestOf(version);
    guest.setNextEvent(guest.now + 100n);
    guest.setNextEvent(guest.now + 5000n);
    guest.vcpu.timer[0]!.cancel();
    guest.passTo(guest.now + 200n);
    guest.vcpu.lapic.timer.startSwTimer();
    expect([guest.armed, guest.lazy.counters.clears.expired]).toEqual([0n, 1]);
    expect(guest.runTo(guest.now)).toHaveLength(1);
  });
});
