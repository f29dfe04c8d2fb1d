// The command line of `npm run oracle`.
import { parseArgs } from 'node:util';
import type { Row } from '../../src/x86/row.ts';
import { wholeNumber } from '../wholeNumber.ts';
import { FAMILIES } from './families.ts';

export const USAGE = `usage: npm run oracle -- [--seed N] [--cases N] [--family NAME] [--mnemonic NAME] [--row ENCODING] [--record]

  --seed N          the same number asks the same questions; at random unless given (with --record: 1)
  --cases N         for each row; 200 unless given
  --family NAME     only rows of ${Object.keys(FAMILIES).join(', ')}
  --mnemonic NAME   only rows of that mnemonic, such as shld
  --row ENCODING    only the row written like that in src/x86, such as '0F A4 /r'
  --record          write what the processor answers to test/hardware/vectors, for npm test to replay`;

export interface OracleOptions {
  readonly seed: number;
  readonly cases: number;
  readonly record: boolean;
  /** Short programs are asked about too: nothing was filtered. */
  readonly programs: boolean;
  /** Rows by family; families without any are left out. */
  readonly rows: ReadonlyMap<string, readonly Row[]>;
}

const RECORDED_SEED = 1;
export const VECTORS_PER_ROW = 200;
const MAX_SEED = 0xffff_ffff;
const MAX_CASES = 100_000;

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
    cases: wholeNumber('cases', values.cases, record ? VECTORS_PER_ROW : 1, MAX_CASES, VECTORS_PER_ROW),
    record,
    programs: family === undefined && !filtered,
    rows,
  };
}
