// The tables of `trapline lab timer-ownership`.

import { ACCESSES, type Access } from '../hypervisor/vtimer/accesses.ts';
import { GROUPS, perOperation, type OwnershipComparison, type OwnershipRun, type SourceCount } from '../lab/timerOwnership.ts'; // prettier-ignore
import { wrapped } from './prose.ts';

const NAME = 24;
const CELL = 10;
const LOAD = 28;

const HEADS: Readonly<Record<Access, string>> = {
  reads: 'reads',
  writes: 'writes',
  isbs: 'ISBs',
  distributorWrites: 'distrib.',
  deactivations: 'DIR',
  hypCalls: 'EL2 calls',
};
const ACCESS_HEADS = ACCESSES.map((access) => HEADS[access]);

/** Counts of each load, then of each operation, beside those of the source; then modelled cycles. */
export function drawOwnership({ guest, costModel, runs, source, varied, differs }: OwnershipComparison): string {
  const loads = [...new Set(runs.map(({ load }) => load))];
  const designs = [...new Set(runs.map(({ design }) => design))];
  const of = (load: string, design: string): OwnershipRun =>
    runs.find((run) => run.load === load && run.design === design)!;
  return wrapped([
    `Timer ownership: ${guest} under each policy (hypothetical on x86)`,
    '',
    ...loads.flatMap((load) => [
      `${load}: accesses for each exit`,
      line('', ['exits', 'load+put', 'expiries', ...ACCESS_HEADS]),
      ...designs.map((design) => drawRun(of(load, design))),
      '',
    ]),
    'Accesses of one operation, on average over all loads',
    line('', ['times', ...ACCESS_HEADS]),
    ...designs.flatMap((design) => drawOperations(runs.filter((run) => run.design === design))),
    '',
    `${'Accesses, on average'.padEnd(50)}${'in the source'.padStart(14)}${'here'.padStart(8)}${'difference'.padStart(12)}`,
    ...source.map(drawSource),
    '',
    `Modelled cycles on the timer's hardware for each exit, and their share of the run (${costModel})`,
    `  ${''.padEnd(NAME)}${loads.map((load) => load.padStart(LOAD)).join('')}`,
    ...designs.map((design) => `  ${design.padEnd(NAME)}${loads.map((load) => drawCycles(of(load, design))).join('')}`),
    '',
    `Varied: ${varied}.`,
    `Differs from ARM: ${differs}.`,
  ]);
}

const line = (name: string, cells: readonly string[]): string =>
  `  ${name.padEnd(NAME)}${cells.map((cell) => cell.padStart(CELL)).join('')}`;

/** Two digits, unless they say nothing. */
const average = (value: number): string => {
  const whole = Math.round(value);
  return Math.abs(value - whole) < 0.005 ? String(whole) : value.toFixed(2);
};

function drawRun({ design, exits, operations, expiries, total }: OwnershipRun): string {
  const moves = operations.load.times + operations.put.times;
  const perExit = ACCESSES.map((access) => average(total[access] / exits));
  return line(design, [String(exits), String(moves), String(expiries), ...perExit]);
}

/** What one design does at all, and what that touches. */
function drawOperations(runs: readonly OwnershipRun[]): string[] {
  const done = GROUPS.map(([title, operations]) => {
    const times = runs.reduce((sum, run) => sum + run.operations[operations[0]!].times, 0);
    return { title, times, counts: ACCESSES.map((access) => perOperation(runs, operations, [access])) };
  });
  return [
    `  ${runs[0]!.design}`,
    ...done
      .filter(({ times }) => times > 0)
      .map(({ title, times, counts }) => line(`  ${title}`, [String(times), ...counts.map(average)])),
  ];
}

function drawSource({ what, expected, here, source }: SourceCount): string {
  const difference = here - expected;
  const cells = [String(expected).padStart(14), average(here).padStart(8), average(difference).padStart(12)];
  return `  ${what.padEnd(48)}${cells.join('')}  ${source}`;
}

function drawCycles({ timerCycles, exits, cycles }: OwnershipRun): string {
  const share = ((100 * timerCycles) / cycles).toFixed(1);
  return (timerCycles / exits).toFixed(1).padStart(LOAD - 8) + `${share}%`.padStart(8);
}
