// `trapline run --record FILE` and `--replay FILE`: what a recording asks of a run before, at its start and at its end.

import type { Image } from '../vmm/image.ts';
import type { Machine } from '../vmm/machine.ts';
import type { RunResult } from '../vmm/result.ts';
import { readArguments, UsageError, type Arguments, type Command } from './command.ts';
import { readFile } from './load.ts';
import { MACHINE_OPTIONS, type Wishes } from './machineOptions.ts';
import { imageDigest, readRecording, writeRecording, type Recording } from './recording.ts';
import { version } from './version.ts';

/** A run that is recorded, or repeats one. */
export interface RecordedRun {
  /** The arguments of the run: of a replay, those that were recorded. */
  readonly args: Arguments;
  /** Nobody types: input comes from the recording. */
  readonly replays: boolean;
  /** Where the run stops at the latest, in cycles. */
  readonly limit: number;
  /** Called before the machine runs. Throws UsageError where the recording is of something else. */
  prepare(machine: Machine, image: Image, wishes: Wishes): void;
  /** Called when it has ended (`null`: the user interrupted it); says what came of it. False: the replay went another way. */
  finish(machine: Machine, result: RunResult | null, say: (line: string) => void): boolean;
}

/** Options of `command` that change what the guest sees. */
const matters = (name: string): boolean =>
  name === 'keyboard' || name === 'xen-console' || MACHINE_OPTIONS.some((option) => option.name === name);

/** The options that were given and change the run, as they would be written again. */
function optionsOf(command: Command, args: Arguments): string[] {
  return command.options.flatMap(({ name, value, multiple }) => {
    if (!matters(name) || !args.given(name)) return [];
    if (value === undefined) return [`--${name}`];
    return (multiple ? args.texts(name) : [args.text(name)!]).map((text) => `--${name}=${text}`);
  });
}

const digestOf = (args: Arguments, image: Image, wishes: Wishes): string =>
  imageDigest(image, [JSON.stringify(wishes), ...args.texts('initrd').map(readFile)]);

/** What --record and --replay ask for; null: neither was given. Throws UsageError. */
export function recordedRun(command: Command, args: Arguments): RecordedRun | null {
  const record = args.text('record');
  const replay = args.text('replay');
  if (record !== undefined && replay !== undefined)
    throw new UsageError('--record and --replay are two ways to run: a replay is what its recording says already');
  if (record !== undefined) return recordTo(record, command, args);
  return replay === undefined ? null : replayOf(replay, command, args);
}

function recordTo(file: string, command: Command, args: Arguments): RecordedRun {
  let image = '';
  return {
    args,
    replays: false,
    limit: Infinity,
    prepare(_machine, loaded, wishes) {
      image = digestOf(args, loaded, wishes);
    },
    finish(machine, result, say) {
      const stoppedAt = result === null ? stopTogether(machine) : null;
      const kind = result?.kind ?? 'interrupted';
      const end = { kind, digest: machine.digest(), stoppedAt };
      const { journal } = machine.input;
      writeRecording(file, { trapline: version(), image, options: optionsOf(command, args), input: journal, end });
      say(`trapline: recorded ${journal.length} ${journal.length === 1 ? 'arrival' : 'arrivals'} of input in ${file}`);
      return true;
    },
  };
}

/** An interrupted machine goes on to a position that a replay can stop at too; returns it. */
function stopTogether(machine: Machine): number {
  const position = Math.max(...machine.host.cpus.map(({ now }) => now)) + 1;
  while (machine.step(position) === null);
  return position;
}

function replayOf(file: string, command: Command, args: Arguments): RecordedRun {
  const recording = readRecording(file);
  const given = optionsOf(command, args);
  const foreign = given.find((option) => !recording.options.includes(option));
  if (foreign !== undefined) {
    const recorded = recording.options.length === 0 ? 'without options' : `with ${recording.options.join(' ')}`;
    throw new UsageError(`${foreign} is not how ${file} was recorded (${recorded}): leave it out`);
  }
  const kept = ['quiet', 'screen'].filter((name) => args.given(name)).map((name) => `--${name}`);
  const replayed = readArguments(command, [...args.files, ...recording.options, ...kept]);
  return {
    args: replayed,
    replays: true,
    limit: recording.end.stoppedAt ?? Infinity,
    prepare(machine, image, wishes) {
      if (digestOf(replayed, image, wishes) !== recording.image)
        throw new UsageError(
          `${file} was recorded with another image than ${args.files[0]}: replay it with the one that it was recorded with`,
        );
      machine.input.replay(recording.input);
    },
    finish(machine, result, say) {
      if (result === null) return true;
      const difference = differenceOf(recording, machine, result);
      say(difference ?? `trapline: the replay ended as the recorded run did, with digest ${recording.end.digest}`);
      return difference === null;
    },
  };
}

/** What is different from the recorded run; null: nothing. */
function differenceOf({ end, trapline }: Recording, machine: Machine, { kind }: RunResult): string | null {
  const ended = end.stoppedAt === null ? end.kind : 'budget';
  const digest = machine.digest();
  const asRecorded =
    version() === trapline ? '' : `; it was recorded by trapline ${trapline}, and this is ${version()}`;
  if (kind !== ended && !(end.stoppedAt !== null && kind === 'awaiting-input'))
    return `trapline: the replay went another way: it ended by ${kind}, and the recorded run by ${end.kind}${asRecorded}`;
  if (digest === end.digest) return null;
  return `trapline: the replay went another way: its digest is ${digest}, and that of the recorded run ${end.digest}${asRecorded}`;
}
