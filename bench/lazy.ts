// How much of the guest's time passes in a second of ours, in the experiment with the most exits.

import { loadGuest, packageFolder } from '../src/cli/load.ts';
import { join } from 'node:path';
import { lazyTscDeadline } from '../src/lab/lazyTscDeadline.ts';
import { measured, type Measured } from './clock.ts';

/** The host's TSC in an experiment. */
const HZ = 2.5e9;

/** Virtual seconds for each second, over both runs of `lab lazy-tscdeadline`, booting included. */
export async function lazySpeed(rounds: number): Promise<Measured> {
  const speeds: number[] = [];
  for (let i = 0; i <= rounds; i++) {
    const start = performance.now();
    const { off, on } = await lazyTscDeadline.run((name) => loadGuest(join(packageFolder(), 'guests', `${name}.s`)));
    speeds.push((off.cycles + on.cycles) / HZ / ((performance.now() - start) / 1000));
  }
  return measured(speeds.slice(1)); // the first one compiles for all
}
