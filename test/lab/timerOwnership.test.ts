// The ownership experiment: what a policy touches and when, and where the newer one saves nothing.

import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadGuest, packageFolder } from '../../src/cli/load.ts';
import { COST_MODELS } from '../../src/host/costs.ts';
import {
  perOperation,
  timerOwnership,
  type OwnershipComparison,
  type OwnershipLoad,
} from '../../src/lab/timerOwnership.ts';
import type { OwnershipDesign } from '../../src/hypervisor/params.ts';
import { ACCESSES } from '../../src/hypervisor/vtimer/accesses.ts';

const load = (name: string) => loadGuest(join(packageFolder(), 'guests', `${name}.s`));
const BUSY: OwnershipLoad = 'one busy vCPU';
const HALTS: OwnershipLoad = 'one vCPU that halts';
const SHARED: OwnershipLoad = 'two busy vCPUs on one CPU';

let data: OwnershipComparison;
beforeAll(async () => {
  data = await timerOwnership.run(load);
});
const run = (which: OwnershipLoad, design: OwnershipDesign) =>
  data.runs.find((each) => each.load === which && each.design === design)!;

describe('under every policy', () => {
  it('each deadline of each guest is told once, and no interrupt comes in vain', () => {
    for (const { load: which, expiries, spurious } of data.runs)
      expect({ which, expiries, spurious }).toEqual({ which, expiries: which === SHARED ? 1000 : 500, spurious: 0 });
  });

  it('the accesses are those that the source has', () => {
    for (const { what, expected, here } of data.source) expect({ what, here }).toEqual({ what, here: expect.closeTo(expected, 1) as number }); // prettier-ignore
  });
});

describe('save and restore by entry and exit', () => {
  it('touches the registers at every exit and entry, however often threads are switched', () => {
    for (const which of [BUSY, HALTS, SHARED]) {
      const each = perOperation([run(which, 'entry-exit')], ['exit', 'entry'], ['reads', 'writes', 'isbs']);
      expect(each).toBe(8);
    }
  });

  it('writes the distributor about twice for each expiry, to set the active state and to clear it', () => {
    const { total, expiries } = run(BUSY, 'entry-exit');
    expect(total.distributorWrites / expiries).toBeGreaterThanOrEqual(2);
    expect(total.distributorWrites / expiries).toBeLessThan(2.5);
  });
});

describe('save and restore by load and put', () => {
  it('touches nothing at exits and entries', () => {
    for (const which of [BUSY, HALTS, SHARED])
      for (const design of ['load-put', 'load-put-nvhe'] as const)
        expect(perOperation([run(which, design)], ['exit', 'entry'], ACCESSES)).toBe(0);
  });

  it('saves nearly everything where exits are many and switches few', () => {
    const { timerCycles, exits } = run(BUSY, 'load-put');
    const older = run(BUSY, 'entry-exit');
    expect(timerCycles / exits).toBeLessThan((0.05 * older.timerCycles) / older.exits);
  });

  it('saves nothing where every exit ends in a switch', () => {
    const { timerCycles, operations, exits } = run(HALTS, 'load-put-nvhe');
    expect(operations.load.times).toBeGreaterThan(0.9 * exits);
    expect(timerCycles).toBeGreaterThan(run(HALTS, 'entry-exit-nvhe').timerCycles);
  });

  it('has nothing left to save at a put behind a block', () => {
    const { operations } = run(HALTS, 'load-put');
    // The puts that do save are those of the console: each character is a return to userspace.
    expect(operations.put.accesses.reads / 2 + operations.schedule.accesses.reads / 2).toBe(operations.put.times);
  });
});

it('the order of the designs does not hang on the cost of a distributor write', async () => {
  const scores = async (factor: number) => {
    const base = COST_MODELS['skylake-2020'];
    const entries = base.entries.map((entry) => (entry.name === 'distributorWrite' ? { ...entry, cycles: entry.cycles * factor } : entry)); // prettier-ignore
    const model = { ...base, entries, cycles: Float64Array.from(entries, ({ cycles }) => cycles) };
    const found = await timerOwnership.scores(load, model);
    return found.toSorted((a, b) => a.score - b.score).map(({ design }) => design);
  };
  expect(await scores(2)).toEqual(await scores(0.5));
});

it('the spreadsheet has a line for each operation of each run', () => {
  const rows = timerOwnership.rows(data);
  expect(rows).toHaveLength(data.runs.length * 8);
  expect(rows[0]).toMatchObject({ load: BUSY, design: 'entry-exit', operation: 'entry', reads: 0, writes: 3 * Number(rows[0]!.times) }); // prettier-ignore
});
