// Whether a result depends on a cost that is only estimated: the experiment again with every primitive halved and doubled,
// and whether the designs still come in the same order.

import type { CostModel, PrimitiveName } from '../host/costs.ts';
import type { Experiment, GuestLoader, Score } from './experiment.ts';

/** What one change of one primitive did. */
export interface Trial {
  readonly primitive: PrimitiveName;
  readonly factor: number;
  readonly order: string;
  readonly scores: readonly Score[];
}

export interface Sensitivity {
  readonly costModel: string;
  /** The designs from the best to the worst, with the costs as they are. */
  readonly order: string;
  readonly scores: readonly Score[];
  readonly trials: readonly Trial[];
}

const FACTORS = [0.5, 2];
/** Scores that differ by less than this share are equal: a poll loop alone makes that much of a difference. */
const TIE = 0.005;

/**
 * Compares the designs twice for every primitive of the cost model, and once with the costs as they are.
 * @param onTrial told what is about to be tried: a comparison takes its time.
 */
export async function sensitivity(
  experiment: Pick<Experiment<unknown>, 'scores'>,
  load: GuestLoader,
  costs: CostModel,
  onTrial: (model: CostModel) => void = () => undefined,
): Promise<Sensitivity> {
  const scores = await experiment.scores(load, costs);
  const trials: Trial[] = [];
  for (const { name: primitive } of costs.entries) {
    for (const factor of FACTORS) {
      const model = scaled(costs, primitive, factor);
      onTrial(model);
      const changed = await experiment.scores(load, model);
      trials.push({ primitive, factor, order: orderOf(changed), scores: changed });
    }
  }
  return { costModel: costs.name, order: orderOf(scores), scores, trials };
}

/** A model in which one primitive costs `factor` times as much. */
export function scaled(costs: CostModel, primitive: PrimitiveName, factor: number): CostModel {
  const entries = costs.entries.map((entry) =>
    entry.name === primitive ? { ...entry, cycles: entry.cycles * factor } : entry,
  );
  return {
    name: `${costs.name}, ${primitive} × ${factor}`,
    entries,
    cycles: Float64Array.from(entries, ({ cycles }) => Math.round(cycles)),
  };
}

/** The designs from the best to the worst, as `a = b < c`; equal ones stand as they were given. */
export function orderOf(scores: readonly Score[]): string {
  const groups: Score[][] = [];
  for (const score of scores.toSorted((a, b) => a.score - b.score)) {
    const group = groups.at(-1);
    if (group !== undefined && score.score <= group[0]!.score * (1 + TIE)) group.push(score);
    else groups.push([score]);
  }
  const inOrder = (group: Score[]): string[] =>
    scores.filter((score) => group.includes(score)).map(({ design }) => design);
  return groups.map((group) => inOrder(group).join(' = ')).join(' < ');
}
