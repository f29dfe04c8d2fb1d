// npm run lockstep FILE [-- --against evaluator|qemu|native] [--units N] [--vcpus N] [--no-hot]: runs a guest on generated code and on another
// machine in step, and shows the first instruction after which they differ. Status 0: none did; 1: one did; 2: usage.

import { parseArgs } from 'node:util';
import { loadGuest } from '../../src/cli/load.ts';
import { lockstep } from './lockstep.ts';
import { machineKind } from './machineDriver.ts';
import { differenceText } from './report.ts';

const USAGE = `usage: npm run lockstep FILE -- [--against evaluator|qemu|native] [--units N] [--vcpus N] [--no-hot]`;
const DEFAULT_UNITS = { evaluator: 20_000_000, qemu: 100_000 } as const;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    against: { type: 'string', default: 'evaluator' },
    units: { type: 'string' },
    vcpus: { type: 'string', default: '1' },
    'no-hot': { type: 'boolean', default: false },
  },
});

const file = positionals[0];
const against = values.against;
if (file === undefined || (against !== 'evaluator' && against !== 'qemu')) {
  process.stderr.write(`${USAGE}\n`);
  process.exit(2);
}
const units = Number(values.units ?? DEFAULT_UNITS[against]);
const vcpus = Number(values.vcpus);
const image = await loadGuest(file);
const own = machineKind(
  image,
  { engine: 'wasm', noHot: values['no-hot'], tracksUndefined: against !== 'evaluator' },
  { vcpus },
);
const other = machineKind(image, { engine: 'bigint' }, { vcpus });
const outcome = await lockstep([own, other], units);
if (outcome.kind === 'agreement') {
  const { units: done, ended } = outcome.agreement;
  process.stdout.write(
    `${own.name} and ${other.name} agree: ${ended === null ? `${done} units, and the guest goes on` : `the guest ended within ${done} units, by ${ended}`}\n`,
  );
} else {
  process.stdout.write(`${differenceText(outcome.difference, [own.name, other.name])}\n`);
  process.exitCode = 1;
}
