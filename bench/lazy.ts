// How much of the guest's time passes in a second of ours, in the experiment with the most exits.

import { loadGuest, packageFolder } from '../src/cli/load.ts';
import { join } from 'node:path';
import { COST_MODELS } from '../src/host/costs.ts';
import { runLazy } from '../src/lab/lazyTscDeadline.ts';
import { measured, type Measured } from './clock.ts';

/** The host's TSC in an experiment. */
const HZ = 2.5e9;
const TRANSACTIONS = 1000;

/** Virtual seconds for each second, over a run without the feature and one with it, booting included. */
export async function lazySpeed(rounds: number): Promise<Measured> {
  const image = await loadGuest(join(packageFolder(), 'guests', 'lazy.s'));
  const speeds: number[] = [];
  for (let i = 0; i <= rounds; i++) {
    const start = performance.now();
    let cycles = 0;
    for (const design of ['off', 'fixed'] as const)
      cycles += runLazy(image, COST_MODELS['skylake-2020'], design, { transactions: TRANSACTIONS }).cycles;
    speeds.push(cycles / HZ / ((performance.now() - start) / 1000));
  }
  return measured(speeds.slice(1)); // the first one compiles for all
}
