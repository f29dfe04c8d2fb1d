// The tables of `trapline lab lazy-tscdeadline`.

import {
  changeOf,
  countOf,
  LAZY_CAUSES,
  savedOf,
  type LazyComparison,
  type LazyRun,
  type SweepPoint,
} from '../lab/lazyTscDeadline.ts';
import type { PublishedTable } from '../lab/lazyPublished.ts';
import { wholePercent } from '../trace/perfReport.ts';
import { wrapped } from './prose.ts';

const NAME = 22;
const SHARE = 6;
const COUNT = 9;
const CAUSE = 42;
const EACH = 8;
const CYCLES_PER_MS = 2_500_000;

type Runs = readonly LazyRun[];

/** Counts first: the series' table for as many transactions, causes, what the guest saw; then equal time, beside the published figures. */
export function drawLazy(data: LazyComparison): string {
  const { guest, costModel, equalTransactions, equalTime, published, sweep, varied, differs } = data;
  const [off] = equalTime;
  return wrapped([
    `lazy TSC deadline: ${guest} without the feature, and with each version of it`,
    '',
    `For ${equalTransactions[0]!.transactions} transactions`,
    ...drawCounts(equalTransactions),
    '',
    ...drawCauses(equalTransactions),
    '',
    ...drawTicks(equalTransactions),
    '',
    `For as much time (${(off!.cycles / CYCLES_PER_MS).toFixed(0)} ms; transactions: ${equalTime.map(({ design, transactions }) => `${design} ${transactions}`).join(', ')})`,
    ...drawCounts(equalTime),
    '',
    ...published.flatMap((table) => [...drawPublished(table, equalTime), '']),
    ...drawSaved(equalTransactions, equalTime, published[0]!),
    '',
    ...(sweep.length > 0 ? [...drawSweep(sweep), ''] : []),
    ...drawCycles(equalTransactions, costModel),
    '',
    `Varied: ${varied}.`,
    `Differs from the author's test: ${differs}.`,
  ]);
}

/** The same for a first look: one table, and what was saved. */
export function drawLazyBriefly({ guest, equalTransactions, equalTime, published }: LazyComparison): string {
  return wrapped([
    `lazy TSC deadline: ${guest} without the feature, and with each version of it`,
    '',
    `For ${equalTransactions[0]!.transactions} transactions`,
    ...drawCounts(equalTransactions),
    '',
    ...drawSaved(equalTransactions, equalTime, published[0]!),
  ]);
}

const left = (text: string, width = NAME): string => `  ${text}`.padEnd(width);
const cells = (runs: Runs, of: (run: LazyRun) => string): string =>
  runs.map((run) => of(run).padStart(SHARE + COUNT)).join('');
const heads = (runs: Runs, width = NAME): string => ''.padEnd(width) + cells(runs, ({ design }) => design);

function drawCounts(runs: Runs): string[] {
  const [off] = runs;
  const line = (name: string, shown: string, whole: string | null): string =>
    left(shown) +
    cells(runs, (run) => {
      const count = countOf(run, name);
      const share = whole === null ? '' : wholePercent(count, countOf(run, whole));
      return share.padStart(SHARE) + String(count).padStart(COUNT);
    });
  const part = (names: Iterable<string>, sum: string): string[] =>
    [...names].map((name) => (name === sum ? line(name, 'sum', null) : line(name, name, sum)));
  return [
    heads(runs),
    'VM-Exit',
    ...part(off!.exits.keys(), 'sum'),
    'MSR-Write',
    ...part(['msr sum', 'apic-icr', 'tsc-deadline'], 'msr sum'),
    'Interrupts of the guest',
    ...part(off!.interrupts.keys(), ''),
    'In no sum',
    left('boot and console') + cells(runs, ({ others }) => String(others)),
  ];
}

/** Deadlines that the guest programmed for each transaction, by cause, and what became of them. */
function drawCauses(runs: Runs): string[] {
  const each = (run: LazyRun, count: number): string => (count / run.transactions).toFixed(3);
  const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);
  const half = (of: (run: LazyRun) => number): string => runs.map((run) => each(run, of(run)).padStart(EACH)).join('');
  const row = (name: string, asked: (run: LazyRun) => number, written: (run: LazyRun) => number): string =>
    `${left(name, CAUSE)}${half(asked)}  ${half(written)}`;
  const names = runs.map(({ design }) => design.padStart(EACH)).join('');
  return [
    `${'Deadlines of a transaction, by cause'.padEnd(CAUSE)}${'set'.padStart(EACH)}${''.padEnd(names.length - EACH + 2)}written to the MSR`,
    `${''.padEnd(CAUSE)}${names}  ${names}`,
    ...LAZY_CAUSES.map((cause, i) =>
      row(
        cause,
        ({ asked }) => asked[i]!,
        ({ written }) => written[i]!,
      ),
    ),
    row(
      'together',
      ({ asked }) => sum(asked),
      ({ written }) => sum(written),
    ),
    left('retransmit timer armed', CAUSE) + half(({ rtoArmed }) => rtoArmed),
    left('  ... into another bucket of the wheel', CAUSE) + half(({ rtoMoved }) => rtoMoved),
    'The wheel programs nothing by itself: it is asked on the way into idle.',
  ];
}

/** What the guest found out about its own ticks. */
const drawTicks = (runs: Runs): string[] => [
  heads(runs).replace(''.padEnd(NAME), "The guest's ticks".padEnd(NAME)),
  left('taken') + cells(runs, ({ ticks }) => String(ticks.taken)),
  left('later than 10 us') + cells(runs, ({ ticks }) => String(ticks.late)),
  left('lost') + cells(runs, ({ ticks }) => String(ticks.lost)),
  left('latest, cycles') + cells(runs, ({ ticks }) => String(ticks.latest)),
  left('early interrupts') + cells(runs, ({ asked }) => String(asked[4])),
  left('armed anew by host') + cells(runs, ({ host }) => String(host.rearms)),
];

/** The published table, and by how much each row changed there and here. */
function drawPublished({ series, source, rows }: PublishedTable, runs: Runs): string[] {
  const [off] = runs;
  const on = runs.find(({ design }) => design === series.toLowerCase())!;
  /** Below this many events a change says nothing. */
  const FEW = 1000;
  return [
    `${`${series} as published (${source})`.padEnd(NAME + 4)}`,
    `${''.padEnd(NAME)}${'Close'.padStart(12)}${'Open'.padStart(11)}${'change'.padStart(9)}   ${'off'.padStart(COUNT)}${on.design.padStart(COUNT)}${'change'.padStart(9)}${'difference'.padStart(12)}`,
    ...rows.map(({ name, close, open }) => {
      const before = countOf(off!, name);
      const after = countOf(on, name);
      const there = Math.max(close, open) < FEW ? null : changeOf(close, open);
      const here = changeOf(before, after);
      const difference = there === null || here === null ? '' : signed(here - there);
      return `${left(name)}${String(close).padStart(12)}${String(open).padStart(11)}${percent(there)}   ${String(before).padStart(COUNT)}${String(after).padStart(COUNT)}${percent(here)}${difference.padStart(12)}`;
    }),
  ];
}

/** What the mechanism leads one to expect, and what came of it. */
function drawSaved(transactions: Runs, time: Runs, { rows }: PublishedTable): string[] {
  const author = (name: string): number => {
    const { close, open } = rows.find((row) => row.name === name)!;
    return 100 * (1 - open / close);
  };
  const LABEL = 34;
  const line = (what: string, name: string): string => {
    const here = savedOf(transactions[0]!, transactions.at(-1)!, name);
    const sameTime = -changeOf(countOf(time[0]!, name), countOf(time.at(-1)!, name))!;
    const there = author(name);
    return `${left(what, LABEL)}${shown(there)}${shown(sameTime)}${signed(sameTime - there).padStart(12)}${shown(here).padStart(18)}`;
  };
  const shown = (value: number): string => `${value.toFixed(1)}%`.padStart(9);
  return [
    `${'Saved by the fixed protocol'.padEnd(LABEL)}${'author'.padStart(9)}${'here'.padStart(9)}${'difference'.padStart(12)}${'per transaction'.padStart(18)}`,
    line('tsc-deadline writes', 'tsc-deadline'),
    line('msr-write exits', 'msr-write'),
    line('all exits', 'sum'),
  ];
}

function drawSweep(sweep: readonly SweepPoint[]): string[] {
  const cell = (value: number): string => `${value.toFixed(1)}%`.padStart(10);
  return [
    'Saved for each transaction, by how often the timer is set for each time it expires',
    `${''.padEnd(26)}${'tsc-deadline'.padStart(20)}${'msr-write'.padStart(20)}${'all exits'.padStart(20)}`,
    `${'  set/expiry'.padEnd(13)}${'transaction'.padStart(13)}${['v2', 'fixed', 'v2', 'fixed', 'v2', 'fixed'].map((name) => name.padStart(10)).join('')}`,
    ...sweep.map(({ rearmsPerExpiry, cyclesPerTransaction, saved: { v2, fixed } }) =>
      [
        rearmsPerExpiry.toFixed(1).padStart(12),
        ` ${`${((1000 * cyclesPerTransaction) / CYCLES_PER_MS).toFixed(0)} us`.padStart(13)}`,
        ...(['deadlines', 'msrWrites', 'exits'] as const).flatMap((what) => [cell(v2[what]), cell(fixed[what])]),
      ].join(''),
    ),
  ];
}

const drawCycles = (runs: Runs, costModel: string): string[] => [
  `Modelled cycles (${costModel})`,
  heads(runs),
  left('each transaction') + cells(runs, ({ cycles, transactions }) => (cycles / transactions).toFixed(0)),
];

const signed = (value: number): string => `${value >= 0 ? '+' : ''}${value.toFixed(1)}`;
const percent = (value: number | null): string => (value === null ? '' : `${signed(value)}%`).padStart(9);
