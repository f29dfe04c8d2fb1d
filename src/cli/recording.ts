// Recordings of runs: a JSON file from which a run can be repeated to the bit. It names the image by its digest, the options
// that made the machine, everything that was typed with its position in virtual time, and how the run ended.

import { createHash } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Image } from '../vmm/image.ts';
import { INPUT_DEVICES, type InputEntry } from '../vmm/input.ts';
import { UsageError } from './command.ts';

const FORMAT = 'trapline recording';
/** What this trapline writes, and the latest that it reads. */
const VERSION = 1;

export interface Recording {
  /** Version of the trapline that recorded. */
  readonly trapline: string;
  /** Digest of the image, of files handed on to it, and of what its source asks for. */
  readonly image: string;
  /** Command-line options that made the machine. */
  readonly options: readonly string[];
  readonly input: readonly InputEntry[];
  /** How the run ended: the kind of its result, its digest, and for one that the user interrupted where it was stopped. */
  readonly end: { readonly kind: string; readonly digest: string; readonly stoppedAt: number | null };
}

const sha256 = (...parts: readonly (string | Uint8Array)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex');
};

/** What stands for an image, whatever file it came from. `others`: files and wishes that a run depends on too. */
export function imageDigest({ entry, protocol, segments }: Image, others: readonly (string | Uint8Array)[]): string {
  const parts = segments.flatMap(({ gpa, memorySize, bytes }) => [`${gpa} ${memorySize}`, bytes]);
  return sha256(`${entry} ${JSON.stringify(protocol)}`, ...parts, ...others);
}

const hexOf = (bytes: readonly number[]): string => Buffer.from(bytes).toString('hex');

/** Writes a recording; a file that was there before stays whole until the new one is. */
export function writeRecording(file: string, recording: Recording): void {
  const input = recording.input.map(({ at, device, bytes }) => ({ at, device, bytes: hexOf(bytes) }));
  const body = { format: FORMAT, version: VERSION, ...recording, input };
  const checksum = sha256(JSON.stringify(body));
  const temporary = `${file}.new`;
  try {
    writeFileSync(temporary, `${JSON.stringify({ ...body, checksum }, null, 1)}\n`);
    renameSync(temporary, file);
  } catch (error) {
    throw new UsageError(`--record cannot write ${file}: ${(error as Error).message}`);
  }
}

/** Reads a recording. Throws UsageError for a file that is none, is damaged, or was written by a newer trapline. */
export function readRecording(file: string): Recording {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--replay cannot read ${file}: ${(error as Error).message}`);
  }
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    throw new UsageError(`${file} is not a recording, or only a part of one: it is no JSON; make one with --record`);
  }
  if (!isObject(found) || found.format !== FORMAT)
    throw new UsageError(`${file} is not a recording: it does not say "format": "${FORMAT}"; make one with --record`);
  const { checksum, ...body } = found;
  const { version } = body;
  if (typeof version === 'number' && version > VERSION)
    throw new UsageError(
      `${file} has version ${version} of the format, and this trapline reads ${VERSION}: it was recorded by a newer one (${String(body.trapline)})`,
    );
  if (checksum !== sha256(JSON.stringify(body)))
    throw new UsageError(`${file} is damaged: its contents do not match its checksum; record the run again`);
  const recording = recordingOf(body);
  if (recording === null)
    throw new UsageError(`${file} is damaged: fields of a recording are missing or of other types`);
  return recording;
}

type Fields = Record<string, unknown>;
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string';
const isPosition = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function recordingOf({ trapline, image, options, input, end }: Fields): Recording | null {
  if (!isText(trapline) || !isText(image) || !Array.isArray(options) || !options.every(isText)) return null;
  if (!Array.isArray(input) || !isObject(end) || !isText(end.kind) || !isText(end.digest)) return null;
  if (end.stoppedAt !== null && !isPosition(end.stoppedAt)) return null;
  const entries = input.map(entryOf);
  if (!entries.every((entry) => entry !== null)) return null;
  if (entries.some(({ at }, i) => i > 0 && at < entries[i - 1]!.at)) return null;
  return {
    trapline,
    image,
    options,
    input: entries,
    end: { kind: end.kind, digest: end.digest, stoppedAt: end.stoppedAt },
  };
}

function entryOf(value: unknown): InputEntry | null {
  if (!isObject(value) || !isPosition(value.at) || !isText(value.bytes) || !/^([0-9a-f]{2})*$/.test(value.bytes))
    return null;
  const device = INPUT_DEVICES.find((name) => name === value.device);
  return device === undefined ? null : { at: value.at, device, bytes: [...Buffer.from(value.bytes, 'hex')] };
}
