// Whether an order of designs survives other costs, and the order itself.

import { describe, expect, it } from 'vitest';
import { COST, COST_MODELS, type CostModel } from '../../src/host/costs.ts';
import { distributionOf } from '../../src/lab/distribution.ts';
import type { GuestLoader } from '../../src/lab/experiment.ts';
import { orderOf, scaled, sensitivity } from '../../src/lab/sensitivity.ts';

const base = COST_MODELS['skylake-2020'];
const load = () => Promise.reject(new Error('needs no guest'));

describe('sensitivity', () => {
  /** Two designs that differ in one barrier against three VMREADs. */
  const scores = (_: GuestLoader, { cycles }: CostModel) =>
    Promise.resolve([
      { design: 'barrier', score: 1000 + cycles[COST.barrier]! },
      { design: 'reads', score: 1000 + 3 * cycles[COST.vmread]! },
    ]);

  it('tries every primitive at half and at twice its cost', async () => {
    const { trials } = await sensitivity({ scores }, load, base);
    expect(trials).toHaveLength(2 * base.entries.length);
    expect(new Set(trials.map(({ primitive }) => primitive)).size).toBe(base.entries.length);
  });

  it('finds the costs that an order hangs on, and no others', async () => {
    const close = (_: GuestLoader, model: CostModel) =>
      Promise.resolve([
        { design: 'a', score: model.cycles[COST.barrier]! },
        { design: 'b', score: model.cycles[COST.vmread]! },
      ]);
    const { order, trials } = await sensitivity({ scores: close }, load, base);
    expect(order).toBe('a < b');
    expect(trials.filter((trial) => trial.order !== order).map(({ primitive, factor }) => [primitive, factor])).toEqual(
      [
        ['vmread', 0.5],
        ['barrier', 2],
      ],
    );
  });

  it('leaves the model that it starts from as it was', async () => {
    const before = [...base.cycles];
    await sensitivity({ scores }, load, base);
    expect([...base.cycles]).toEqual(before);
    expect(scaled(base, 'srcu', 2).cycles[COST.srcu]).toBe(2 * base.cycles[COST.srcu]!);
  });
});

describe('the order of designs', () => {
  it('is from the least score to the greatest', () => {
    expect(
      orderOf([
        { design: 'slow', score: 300 },
        { design: 'fast', score: 100 },
      ]),
    ).toBe('fast < slow');
  });

  it('counts scores within half a percent as equal, in the order given', () => {
    expect(
      orderOf([
        { design: 'z', score: 1004 },
        { design: 'y', score: 1000 },
        { design: 'x', score: 1006 },
      ]),
    ).toBe('z = y < x');
  });
});

describe('a distribution', () => {
  it('takes its ranks from the samples, whatever their order', () => {
    const samples = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect(distributionOf(samples)).toEqual({ count: 100, median: 50, p99: 99, max: 100 });
  });

  it('of one sample is that sample', () => {
    expect(distributionOf([7])).toEqual({ count: 1, median: 7, p99: 7, max: 7 });
  });

  it('needs a sample', () => {
    expect(() => distributionOf([])).toThrow(RangeError);
  });
});
