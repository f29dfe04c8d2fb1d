// npm run oracle: asks the processor underneath, in user mode, what instructions do, and shows where trapline does something else. Status 0: nowhere;
// 1: somewhere; 2: it could not be tried.
import { askPrograms, askRows, type Answer } from './ask.ts';
import type { Bits } from './bits.ts';
import { fileOf, PROGRAMS } from './families.ts';
import { userGuest } from './guest.ts';
import { hostName } from './host.ts';
import { oracleOptions, USAGE, PROGRAM_COUNT, VECTORS_PER_ROW, type OracleOptions } from './options.ts';
import { oracleAvailable, oracleFor, type Oracle } from './oracle.ts';
import { familyLine, Tally, unaskedLines } from './report.ts';
import { reasonNotToAsk } from './unasked.ts';
import { headerOf, programVectors, rowVectors, writeVectors } from './vectorFiles.ts';
import type { RowVectors } from './vectorFormat.ts';

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
const tally = new Tally();
const unasked: string[] = [];
const refused: string[] = [];

for (const bits of options.bits) {
  const available = oracleAvailable(bits);
  if (available === true) await askAbout(bits, await oracleFor(bits));
  else refused.push(`${bits}-bit code cannot be asked about: the oracle ${available}`);
}
if (refused.length === options.bits.length) giveUp(refused.join('\n'));
print(...refused);

async function askAbout(bits: Bits, oracle: Oracle): Promise<void> {
  const { host } = oracle;
  const { seed, record } = options;
  const cases = options.cases ?? VECTORS_PER_ROW[bits];
  const guest = userGuest({ xcr0: host.xcr0 });
  const header = headerOf(host, bits, seed, new Date().toISOString().slice(0, 10));
  print(`${bits}-bit code: ${hostName(host)}, seed ${seed}, ${cases} cases a row${record ? ', recording' : ''}`, '');

  const conclude = (family: string, rows: number, answers: readonly Answer[], vectors: readonly RowVectors[]): void => {
    const disagreeing = answers.filter(({ differing }) => differing.length > 0).length;
    const bytes = record ? writeVectors(fileOf(family, bits), header, vectors) : null;
    if (answers.length > 0) print(familyLine({ family, rows, cases: answers.length, disagreeing, bytes }));
    tally.add(answers);
  };
  for (const [family, rows] of options.rows) {
    const asked = rows.filter((row) => reasonNotToAsk(row, host, bits) === null);
    const answers = [...(await askRows(asked, bits, cases, seed, oracle, guest, record)).values()];
    conclude(family, asked.length, answers.flat(), answers.map(rowVectors));
  }
  if (options.programs) {
    const answers = await askPrograms(bits, PROGRAM_COUNT[bits], seed, oracle, guest);
    conclude(PROGRAMS, 0, answers, [programVectors(answers)]);
  }
  unasked.push(...unaskedLines([...options.rows.values()].flat(), host, bits));
  print('');
}

const overlooked = tally.exceptionLines();
const disagreements = tally.disagreementLines();
if (overlooked.length > 0) print('', 'Overlooked, each for its reason (test/hardware/exceptions.ts):', ...overlooked);
if (unasked.length > 0) print('', 'Not asked (test/hardware/unasked.ts):', ...unasked);
print('', ...disagreements);
if (disagreements.length === 0) print(tally.cases > 0 ? `${tally.cases} cases: all agree.` : 'Nothing was asked.');
else print('', `To see this again: the same options with --seed ${options.seed}`);
process.exitCode = disagreements.length === 0 ? 0 : 1;
