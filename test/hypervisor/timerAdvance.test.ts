// The host's timer set in advance: how early is learned, and the guest is never interrupted before its deadline.

import { describe, expect, it } from 'vitest';
import { COST_MODELS } from '../../src/host/costs.ts';
import type { KvmParams } from '../../src/hypervisor/params.ts';
import { TimerAdvance } from '../../src/hypervisor/timerAdvance.ts';
import { samplesOf } from '../../src/lab/guestRun.ts';
import { runGuest } from '../../src/testing/index.ts';

const TSC_KHZ = 2_500_000;
const CYCLES_OF_INITIAL = 2500;

/** The advance after entries that stood so many cycles behind their deadlines. */
function learned(...deltas: number[]): number {
  const advance = new TimerAdvance(true, TSC_KHZ);
  for (const delta of deltas) advance.adjust(delta);
  return advance.ns;
}

describe('the advance', () => {
  it('is a microsecond at first, or nothing', () => {
    expect(new TimerAdvance(true, TSC_KHZ).cycles).toBe(CYCLES_OF_INITIAL);
    expect(new TimerAdvance(false, TSC_KHZ).cycles).toBe(0);
  });

  it('grows by an eighth of a lateness, and shrinks by an eighth of an earliness', () => {
    expect(learned(2000)).toBe(1100);
    expect(learned(-2000)).toBe(900);
  });

  it('learns nothing from jitter below 100 cycles, nor from outliers above 10 000', () => {
    expect(learned(99, -99, 10_001, -10_001)).toBe(1000);
    expect(learned(100)).toBe(1005);
    expect(learned(10_000)).toBe(1500);
  });

  it('begins anew beyond 5000 ns, and below 0', () => {
    expect(learned(...Array<number>(8).fill(10_000))).toBe(5000);
    expect(learned(...Array<number>(9).fill(10_000))).toBe(1000);
    expect(learned(...Array<number>(3).fill(-10_000))).toBe(1000);
  });
});

describe.each([
  ['an hrtimer', { preemptionTimer: false }],
  ['the preemption timer', { preemptionTimer: true }],
] satisfies [string, Partial<KvmParams>][])('a guest whose deadlines are on %s', (_, params) => {
  const SAMPLES = 1000;
  const lateness = async (array: string, lapicTimerAdvance: boolean): Promise<number[]> => {
    const options = { costs: COST_MODELS['skylake-2020'], params: { ...params, haltPollNs: 0, lapicTimerAdvance } };
    const machine = await runGuest('guests/timerlatency.s', options);
    // The first ones are what it learns from.
    return [...samplesOf(machine, array, SAMPLES)].slice(100);
  };

  it.each(['running', 'halted'])('is served sooner when it was %s, and never early', async (array) => {
    const [with_, without] = [await lateness(array, true), await lateness(array, false)];
    expect(Math.min(...with_)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...with_)).toBeLessThan(Math.min(...without));
  });
});
