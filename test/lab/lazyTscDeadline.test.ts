// The experiment of the lazy TSC deadline: what moves the timer, what the feature saves of it, and what its versions raise too much.

import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadGuest, packageFolder } from '../../src/cli/load.ts';
import { COST_MODELS } from '../../src/host/costs.ts';
import { PUBLISHED } from '../../src/lab/lazyPublished.ts';
import {
  changeOf,
  compareLazy,
  countOf,
  lazyDesigns,
  lazyTscDeadline,
  savedOf,
  type LazyComparison,
  type LazyDesign,
  type LazyRun,
} from '../../src/lab/lazyTscDeadline.ts';

const TRANSACTIONS = 1000;
let data: LazyComparison;
beforeAll(async () => {
  const image = await loadGuest(join(packageFolder(), 'guests', 'lazy.s'));
  data = compareLazy(image, COST_MODELS['skylake-2020'], {
    transactions: TRANSACTIONS,
    cycles: 40e6,
    sweep: { cycles: 20e6, work: [5000, 100_000, 1_500_000] },
  });
}, 60_000);
const of = (runs: readonly LazyRun[], design: LazyDesign): LazyRun => runs.find((run) => run.design === design)!;
const byTransactions = (design: LazyDesign): LazyRun => of(data.equalTransactions, design);
const byTime = (design: LazyDesign): LazyRun => of(data.equalTime, design);
const everyRun = (): LazyRun[] => [...data.equalTransactions, ...data.equalTime];
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

describe('the load', () => {
  it('sends two IPIs and halts twice for each transaction', () => {
    for (const run of data.equalTransactions) {
      expect(run.transactions).toBe(TRANSACTIONS);
      expect(countOf(run, 'vector 251')).toBe(2 * TRANSACTIONS + 1); // and one to end
      expect(countOf(run, 'apic-icr')).toBe(countOf(run, 'vector 251'));
      expect(countOf(run, 'halt') / TRANSACTIONS).toBeCloseTo(2, 1);
    }
  });

  it('sets its timer three times for each sleep, by the causes that Linux has, as often as the author counted', () => {
    const off = byTransactions('off');
    const [stop, cancel, restart, ticks] = off.asked.map((count) => count / TRANSACTIONS);
    for (const each of [stop, cancel, restart]) expect(each).toBeCloseTo(2, 1);
    expect(ticks).toBeLessThan(0.05);
    expect(off.written).toEqual(off.asked);
    const [v2] = PUBLISHED;
    const author = (name: string): number => v2!.rows.find((row) => row.name === name)!.close;
    const here = countOf(off, 'tsc-deadline') / countOf(off, 'halt');
    expect(Math.abs(here - author('tsc-deadline') / author('halt'))).toBeLessThan(0.05);
  });

  it('arms a retransmit timer for each message, which seldom changes what the wheel waits for', () => {
    for (const run of everyRun()) {
      expect(run.rtoArmed).toBe(2 * run.transactions);
      expect(run.rtoMoved).toBeLessThan(run.rtoArmed / 50);
    }
  });

  it('counts in the guest what the host counts', () => {
    for (const run of everyRun()) {
      // Both vCPUs write 0 once more when they shut their timer down.
      expect(sum(run.written) + 2).toBe(countOf(run, 'tsc-deadline'));
      expect(countOf(run, 'msr sum')).toBe(countOf(run, 'msr-write'));
    }
  });

  it('lasts as long for each version, where time is what is equal', () => {
    const cycles = data.equalTime.map((run) => run.cycles);
    expect(Math.max(...cycles) - Math.min(...cycles)).toBeLessThan(100_000);
  });
});

it('its table for a spreadsheet has every row under every version', () => {
  const rows = lazyTscDeadline.rows(data);
  expect(rows.length).toBeGreaterThan(60);
  for (const row of rows) expect(Object.keys(row)).toEqual(['table', 'name', 'off', 'v2', 'v3', 'fixed']);
});

describe('the feature', () => {
  it.each(lazyDesigns.filter((design) => design !== 'off'))('%s saves what the mechanism promises', (design) => {
    for (const [off, on] of [
      [byTransactions('off'), byTransactions(design)],
      [byTime('off'), byTime(design)],
    ] as const) {
      expect(-changeOf(countOf(off, 'tsc-deadline'), countOf(on, 'tsc-deadline'))!).toBeGreaterThanOrEqual(97);
      expect(-changeOf(countOf(off, 'msr-write'), countOf(on, 'msr-write'))!).toBeGreaterThanOrEqual(70);
      expect(-changeOf(countOf(off, 'sum'), countOf(on, 'sum'))!).toBeGreaterThanOrEqual(50);
    }
  });

  it('makes no tick late and loses none, in any version', () => {
    for (const { ticks } of everyRun()) {
      expect([ticks.late, ticks.lost]).toEqual([0, 0]);
      expect(ticks.taken).toBeGreaterThan(5);
    }
  });

  it('does more in the same time', () => {
    for (const design of ['v2', 'v3', 'fixed'] as const)
      expect(byTime(design).transactions).toBeGreaterThan(byTime('off').transactions);
  });

  it('saves the less, the less often the timer is set for each time it expires', () => {
    const { sweep } = data;
    const rearms = sweep.map(({ rearmsPerExpiry }) => rearmsPerExpiry);
    expect(rearms).toEqual(rearms.toSorted((a, b) => b - a));
    for (const what of ['deadlines', 'msrWrites', 'exits'] as const) {
      const saved = sweep.map((point) => point.saved.fixed[what]);
      expect(saved).toEqual(saved.toSorted((a, b) => b - a));
    }
  });
});

describe('the versions', () => {
  it('V2 and V3 interrupt early at deadlines that were put off; the fixed protocol never does', () => {
    for (const runs of [data.equalTransactions, data.equalTime]) {
      for (const design of ['v2', 'v3'] as const) {
        const { host, asked } = of(runs, design);
        expect(host.spurious).toBeGreaterThan(0);
        expect(asked[4]).toBe(host.spurious);
      }
      for (const design of ['off', 'fixed'] as const) {
        const { host, asked } = of(runs, design);
        expect([host.spurious, asked[4]]).toEqual([0, 0]);
      }
    }
  });

  it('so the guest takes more timer interrupts, and halts more often', () => {
    for (const design of ['v2', 'v3'] as const) {
      expect(countOf(byTime(design), 'vector 236')).toBeGreaterThan(countOf(byTime('fixed'), 'vector 236'));
      expect(countOf(byTransactions(design), 'halt')).toBeGreaterThan(countOf(byTransactions('fixed'), 'halt'));
    }
  });

  it('save the same writes of the deadline', () => {
    const saved = (['v2', 'v3', 'fixed'] as const).map((design) =>
      savedOf(byTransactions('off'), byTransactions(design), 'tsc-deadline'),
    );
    expect(Math.max(...saved) - Math.min(...saved)).toBeLessThan(0.2);
  });
});
