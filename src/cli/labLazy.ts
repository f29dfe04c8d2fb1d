// The table of `trapline lab lazy-tscdeadline`.

import type { LazyComparison } from '../lab/lazyTscDeadline.ts';
import { wholePercent } from '../trace/perfReport.ts';
import { wrapped } from './prose.ts';

const NAME = 24;
const COUNT = 11;

/** The table of the series: exits and MSR writes, each with its share, without and with the feature. */
export function drawLazy({ off, on, claims, varied, differs, guest, costModel }: LazyComparison): string {
  const lines = [
    `lazy TSC deadline: ${guest} without and with the feature`,
    '',
    `${''.padEnd(NAME)}${'off'.padStart(COUNT + 5)}${'on'.padStart(COUNT + 5)}`,
    ...section('VM-Exit', off.exits, on.exits),
    ...section('MSR-Write', off.msrWrites, on.msrWrites),
    '',
    `${'Exits saved by it'.padEnd(38)}${'author'.padStart(8)}${'here'.padStart(8)}${'difference'.padStart(12)}`,
    ...claims.map(({ what, author, here }) => {
      const points = (here - author).toFixed(1);
      return `${`  ${what}`.padEnd(38)}${percent(author)}${percent(here)}${`${here >= author ? '+' : ''}${points}`.padStart(12)}`;
    }),
    '',
    `With the feature ${on.lazy.kicks} armed deadlines passed, and ${on.lazy.rearms} of them had been put off by then: armed anew, without an interrupt.`,
    '',
    `Modelled cycles (${costModel})`.padEnd(NAME),
    `${'  whole run'.padEnd(NAME)}${String(off.cycles).padStart(COUNT + 5)}${String(on.cycles).padStart(COUNT + 5)}`,
    '',
    `Varied: ${varied}.`,
    `Differs from the author's test: ${differs}.`,
  ];
  return wrapped(lines);
}

const percent = (value: number): string => `${value.toFixed(1)}%`.padStart(8);

function section(title: string, off: ReadonlyMap<string, number>, on: ReadonlyMap<string, number>): string[] {
  const sum = (rows: ReadonlyMap<string, number>): number => [...rows.values()].reduce((a, b) => a + b, 0);
  const sums = [sum(off), sum(on)] as const;
  const most = (name: string): number => Math.max(off.get(name) ?? 0, on.get(name) ?? 0);
  const names = [...new Set([...off.keys(), ...on.keys()])].sort((a, b) => most(b) - most(a));
  const cell = (count: number, whole: number): string =>
    `${wholePercent(count, whole).padStart(5)}${String(count).padStart(COUNT)}`;
  return [
    title,
    `${'  sum'.padEnd(NAME)}${String(sums[0]).padStart(COUNT + 5)}${String(sums[1]).padStart(COUNT + 5)}`,
    ...names.map(
      (name) => `  ${name}`.padEnd(NAME) + cell(off.get(name) ?? 0, sums[0]) + cell(on.get(name) ?? 0, sums[1]),
    ),
  ];
}
