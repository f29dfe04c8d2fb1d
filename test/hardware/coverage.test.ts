// Every row of the instruction set has recorded vectors, or one named reason why not.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Form } from '../../src/x86/forms.ts';
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { FORMS } from '../../src/x86/tables.ts';
import { BITS, type Bits } from './bits.ts';
import { hasWaysOfItsOwn, EXCEPTIONS } from './exceptions.ts';
import { FAMILIES, fileOf, PROGRAMS, rowKey } from './families.ts';
import { formOf } from './formOf.ts';
import { whoseWays, type Host } from './host.ts';
import { PROGRAM_COUNT, VECTORS_PER_ROW } from './options.ts';
import { rowOf } from './replay.ts';
import { REASONS, reasonNotToAsk } from './unasked.ts';
import { hostOf, readVectors, recordedFamilies, vectorFile } from './vectorFiles.ts';
import { bitsOfFile } from './vectorFormat.ts';

const recorded = new Map(recordedFamilies().map((name) => [name, readVectors(name)]));

/** What was recorded of code of so many bits. */
function recordedOf(bits: Bits) {
  const counts = new Map<string, number>();
  const forms = new Set<Form>();
  for (const { header, rows } of recorded.values()) {
    if (bitsOfFile(header) !== bits) continue;
    for (const { key, vectors } of rows) {
      counts.set(key, vectors.length);
      if (key !== '') for (const { test } of vectors) forms.add(formOf(test.bytes, bits)!.form);
    }
  }
  return { counts, forms };
}

/** The processor that a row's family was recorded on; of families without vectors, that of the short programs. */
const recorder = (row: Row, bits: Bits): Host => {
  const family = Object.keys(FAMILIES).find((name) => FAMILIES[name]!.includes(row))!;
  return hostOf((recorded.get(fileOf(family, bits)) ?? recorded.get(fileOf(PROGRAMS, bits))!).header);
};

const isReached = (form: Form, bits: Bits): boolean => (bits === 64 ? form.in64 : form.outside64);
const executed = FORMS.filter(({ row }) => row.semantics !== undefined || row.microcode !== undefined);

describe('the recorded vectors', () => {
  it('belong to families that are the whole instruction set', () => {
    expect(Object.values(FAMILIES).flat()).toEqual(ROWS);
    const files = BITS.flatMap((bits) => [...Object.keys(FAMILIES), PROGRAMS].map((name) => fileOf(name, bits)));
    expect([...recorded.keys()].filter((name) => !files.includes(name))).toEqual([]);
  });

  it('name rows that there are', () => {
    const named = [...recorded.values()].flatMap(({ rows }) => rows).filter(({ key }) => key !== '');
    expect(named.filter((vectors) => rowOf(vectors) === undefined).map(({ key }) => key)).toEqual([]);
  });

  it('fit into ten megabytes', () => {
    const sizes = recordedFamilies().map((family) => statSync(vectorFile(family)).size);
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(10e6);
  });
});

describe.each(BITS)('the recorded vectors of %i-bit code', (bits) => {
  const { counts, forms } = recordedOf(bits);
  const wanted = VECTORS_PER_ROW[bits];

  it(`are ${wanted} at least for each row, unless there is one named reason why there are none`, () => {
    const complaints = ROWS.flatMap((row) => {
      const count = counts.get(rowKey(row)) ?? 0;
      const reason = reasonNotToAsk(row, recorder(row, bits), bits);
      if (reason === null && count < wanted)
        return [`${rowKey(row)} has ${count} vectors and no reason: npm run oracle -- --record --bits ${bits}`];
      return reason !== null && count > 0 ? [`${rowKey(row)} has ${count} vectors although ${reason.text}`] : [];
    });
    expect(complaints).toEqual([]);
  });

  it('leave out no form that such code can reach, but where the processor goes its own way', () => {
    const asked = executed.filter(
      (form) => isReached(form, bits) && reasonNotToAsk(form.row, recorder(form.row, bits), bits) === null,
    );
    const missing = asked.filter(
      (form) => !forms.has(form) && !hasWaysOfItsOwn(form.row, whoseWays(recorder(form.row, bits))),
    );
    expect(asked.length).toBeGreaterThan(900);
    expect(missing.map(({ name }) => name)).toEqual([]);
  });

  it('have short programs among them', () => {
    expect(counts.get('')).toBeGreaterThanOrEqual(PROGRAM_COUNT[bits]);
  });
});

describe('reasons and exceptions', () => {
  it('are each needed by some row', () => {
    const used = new Set(BITS.flatMap((bits) => ROWS.map((row) => reasonNotToAsk(row, recorder(row, bits), bits))));
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
