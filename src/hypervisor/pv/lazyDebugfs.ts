// The lazy TSC deadline of one vCPU for a person: the file lazy_tscdeadline in a vCPU's debugfs folder, which the series adds
// (V2 4/4, V3 6/6). Reading it tells the two words; writing to it forces a kick, "to rescue the vcpu".
//
// Theory: a forced kick is an expiry that nobody waited for. The fixed protocol judges it like any other, so that a vCPU
// that sleeps behind a stale `armed` gets its pending deadline armed, or its interrupt. V2 and V3 make their request, which
// is looked at before an entry; it wakes the thread of a halted vCPU, but does not end the halt, so such a one is not rescued.

import { HostEvent, type EventOwner } from '../../host/queue.ts';
import type { Vcpu } from '../vcpu.ts';
import type { LazyCounters } from './lazyTscDeadline.ts';

export interface LazyWords {
  readonly vcpu: number;
  /**
   * `idle`: armed is 0. `armed`: for what the guest wants. `extended`: the guest has put it off since. `stale`: armed says
   * a deadline that no timer carries, so that the guest may wait for ever.
   */
  readonly state: 'idle' | 'armed' | 'extended' | 'stale';
  /** Address of the page in guest physical memory. */
  readonly gpa: bigint;
  /** Guest TSCs; null: there is no memory at the address. */
  readonly pending: bigint | null;
  readonly armed: bigint | null;
  /** The host's own copy of armed. */
  readonly cachedArmed: bigint;
  /** Guest TSC at the vCPU's position. */
  readonly now: bigint;
  readonly counters: Readonly<LazyCounters>;
}

export type LazyView = LazyWords | { readonly vcpu: number; readonly state: 'not in CPUID' | 'not open in guest' };

/** Reads the file. */
export function lazyView(vcpu: Vcpu): LazyView {
  const { timer } = vcpu.lapic;
  const { lazy } = timer;
  if (!vcpu.vm.pvFeatures.has('lazy-tscdeadline')) return { vcpu: vcpu.id, state: 'not in CPUID' };
  const words = lazy.words();
  if (words === null) return { vcpu: vcpu.id, state: 'not open in guest' };
  const { counters } = lazy;
  const cachedArmed = lazy.cachedArmed;
  const armed = words.armed ?? cachedArmed;
  const carried = timer.tscdeadline !== 0n || timer.pending > 0;
  const extended = words.pending !== null && words.pending > armed;
  const state = armed === 0n ? 'idle' : !carried ? 'stale' : extended ? 'extended' : 'armed';
  return { vcpu: vcpu.id, state, ...words, cachedArmed, now: vcpu.tsc.at(vcpu.cpu.now), counters };
}

/** Writes to the file: the kick arrives as an interrupt on the vCPU's CPU. False: its page is not open. */
export function forceLazyKick(vcpu: Vcpu): boolean {
  if (!vcpu.lapic.timer.lazy.enabled) return false;
  vcpu.vm.host.sendIpi(vcpu.cpu, new HostEvent(new ForcedKick(vcpu), 'call function'));
  return true;
}

class ForcedKick implements EventOwner {
  readonly name: string;
  readonly #vcpu: Vcpu;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.name = vcpu.name;
  }

  onEvent(): void {
    this.#vcpu.lapic.timer.lazy.forceKick();
  }
}
