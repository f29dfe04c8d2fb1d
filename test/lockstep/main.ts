// npm run lockstep FILE: runs a guest on generated code and on another machine in step, and shows the first instruction after
// which they differ. Status 0: there is none; 1: there is one; 2: it could not be tried.

import { parseArgs } from 'node:util';
import { loadTestGuest, machineWishes } from '../../src/testing/bootGuest.ts';
import { nativeAvailable } from '../hardware/native.ts';
import type { DriverKind } from './driver.ts';
import { lockstep } from './lockstep.ts';
import { machineKind } from './machineDriver.ts';
import { nativeKind } from './nativeDriver.ts';
import { qemuAvailable } from '../peers/qemu.ts';
import { qemuKind } from './qemuDriver.ts';
import { differenceText } from './report.ts';

const USAGE = `usage: npm run lockstep FILE -- [--against evaluator|qemu|native] [--units N] [--vcpus N] [--no-hot]`;

/** What a guest may be compared with: how many units unless told otherwise, and what is missing on this machine. */
const OPPONENTS = {
  evaluator: { units: 20_000_000, available: (): true | string => true },
  qemu: { units: 100_000, available: qemuAvailable },
  native: { units: 200_000, available: nativeAvailable },
} as const;
type Opponent = keyof typeof OPPONENTS;

function usage(): never {
  process.stderr.write(`${USAGE}\n`);
  process.exit(2);
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        against: { type: 'string', default: 'evaluator' },
        units: { type: 'string' },
        vcpus: { type: 'string' },
        'no-hot': { type: 'boolean', default: false },
      },
    });
  } catch {
    return usage();
  }
}

const { positionals, values } = readArguments();
const [file] = positionals;
if (file === undefined || !Object.hasOwn(OPPONENTS, values.against)) usage();
const against = values.against as Opponent;
const { units: most, available } = OPPONENTS[against];
const units = Number(values.units ?? most);
if (!(units >= 1)) usage();
const isAvailable = available();
if (isAvailable !== true) {
  process.stderr.write(`lockstep against ${against} is not possible here: ${isAvailable}\n`);
  process.exit(2);
}

const { image, directives } = await loadTestGuest(file).catch((error: unknown): never => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(2);
});
const wishes = machineWishes(directives);
const vcpus = Number(values.vcpus ?? wishes.vcpus ?? 1);
if (against !== 'evaluator' && vcpus !== 1) {
  process.stderr.write(`lockstep against ${against} runs one vCPU, and this guest wants ${vcpus}: try --vcpus 1\n`);
  process.exit(2);
}
const boot = { ...wishes, vcpus };
const noHot = values['no-hot'];
const own = machineKind(image, { engine: 'wasm', noHot, tracksUndefined: against !== 'evaluator' }, boot);
const opponents: Record<Opponent, () => DriverKind> = {
  evaluator: () => machineKind(image, { engine: 'bigint' }, boot),
  qemu: () => qemuKind(own),
  native: () => nativeKind(machineKind(image, { engine: 'wasm', noHot }, boot)),
};
const other = opponents[against]();
const outcome = await lockstep([own, other], units);
if (outcome.kind === 'agreement') {
  const { units: done, ended } = outcome.agreement;
  const how =
    ended === null ? `${done} units, and the guest goes on` : `the guest ended within ${done} units, by ${ended}`;
  process.stdout.write(`${own.name} and ${other.name} agree: ${how}\n`);
} else {
  process.stdout.write(`${differenceText(outcome.difference, [own.name, other.name])}\n`);
  process.exitCode = 1;
}
