// The command line of `npm run decoder`.

import { parseArgs } from 'node:util';
import { MODE, type Mode } from '../../src/x86/decoder.ts';
import { wholeNumber } from '../wholeNumber.ts';

export const USAGE = `usage: npm run decoder -- [--strings N] [--seed N] [--mode 16|32|64]

  --strings N   in each mode, half of them random, half mutations of rows; 1000000 unless given
  --seed N      the same number makes the same strings; at random unless given
  --mode BITS   only in this operating mode`;

export interface DecoderOptions {
  readonly strings: number;
  readonly seed: number;
  readonly modes: readonly Mode[];
}

const MANY = 1_000_000;
const MOST = 1_000_000_000;
const MAX_SEED = 0xffff_ffff;
const BITS: Readonly<Record<string, Mode>> = { 64: MODE.CODE64, 32: MODE.CODE32, 16: MODE.CODE16 };

/** Options of the words given; throws an Error that says what would be accepted. `chance`: a seed if none is given. */
export function decoderOptions(words: readonly string[], chance: number): DecoderOptions {
  const { values } = parseArgs({
    args: [...words],
    options: { strings: { type: 'string' }, seed: { type: 'string' }, mode: { type: 'string' } },
  });
  if (values.mode !== undefined && !Object.hasOwn(BITS, values.mode))
    throw new Error(`--mode takes 16, 32 or 64, not '${values.mode}'`);
  return {
    strings: wholeNumber('strings', values.strings, 1, MOST, MANY),
    seed: wholeNumber('seed', values.seed, 0, MAX_SEED, chance),
    modes: values.mode === undefined ? [MODE.CODE64, MODE.CODE32, MODE.CODE16] : [BITS[values.mode]!],
  };
}
