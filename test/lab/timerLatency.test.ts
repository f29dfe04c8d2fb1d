// The timer experiment: what carries a deadline decides how late a running guest learns of it, and nothing for a halted one.

import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadGuest, packageFolder } from '../../src/cli/load.ts';
import { distributionOf, type Distribution } from '../../src/lab/distribution.ts';
import { timerLatency, type TimerComparison, type TimerDesign } from '../../src/lab/timerLatency.ts';

let data: TimerComparison;
beforeAll(async () => {
  data = await timerLatency.run((name) => loadGuest(join(packageFolder(), 'guests', `${name}.s`)));
});
const run = (design: TimerDesign) => data.runs.find((each) => each.design === design)!;
const alone = (design: TimerDesign, guest: 'running' | 'halted'): Distribution =>
  distributionOf(run(design).alone[guest]);

describe('a running guest', () => {
  it('costs the host an interrupt for each deadline on an hrtimer, and none on the preemption timer', () => {
    // The thousand deadlines of the halted guest are on an hrtimer in any case, but where another CPU has them all.
    expect(data.runs.map(({ hostInterrupts }) => hostInterrupts)).toEqual([2000, 1000, 1000, 1000, 0]);
  });

  it('has as many exits under each carrier, without those of EOI and TPR on a virtualised APIC', () => {
    const exits = (design: TimerDesign): number => run(design).exits;
    expect([exits('hv'), exits('hv+fast')]).toEqual([exits('sw'), exits('sw')]);
    expect(exits('sw') - exits('hv+apicv')).toBeGreaterThanOrEqual(2000);
  });

  it('has no exit but that of arming where interrupts are posted', () => {
    expect(run('hv+apicv').exits - run('posted').exits).toBeGreaterThan(1990);
  });

  it('learns of it soonest where the processor delivers by itself', () => {
    const medians = (['sw', 'hv', 'hv+apicv'] as const).map((design) => alone(design, 'running').median);
    expect(medians).toEqual(medians.toSorted((a, b) => b - a));
  });

  it('learns of its deadline sooner by the preemption timer than by an hrtimer', () => {
    expect(alone('hv', 'running').median).toBeLessThan(alone('sw', 'running').median);
  });

  it('gains nothing from a fast path then: an interrupt to inject leads out of the inner loop', () => {
    const difference = alone('hv+fast', 'running').median - alone('hv', 'running').median;
    expect(Math.abs(difference)).toBeLessThan(8);
  });

  it('sees the grain of the preemption timer, 32 cycles, and no grain of an hrtimer', () => {
    const spread = (design: TimerDesign): number => {
      const sorted = run(design).alone.running.toSorted((a, b) => a - b);
      return sorted.at(-2)! - sorted[1]!; // the first sample touches memory for the first time
    };
    expect(spread('sw')).toBe(0);
    // Ticks are rounded down, and the clock has its place within a tick: up to two of them.
    expect(spread('hv')).toBeGreaterThan(32);
    expect(spread('hv')).toBeLessThanOrEqual(64);
  });

  it('arms most cheaply where a fast path takes the write', () => {
    const arming = (['sw', 'hv', 'hv+fast'] as const).map((design) => run(design).alone.arming.median);
    expect(arming).toEqual(arming.toSorted((a, b) => b - a));
  });
});

describe('a halted guest', () => {
  it('is woken by an hrtimer under every design, soonest where that posts to a guest that keeps its CPU', () => {
    expect(alone('hv', 'halted')).toEqual(alone('sw', 'halted'));
    expect(alone('hv+fast', 'halted')).toEqual(alone('sw', 'halted'));
    expect(alone('posted', 'halted').median).toBeLessThan(alone('hv+apicv', 'halted').median);
  });
});

it('no deadline is early, on a quiet host or a busy one', () => {
  const samples = data.runs.flatMap((each) => [each.alone, each.loaded].flatMap((l) => [...l.running, ...l.halted]));
  expect(samples).toHaveLength(5 * 4 * 1000);
  // An early one would be a large number: samples are unsigned.
  expect(Math.max(...samples)).toBeLessThan(data.load.every);
});

it('a host that is busy with interrupts delays some deadlines by a handler, whatever carries them', () => {
  for (const { loaded } of data.runs) {
    expect(distributionOf(loaded.running).p99).toBeGreaterThan(data.load.takes);
    expect(distributionOf(loaded.running).median).toBeLessThan(2500);
  }
});
