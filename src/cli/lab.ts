// `trapline lab NAME`: runs an experiment and draws its table. What is measured is in src/lab, how it looks in labLazy.ts and
// the like.

import { join } from 'node:path';
import { COST_MODELS, type CostModel, type CostModelName } from '../host/costs.ts';
import type { Experiment, GuestLoader, Row } from '../lab/experiment.ts';
import { ipiFastpath } from '../lab/ipiFastpath.ts';
import { lazyTscDeadline } from '../lab/lazyTscDeadline.ts';
import { timerLatency } from '../lab/timerLatency.ts';
import { timerOwnership } from '../lab/timerOwnership.ts';
import { xenEvtchn } from '../lab/xenEvtchn.ts';
import { xenTimer } from '../lab/xenTimer.ts';
import { sensitivity, type Sensitivity } from '../lab/sensitivity.ts';
import { UsageError, type Arguments, type Command } from './command.ts';
import { drawIpi } from './labIpi.ts';
import { drawLazy } from './labLazy.ts';
import { drawOwnership } from './labOwnership.ts';
import { drawTimer } from './labTimer.ts';
import { drawXenEvtchn } from './labXenEvtchn.ts';
import { drawXenTimer } from './labXenTimer.ts';
import { loadGuest, packageFolder } from './load.ts';
import { wrapped } from './prose.ts';

/** Guests that come with trapline. */
export const ownGuest: GuestLoader = (name) => loadGuest(join(packageFolder(), 'guests', `${name}.s`));

/** An experiment as the command line knows it. */
interface Bench {
  readonly name: string;
  readonly summary: string;
  /** Runs it, and gives what is to be printed. */
  print(costs: CostModel, form: Form): Promise<string>;
  sensitivity(costs: CostModel, form: Form): Promise<string>;
}
type Form = 'table' | 'json' | 'csv';

const bench = <Data>(experiment: Experiment<Data>, draw: (data: Data) => string): Bench => ({
  name: experiment.name,
  summary: experiment.summary,
  async print(costs, form) {
    const data = await experiment.run(ownGuest, costs);
    if (form === 'table') return draw(data);
    return form === 'json' ? asJson(data) : asCsv(experiment.rows(data));
  },
  async sensitivity(costs, form) {
    const found = await sensitivity(experiment, ownGuest, costs, showProgress);
    if (form === 'table') return drawSensitivity(experiment, found);
    return form === 'json' ? asJson(found) : asCsv(sensitivityRows(found));
  },
});

const BENCHES: readonly Bench[] = [
  bench(lazyTscDeadline, drawLazy),
  bench(ipiFastpath, drawIpi),
  bench(timerLatency, drawTimer),
  bench(timerOwnership, drawOwnership),
  bench(xenTimer, drawXenTimer),
  bench(xenEvtchn, drawXenEvtchn),
];

const list = (): string => {
  const width = Math.max(...BENCHES.map(({ name }) => name.length));
  return BENCHES.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n');
};

export const lab: Command = {
  name: 'lab',
  usage: 'NAME [options]',
  summary: 'Runs an experiment: one guest under every position of one switch, and tables that compare what came of it.',
  details: `Experiments:\n${list()}`,
  examples: [
    ['trapline lab lazy-tscdeadline', ''],
    ['trapline lab ipi-fastpath --sensitivity', 'does the order of the designs hang on an estimated cost?'],
  ],
  options: [
    { name: 'costs', value: 'NAME', help: `cost model of host code: ${Object.keys(COST_MODELS).join(', ')}` },
    { name: 'sensitivity', help: 'halve and double every cost, and say whether the designs keep their order' },
    { name: 'json', help: 'the data instead of the table' },
    { name: 'csv', help: 'the table for a spreadsheet' },
  ],
  async run(args) {
    const [name, ...more] = args.files;
    if (name === undefined || more.length > 0)
      throw new UsageError(`trapline lab takes the name of an experiment:\n${list()}`);
    const found = BENCHES.find((each) => each.name === name);
    if (found === undefined) throw new UsageError(`there is no experiment '${name}', only:\n${list()}`);
    const costs = costsOf(args);
    const form = formOf(args);
    const text = await (args.given('sensitivity') ? found.sensitivity(costs, form) : found.print(costs, form));
    process.stdout.write(`${text}\n`);
    return 0;
  },
};

function costsOf(args: Arguments): CostModel {
  const name = args.text('costs') ?? 'skylake-2020';
  if (Object.hasOwn(COST_MODELS, name)) return COST_MODELS[name as CostModelName];
  throw new UsageError(`--costs knows ${Object.keys(COST_MODELS).join(', ')}, not '${name}'`);
}

function formOf(args: Arguments): Form {
  if (args.given('json') && args.given('csv'))
    throw new UsageError('--json and --csv are two forms of the same: take one');
  if (args.given('json')) return 'json';
  return args.given('csv') ? 'csv' : 'table';
}

const asJson = (data: unknown): string =>
  JSON.stringify(data, (_, value: unknown) => (value instanceof Map ? Object.fromEntries(value) : value), 2);

/** RFC 4180, as far as names and numbers need it. */
function asCsv(rows: readonly Row[]): string {
  const columns = Object.keys(rows[0]!);
  const cell = (value: string | number): string => {
    const text = String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows.map((row) => columns.map((column) => row[column]!))]
    .map((cells) => cells.map(cell).join(','))
    .join('\n');
}

/** A line that is written over, for a person who waits; nothing where standard error is a file. */
function showProgress({ name }: CostModel): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${name} ...\r`);
}

function drawSensitivity(
  { name, scored }: Experiment<unknown>,
  { costModel, order, scores, trials }: Sensitivity,
): string {
  const changed = trials.filter((trial) => trial.order !== order);
  const widest = Math.max(...scores.map(({ design }) => design.length));
  const verdict =
    changed.length === 0
      ? `The order holds when any one of ${trials.length / 2} costs is halved or doubled.`
      : `The order changes in ${changed.length} of ${trials.length} trials:`;
  return wrapped([
    `${name}: is the order of the designs one of the mechanism, or of an estimated cost?`,
    '',
    `Compared by ${scored} (${costModel}):`,
    ...scores.map(({ design, score }) => `  ${design.padEnd(widest)}${String(Math.round(score)).padStart(8)}`),
    '',
    `  ${order}`,
    '',
    verdict,
    ...changed.map(({ primitive, factor, order: other }) => `  ${`${primitive} × ${factor}`.padEnd(24)}${other}`),
    '',
    'Scores within half a percent of each other count as equal (=).',
  ]);
}

const sensitivityRows = ({ order, scores, trials }: Sensitivity): Row[] =>
  [{ primitive: 'none', factor: 1, order, scores }, ...trials].map(
    ({ primitive, factor, order: found, scores: each }) => ({
      primitive,
      factor,
      order: found,
      ...Object.fromEntries(each.map(({ design, score }) => [design, score])),
    }),
  );
