// The command line of `npm run oracle`.
import { parseArgs } from 'node:util';
import type { Row } from '../../src/x86/row.ts';
import { wholeNumber } from '../wholeNumber.ts';
import { BITS, type Bits } from './bits.ts';
import { FAMILIES } from './families.ts';

export const USAGE = `usage: npm run oracle -- [--seed N] [--cases N] [--family NAME] [--mnemonic NAME] [--row ENCODING] [--bits N]
                             [--record]

  --seed N          the same number asks the same questions; at random unless given (with --record: 1)
  --cases N         for each row; 200 unless given, of 16- and 32-bit code 100
  --family NAME     only rows of ${Object.keys(FAMILIES).join(', ')}
  --mnemonic NAME   only rows of that mnemonic, such as shld
  --row ENCODING    only the row written like that in src/x86, such as '0F A4 /r'
  --bits N          only code of 64, 32 or 16 bits
  --record          write what the processor answers to test/hardware/vectors, for npm test to replay`;

export interface OracleOptions {
  readonly seed: number;
  /** For each row; null: as many as vectors are wanted. */
  readonly cases: number | null;
  readonly bits: readonly Bits[];
  readonly record: boolean;
  /** Short programs are asked about too: nothing was filtered. */
  readonly programs: boolean;
  /** Rows by family; families without any are left out. */
  readonly rows: ReadonlyMap<string, readonly Row[]>;
}

const RECORDED_SEED = 1;
/** Of code of so many bits. */
export const VECTORS_PER_ROW: Readonly<Record<Bits, number>> = { 64: 200, 32: 100, 16: 100 };
/** Short programs of such code. */
export const PROGRAM_COUNT: Readonly<Record<Bits, number>> = { 64: 3000, 32: 1000, 16: 1000 };
const MOST_VECTORS = Math.max(...Object.values(VECTORS_PER_ROW));
const MAX_SEED = 0xffff_ffff;
const MAX_CASES = 100_000;

function bitsOption(text: string | undefined): readonly Bits[] {
  if (text === undefined) return BITS;
  const found = BITS.find((bits) => text === `${bits}`);
  if (found === undefined) throw new Error(`--bits takes 64, 32 or 16, not '${text}'`);
  return [found];
}

/** Options of the words given; throws an Error that says what would be accepted. `chance`: a seed if none is given. */
export function oracleOptions(words: readonly string[], chance: number): OracleOptions {
  const { values } = parseArgs({
    args: [...words],
    options: {
      seed: { type: 'string' },
      cases: { type: 'string' },
      family: { type: 'string' },
      mnemonic: { type: 'string' },
      row: { type: 'string' },
      bits: { type: 'string' },
      record: { type: 'boolean', default: false },
    },
  });
  const { family, mnemonic, row, record } = values;
  if (family !== undefined && !Object.hasOwn(FAMILIES, family))
    throw new Error(`there is no family '${family}', but ${Object.keys(FAMILIES).join(', ')}`);
  const filtered = mnemonic !== undefined || row !== undefined;
  if (record && filtered)
    throw new Error('--record writes whole families: it goes with --family, not with --mnemonic or --row');
  const rows = new Map<string, readonly Row[]>();
  for (const [name, all] of Object.entries(FAMILIES)) {
    if (family !== undefined && family !== name) continue;
    const wanted = all.filter((r) => (mnemonic ?? r.mnemonic) === r.mnemonic && (row ?? r.text) === r.text);
    if (wanted.length > 0) rows.set(name, wanted);
  }
  if (rows.size === 0)
    throw new Error(`no row is like that${row === undefined ? '' : `; \`trapline isa\` shows how rows are written`}`);
  return {
    seed: wholeNumber('seed', values.seed, 0, MAX_SEED, record ? RECORDED_SEED : chance),
    cases:
      values.cases === undefined
        ? null
        : wholeNumber('cases', values.cases, record ? MOST_VECTORS : 1, MAX_CASES, MOST_VECTORS),
    bits: bitsOption(values.bits),
    record,
    programs: family === undefined && !filtered,
    rows,
  };
}
