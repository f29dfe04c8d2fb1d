// npm run oracle: asks the processor underneath, in user mode, what instructions do, and shows where trapline does something else. Status 0: nowhere;
// 1: somewhere; 2: it could not be tried.
import { askPrograms, askRow, type Answer } from './ask.ts';
import { PROGRAMS } from './families.ts';
import { userGuest } from './guest.ts';
import { hostName, identifyHost } from './host.ts';
import { nativeAvailable } from './native.ts';
import { oracleOptions, USAGE, type OracleOptions } from './options.ts';
import { familyLine, Tally, unaskedLines } from './report.ts';
import { reasonNotToAsk } from './unasked.ts';
import { headerOf, programVectors, rowVectors, writeVectors } from './vectorFiles.ts';
import type { RowVectors } from './vectorFormat.ts';

const PROGRAM_COUNT = 3000;

const print = (...lines: string[]): void => void process.stdout.write(lines.map((line) => `${line}\n`).join(''));

function giveUp(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function readOptions(): OracleOptions {
  const words = process.argv.slice(2);
  if (words.includes('--help')) {
    print(USAGE);
    process.exit(0);
  }
  try {
    return oracleOptions(words, Math.floor(Math.random() * 0x1_0000_0000));
  } catch (error) {
    return giveUp(`${(error as Error).message}\n\n${USAGE}`);
  }
}

const options = readOptions();
const available = nativeAvailable();
if (available !== true) giveUp(`the processor underneath cannot be asked: the oracle ${available}`);

const host = identifyHost();
const guest = userGuest({ xcr0: host.xcr0 });
const header = headerOf(host, options.seed, new Date().toISOString().slice(0, 10));
const tally = new Tally();
print(
  `${hostName(host)}, seed ${options.seed}, ${options.cases} cases a row${options.record ? ', recording' : ''}`,
  '',
);

function conclude(family: string, rows: number, answers: readonly Answer[], vectors: readonly RowVectors[]): void {
  const disagreeing = answers.filter(({ differing }) => differing.length > 0).length;
  const bytes = options.record ? writeVectors(family, header, vectors) : null;
  if (answers.length > 0) print(familyLine({ family, rows, cases: answers.length, disagreeing, bytes }));
  tally.add(answers);
}

for (const [family, rows] of options.rows) {
  const asked = rows.filter((row) => reasonNotToAsk(row, host) === null);
  const answers = asked.map((row) => askRow(row, options.cases, options.seed, host, guest, options.record));
  conclude(family, asked.length, answers.flat(), answers.map(rowVectors));
}
if (options.programs) {
  const answers = askPrograms(PROGRAM_COUNT, options.seed, host, guest);
  conclude(PROGRAMS, 0, answers, [programVectors(answers)]);
}

const overlooked = tally.exceptionLines();
const unasked = unaskedLines([...options.rows.values()].flat(), host);
const disagreements = tally.disagreementLines();
if (overlooked.length > 0) print('', 'Overlooked, each for its reason (test/hardware/exceptions.ts):', ...overlooked);
if (unasked.length > 0) print('', 'Not asked (test/hardware/unasked.ts):', ...unasked);
print('', ...disagreements);
if (disagreements.length === 0) print(tally.cases > 0 ? `${tally.cases} cases: all agree.` : 'Nothing was asked.');
else print('', `To see this again: the same options with --seed ${options.seed}`);
process.exitCode = disagreements.length === 0 ? 0 : 1;
