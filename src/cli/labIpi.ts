// The tables of `trapline lab ipi-fastpath`.

import { COUNTED_STEPS, type IpiComparison, type IpiRun } from '../lab/ipiFastpath.ts';
import { latencyTable } from './latencyTable.ts';
import { wrapped } from './prose.ts';

const DESIGN = 14;

/** Counts first, then modelled cycles on both hosts, then what was published. */
export function drawIpi({ guest, costModel, load, runs, published, varied, differs }: IpiComparison): string {
  const us = (cycles: number): string => (cycles / 2500).toFixed(0);
  return wrapped([
    `IPI fast path: ${guest} under each design`,
    '',
    'Between the exit of the sender and its IPI, on average',
    `  ${''.padEnd(DESIGN)}${COUNTED_STEPS.map((step) => step.padStart(step.length + 3)).join('')}`,
    ...runs.map(drawSteps),
    '',
    `Modelled cycles from the WRMSR on (${costModel}), host alone`,
    ...drawLatencies(runs, 'alone'),
    '',
    `The same with a host interrupt of ${us(load.takes)} us every ${us(load.every)} us on the sender's CPU`,
    ...drawLatencies(runs, 'loaded'),
    ...runs.filter(({ waited }) => waited > 0).map(drawWaited),
    '',
    `${'Median to the running target'.padEnd(40)}${'published'.padStart(10)}${'here'.padStart(8)}${'difference'.padStart(12)}`,
    ...published.map(
      ({ what, published: theirs, here, source }) =>
        `  ${what.padEnd(38)}${signed(theirs).padStart(10)}${signed(here).padStart(8)}${signed(here - theirs).padStart(12)}  ${source}`,
    ),
    '',
    `Varied: ${varied}.`,
    `Differs from the published tests: ${differs}.`,
  ]);
}

const signed = (cycles: number): string => (cycles > 0 ? `+${cycles}` : String(cycles));

function drawSteps({ design, beforeSending }: IpiRun): string {
  const cells = COUNTED_STEPS.map((step) => beforeSending[step].toFixed(0).padStart(step.length + 3));
  return `  ${design.padEnd(DESIGN)}${cells.join('')}`;
}

const drawWaited = ({ design, waited }: IpiRun): string =>
  `  ${design}: ${waited} of 1000 IPIs waited for a handler that the host ran between the exit and the IPI`;

const drawLatencies = (runs: readonly IpiRun[], host: 'alone' | 'loaded'): string[] =>
  latencyTable(
    ['running target', 'halted target', 'sender goes on'],
    runs.map(({ design, [host]: { running, halted, sender } }) => [design, [running, halted, sender]]),
  );
