// `--snapshot-at`, `--snapshot-to` and `--restore` of `trapline run`: what they ask for, and which other options go with them.

import type { Probes } from '../trace/probes.ts';
import { Machine } from '../vmm/machine.ts';
import { UsageError, type Arguments, type Option } from './command.ts';
import { loadGuest } from './load.ts';
import { askedProtocol, MACHINE_OPTIONS } from './machineOptions.ts';
import { readSnapshot, writeSnapshot } from './snapshotFile.ts';

export const SNAPSHOT_OPTIONS: readonly Option[] = [
  {
    name: 'snapshot-at',
    value: 'N',
    help: 'save the machine when all its CPUs have come to cycle N, and go on; with --snapshot-to',
  },
  { name: 'snapshot-to', value: 'FILE', help: 'the file for it, which is replaced in one piece' },
  {
    name: 'restore',
    value: 'FILE',
    help: 'go on with the machine of a snapshot; with the file that it was booted from, that is checked and need not be given',
  },
];

/** Options of a machine that a restored one may be given anew. */
const ANEW = new Set(['max-cycles', 'no-hot', 'no-in-place', 'boot']);

/** The machine of --restore; null: there is no such option. Throws SnapshotError, UsageError or what loading a guest throws. */
export async function restoredMachine(args: Arguments, probes: Probes): Promise<Machine | null> {
  const file = args.text('restore');
  if (file === undefined) return null;
  const given = MACHINE_OPTIONS.find(({ name }) => !ANEW.has(name) && args.given(name));
  if (given !== undefined)
    throw new UsageError(`--${given.name} belongs to the machine of the snapshot and cannot be given with --restore`);
  const record = ['record', 'replay'].find((name) => args.given(name));
  if (record !== undefined)
    throw new UsageError(`--${record} is about a run from its start, and --restore goes on in the middle of one`);
  if (args.files.length > 1)
    throw new UsageError(`trapline run takes one file, not also ${args.files.slice(1).join(' ')}`);
  const image = args.files[0] === undefined ? {} : { image: await loadGuest(args.files[0], askedProtocol(args)) };
  return Machine.restore(readSnapshot(file), {
    probes,
    noHot: args.given('no-hot'),
    noInPlace: args.given('no-in-place'),
    ...image,
  });
}

export interface SnapshotWish {
  /** Cycles from boot. */
  readonly at: number;
  readonly file: string;
}

/** What --snapshot-at and --snapshot-to ask for; null: nothing. */
export function snapshotWish(args: Arguments): SnapshotWish | null {
  const at = args.number('snapshot-at', 0, Number.MAX_SAFE_INTEGER);
  const file = args.text('snapshot-to');
  if (at === undefined && file === undefined) return null;
  if (at === undefined) throw new UsageError('--snapshot-to wants to know when: give --snapshot-at N too');
  if (file === undefined) throw new UsageError('--snapshot-at wants to know where to: give --snapshot-to FILE too');
  return { at, file };
}

/** Saves a machine on its way. */
export class Saving {
  /** Where the run stops first. */
  readonly at: number;
  readonly #machine: Machine;
  readonly #wish: SnapshotWish;
  readonly #limit: number;
  readonly #say: (line: string) => void;
  #taken = false;

  /** `limit`: how far the machine may run at all; `say`: told what became of the wish. */
  constructor(machine: Machine, wish: SnapshotWish, limit: number, say: (line: string) => void) {
    this.#machine = machine;
    this.#wish = wish;
    this.#limit = limit;
    this.#say = say;
    this.at = Math.min(wish.at, limit);
  }

  /** The machine has come to where it stops: saves it there. Returns how far it goes on, null: no further. */
  take(): number | null {
    const { at, file } = this.#wish;
    if (this.#taken || at > this.#limit) return null;
    this.#taken = true;
    writeSnapshot(file, this.#machine.snapshot());
    this.#say(`trapline: snapshot at cycle ${at} written to ${file}`);
    return this.#limit;
  }

  /** The run is over. */
  end(): void {
    if (!this.#taken) this.#say(`trapline: the machine did not come to cycle ${this.#wish.at}: no snapshot was taken`);
  }
}
