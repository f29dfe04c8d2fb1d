// npm run decoder: compares what decoder.ts and iced-x86 say of many strings. Status 0: they agree; 1: somewhere they do not.

import { generator } from './samples.ts';
import { Agreement } from './agreement.ts';
import { decoderOptions, USAGE, type DecoderOptions } from './options.ts';
import { mutatedStrings, randomStrings } from './strings.ts';

/** Strings that are made at once. */
const PIECE = 100_000;
/** Of the differences of a mode so many are shown. */
const SHOWN = 20;

const print = (...lines: string[]): void => void process.stdout.write(lines.map((line) => `${line}\n`).join(''));

function readOptions(): DecoderOptions {
  const words = process.argv.slice(2);
  if (words.includes('--help')) {
    print(USAGE);
    process.exit(0);
  }
  try {
    return decoderOptions(words, Math.floor(Math.random() * 0x1_0000_0000));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}\n`);
    return process.exit(2);
  }
}

const { strings, seed, modes } = readOptions();
print(`seed ${seed}, ${strings} strings a mode`, '');
const reasons = new Map<string, number>();
for (const mode of modes) {
  const agreement = new Agreement();
  const next = generator(seed);
  for (let left = strings; left > 0; left -= PIECE) {
    const piece = Math.min(left, PIECE);
    agreement.compare(randomStrings(piece >> 1, next(), mode), mode);
    agreement.compare(mutatedStrings(piece - (piece >> 1), next(), mode), mode);
  }
  const { differences, known, rows, valid } = agreement;
  const verdict = differences.length === 0 ? 'all agree' : `${differences.length} DIFFER`;
  const mostly = `${agreement.strings} strings, ${valid} valid, ${rows.size} rows`;
  print(`  ${16 << mode}-bit  ${mostly}  ${verdict}`, ...differences.slice(0, SHOWN).map((line) => `    ${line}`));
  for (const [{ reason }, count] of known) reasons.set(reason, (reasons.get(reason) ?? 0) + count);
  if (differences.length > 0) process.exitCode = 1;
}
if (reasons.size > 0) print('', 'Known differences, each for its reason (test/x86/agreement.ts):');
for (const [reason, count] of reasons) print(`  ${count} × ${reason}`);
if (process.exitCode === 1) print('', `To see this again: the same options with --seed ${seed}`);
