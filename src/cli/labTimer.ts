// The tables and histograms of `trapline lab timer-latency`.

import { distributionOf } from '../lab/distribution.ts';
import type { TimerComparison, TimerRun } from '../lab/timerLatency.ts';
import { histogram } from './histogram.ts';
import { latencyTable } from './latencyTable.ts';
import { wrapped } from './prose.ts';

const DESIGN = 10;
const CELL = 8;
const CYCLES_PER_US = 2500;

/** Counts first, then modelled cycles on both hosts. */
export function drawTimer({ guest, costModel, load, runs, varied, differs }: TimerComparison): string {
  const us = (cycles: number): string => (cycles / CYCLES_PER_US).toFixed(0);
  return wrapped([
    `timer latency: ${guest} under each carrier of its deadlines`,
    '',
    `  ${''.padEnd(DESIGN)}${'exits'.padStart(CELL)}${'host interrupts'.padStart(2 * CELL + 2)}`,
    ...runs.map(
      ({ design, exits, hostInterrupts }) =>
        `  ${design.padEnd(DESIGN)}${String(exits).padStart(CELL)}${String(hostInterrupts).padStart(2 * CELL + 2)}`,
    ),
    '',
    `Modelled cycles from the deadline to the handler (${costModel}), host alone`,
    ...drawLateness(runs, 'alone'),
    '',
    ...drawHistogram(runs, 'alone'),
    '',
    `The same with a host interrupt of ${us(load.takes)} us every ${us(load.every)} us on the guest's CPU`,
    ...drawLateness(runs, 'loaded'),
    '',
    ...drawHistogram(runs, 'loaded'),
    '',
    `Varied: ${varied}.`,
    `Differs from KVM: ${differs}.`,
  ]);
}

const drawLateness = (runs: readonly TimerRun[], host: 'alone' | 'loaded'): string[] =>
  latencyTable(
    ['running guest', 'halted guest', 'arming'],
    runs.map(({ design, [host]: { running, halted, arming } }) => [
      design,
      [distributionOf(running), distributionOf(halted), arming],
    ]),
  );

/** Fast paths make arming cheaper and no deadline earlier: their distribution is that of `hv`. */
const drawHistogram = (runs: readonly TimerRun[], host: 'alone' | 'loaded'): string[] => {
  const drawn = runs.filter(({ design }) => design !== 'hv+fast');
  return histogram(new Map(drawn.map((run) => [`${run.design}, running`, run[host].running])));
};
