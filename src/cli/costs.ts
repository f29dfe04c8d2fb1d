// `trapline costs`: the cost model of host code, entry by entry, with where each figure comes from.

import { COST_MODELS, costModel, type CostModel } from '../host/costs.ts';
import { UsageError, type Command } from './command.ts';

const PRESETS = Object.keys(COST_MODELS);
const DEFAULT = 'skylake-2020';

export const costs: Command = {
  name: 'costs',
  usage: '[PRESET] [options]',
  summary: 'Prints a cost model: what each step of host code costs in cycles, and where the figure comes from.',
  details: `Presets: ${PRESETS.join(', ')} (default: ${DEFAULT}). Results that depend on a cost model say "modelled"; counts and paths need none.`,
  examples: [
    ['trapline costs', ''],
    ['trapline costs unit', 'everything costs one cycle, for tests of order'],
  ],
  options: [{ name: 'json', help: 'the table as data' }],
  run(args) {
    const [name = DEFAULT, ...more] = args.files;
    if (more.length > 0 || !Object.hasOwn(COST_MODELS, name)) {
      throw new UsageError(`trapline costs takes one preset of ${PRESETS.join(', ')}, not '${args.files.join(' ')}'`);
    }
    const model = costModel(name);
    process.stdout.write(`${args.given('json') ? JSON.stringify(asData(model), null, 2) : table(model)}\n`);
    return Promise.resolve(0);
  },
};

const asData = ({ name, entries }: CostModel): object => ({ name, entries });

function table({ name, entries }: CostModel): string {
  const widest = (texts: readonly string[]): number => Math.max(...texts.map((text) => text.length));
  const nameWidth = widest(entries.map((entry) => entry.name));
  const whatWidth = widest(entries.map((entry) => entry.what));
  const lines = entries.map(
    ({ name: primitive, what, cycles, source }) =>
      `${primitive.padEnd(nameWidth)}  ${String(cycles).padStart(6)}  ${what.padEnd(whatWidth)}  ${source}`,
  );
  const estimated = entries.filter((entry) => entry.estimated).length;
  const head = `${'primitive'.padEnd(nameWidth)}  cycles  ${'what it stands for'.padEnd(whatWidth)}  source`;
  const foot = `${name}: ${entries.length} primitives, ${estimated} of them estimated. No entry is fitted to a figure that an experiment is compared with.`;
  return [head, ...lines, '', foot].join('\n');
}
