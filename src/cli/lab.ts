// `trapline lab NAME`: runs an experiment and draws its table. What is measured is in src/lab; here is how it looks.

import { join } from 'node:path';
import { lazyTscDeadline, type GuestLoader, type LazyComparison } from '../lab/lazyTscDeadline.ts';
import { wholePercent } from '../trace/perfReport.ts';
import { UsageError, type Command } from './command.ts';
import { loadGuest, packageFolder } from './load.ts';

interface Experiment {
  readonly summary: string;
  /** Runs it; `text` draws what it returned. */
  run(): Promise<{ readonly data: unknown; readonly text: string }>;
}

/** Guests that come with trapline. */
export const ownGuest: GuestLoader = (name) => loadGuest(join(packageFolder(), 'guests', `${name}.s`));

const EXPERIMENTS: Readonly<Record<string, Experiment>> = {
  'lazy-tscdeadline': {
    summary: 'what a shared page saves in writes of the TSC deadline (RFC, 2023)',
    async run() {
      const data = await lazyTscDeadline(ownGuest);
      return { data, text: drawLazy(data) };
    },
  },
};

const list = (): string =>
  Object.entries(EXPERIMENTS)
    .map(([name, { summary }]) => `  ${name}  ${summary}`)
    .join('\n');

export const lab: Command = {
  name: 'lab',
  usage: 'NAME [options]',
  summary: 'Runs an experiment: one guest with a mechanism switched off and on, and a table that compares the exits.',
  details: `Experiments:\n${list()}`,
  examples: [['trapline lab lazy-tscdeadline', '']],
  options: [{ name: 'json', help: 'the data instead of the table' }],
  async run(args) {
    const [name, ...more] = args.files;
    if (name === undefined || more.length > 0)
      throw new UsageError(`trapline lab takes the name of an experiment:\n${list()}`);
    if (!Object.hasOwn(EXPERIMENTS, name)) throw new UsageError(`there is no experiment '${name}', only:\n${list()}`);
    const { data, text } = await EXPERIMENTS[name]!.run();
    process.stdout.write(`${args.given('json') ? asJson(data) : text}\n`);
    return 0;
  },
};

const asJson = (data: unknown): string =>
  JSON.stringify(data, (_, value: unknown) => (value instanceof Map ? Object.fromEntries(value) : value), 2);

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
  return lines.flatMap((line) => wrap(line, 120)).join('\n');
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

/** Breaks a line of prose between words. */
function wrap(line: string, width: number): string[] {
  if (line.length <= width || line.startsWith(' ')) return [line];
  const at = line.lastIndexOf(' ', width);
  return [line.slice(0, at), ...wrap(line.slice(at + 1), width)];
}
