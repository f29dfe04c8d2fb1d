// Where the vectors are, and how answers become vectors.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CpuidFeature } from '../../src/x86/names/cpuid.ts';
import type { Answer } from './ask.ts';
import type { Bits } from './bits.ts';
import type { FormCase } from './cases.ts';
import { rowKey } from './families.ts';
import type { Host } from './host.ts';
import type { Sequence } from './sequences.ts';
import { decodeVectors, encodeVectors, FORMAT, type RowVectors, type Vector } from './vectorFormat.ts';
import type { VectorFile, VectorHeader } from './vectorFormat.ts';

export const VECTOR_FOLDER = join(import.meta.dirname, 'vectors');
const EXTENSION = '.br';

export const vectorFile = (family: string): string => join(VECTOR_FOLDER, family + EXTENSION);

export const recordedFamilies = (): string[] =>
  readdirSync(VECTOR_FOLDER)
    .filter((name) => name.endsWith(EXTENSION))
    .map((name) => name.slice(0, -EXTENSION.length))
    .sort();

export const readVectors = (family: string): VectorFile => decodeVectors(readFileSync(vectorFile(family)));

export function headerOf(host: Host, bits: Bits, seed: number, date: string): VectorHeader {
  const { vendor, family, model, features, xcr0, standIn } = host;
  return {
    format: FORMAT,
    vendor,
    family,
    model,
    features: [...features],
    xcr0: xcr0.toString(16),
    date,
    seed,
    ...(bits === 64 ? {} : { bits }),
    ...(standIn === undefined ? {} : { standIn }),
  };
}

const vectorOf = ({ test, native }: Answer<FormCase | Sequence>): Vector => ({ test, result: native });

export const rowVectors = (answers: readonly Answer<FormCase>[]): RowVectors => ({
  key: rowKey(answers[0]!.test.row),
  vectors: answers.map(vectorOf),
});

export const programVectors = (answers: readonly Answer<Sequence>[]): RowVectors => ({
  key: '',
  vectors: answers.map(vectorOf),
});

/** Writes a family's file, or takes it away if there is nothing to write; gives its bytes. */
export function writeVectors(family: string, header: VectorHeader, rows: readonly RowVectors[]): number {
  mkdirSync(VECTOR_FOLDER, { recursive: true });
  if (rows.length === 0) {
    rmSync(vectorFile(family), { force: true });
    return 0;
  }
  const bytes = encodeVectors({ header, rows });
  writeFileSync(vectorFile(family), bytes);
  return bytes.length;
}

/** The processor that recorded a file. */
export const hostOf = ({ vendor, family, model, features, xcr0, standIn }: VectorHeader): Host => ({
  vendor,
  family,
  model,
  features: new Set(features as readonly CpuidFeature[]),
  xcr0: BigInt(`0x${xcr0}`),
  ...(standIn === undefined ? {} : { standIn }),
});
