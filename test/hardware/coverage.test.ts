// Every row of the instruction set has recorded vectors, or one named reason why not.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HANDLERS } from '../../src/cpu/handlers.ts';
import type { Form } from '../../src/x86/forms.ts';
import type { CpuidFeature } from '../../src/x86/names/cpuid.ts';
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { hasWaysOfItsOwn, EXCEPTIONS } from './exceptions.ts';
import { FAMILIES, PROGRAMS, rowKey } from './families.ts';
import { formOf } from './formOf.ts';
import { VECTORS_PER_ROW } from './options.ts';
import { rowOf } from './replay.ts';
import { REASONS, reasonNotToAsk, type Offered } from './unasked.ts';
import { readVectors, recordedFamilies, vectorFile } from './vectorFiles.ts';
import type { VectorHeader } from './vectorFormat.ts';

const recorded = new Map(recordedFamilies().map((family) => [family, readVectors(family)]));
const counts = new Map<string, number>();
const forms = new Set<Form>();
for (const { rows } of recorded.values())
  for (const { key, vectors } of rows) {
    counts.set(key, vectors.length);
    if (key !== '') for (const { test } of vectors) forms.add(formOf(test.bytes)!.form);
  }

const offeredBy = ({ features, vendor }: VectorHeader): Offered => ({
  features: new Set(features as readonly CpuidFeature[]),
  vendor,
});

/** The processor that a row's family was recorded on; of families without vectors, that of the short programs. */
const recorder = (row: Row): Offered => {
  const family = Object.keys(FAMILIES).find((name) => FAMILIES[name]!.includes(row))!;
  return offeredBy((recorded.get(family) ?? recorded.get(PROGRAMS)!).header);
};

describe('the recorded vectors', () => {
  it('belong to families that are the whole instruction set', () => {
    expect(Object.values(FAMILIES).flat()).toEqual(ROWS);
    expect([...recorded.keys()].filter((name) => name !== PROGRAMS && !Object.hasOwn(FAMILIES, name))).toEqual([]);
  });

  it(`are ${VECTORS_PER_ROW} at least for each row, unless there is one named reason why there are none`, () => {
    const complaints = ROWS.flatMap((row) => {
      const count = counts.get(rowKey(row)) ?? 0;
      const reason = reasonNotToAsk(row, recorder(row));
      if (reason === null && count < VECTORS_PER_ROW[64])
        return [`${rowKey(row)} has ${count} vectors and no reason: npm run oracle -- --record`];
      return reason !== null && count > 0 ? [`${rowKey(row)} has ${count} vectors although ${reason.text}`] : [];
    });
    expect(complaints).toEqual([]);
  });

  it('name rows that there are', () => {
    const named = [...recorded.values()].flatMap(({ rows }) => rows).filter(({ key }) => key !== '');
    expect(named.filter((vectors) => rowOf(vectors) === undefined).map(({ key }) => key)).toEqual([]);
  });

  it('leave out no form that 64-bit code can reach, but where the processor goes its own way', () => {
    const wanted = HANDLERS.flatMap(({ form, environment }) =>
      form && environment === 'long' && reasonNotToAsk(form.row, recorder(form.row)) === null ? [form] : [],
    );
    const missing = wanted.filter((form) => !forms.has(form) && !hasWaysOfItsOwn(form.row, recorder(form.row).vendor));
    expect(wanted.length).toBeGreaterThan(1500);
    expect(missing.map(({ name }) => name)).toEqual([]);
  });

  it('fit into ten megabytes, short programs among them', () => {
    const sizes = recordedFamilies().map((family) => statSync(vectorFile(family)).size);
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(10e6);
    expect(counts.get('')).toBeGreaterThan(2000);
  });
});

describe('reasons and exceptions', () => {
  it('are each needed by some row', () => {
    const used = new Set(ROWS.map((row) => reasonNotToAsk(row, recorder(row))));
    expect(REASONS.filter((reason) => !used.has(reason)).map(({ name }) => name)).toEqual([]);
    expect(EXCEPTIONS.filter((exception) => !ROWS.some(exception.concerns)).map(({ name }) => name)).toEqual([]);
  });

  it('are listed in docs/oracle.md', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/oracle.md'), 'utf8');
    const unlisted = [...REASONS, ...EXCEPTIONS].filter(({ name }) => !page.includes(name));
    expect(unlisted.map(({ name }) => name)).toEqual([]);
  });

  it('have names of their own', () => {
    const names = [...REASONS, ...EXCEPTIONS].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });
});
