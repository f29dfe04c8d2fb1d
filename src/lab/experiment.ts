// What every experiment of `trapline lab` is: a guest, run once for every position of one switch, and what came out as data.

import type { CostModel } from '../host/costs.ts';
import type { Image } from '../vmm/image.ts';

/** Gets a guest of the corpus by its name: from a file, or from wherever guests are kept. */
export type GuestLoader = (name: string) => Promise<Image>;

/** One line of an experiment's table, by the names of its columns. */
export type Row = Readonly<Record<string, string | number>>;

/** What one position of the switch scored; less is better. */
export interface Score {
  readonly design: string;
  readonly score: number;
}

export interface Experiment<Data> {
  readonly name: string;
  readonly summary: string;
  /** Runs every position of the switch to its end. Throws when a guest does not end as it should. */
  run(load: GuestLoader, costs?: CostModel): Promise<Data>;
  /** The table of what `run` found, for a spreadsheet. */
  rows(data: Data): readonly Row[];
  /** What `scores` gives for each design, in words. */
  readonly scored: string;
  /** Runs no more than it takes to compare the designs by one figure. */
  scores(load: GuestLoader, costs: CostModel): Promise<readonly Score[]>;
}
