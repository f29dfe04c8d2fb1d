// Runs recorded vectors on trapline and compares with what the processor did that recorded them. No exception is made: none was recorded.
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { bitsOf } from './bits.ts';
import { describeCase, differences, type Compared } from './compare.ts';
import { rowKey } from './families.ts';
import { formOf } from './formOf.ts';
import type { GuestResult } from './guest.ts';
import type { NativeCase } from './nativeCase.ts';
import type { RowVectors, StoredCase, VectorFile } from './vectorFormat.ts';

const rowsByKey: ReadonlyMap<string, Row> = new Map(ROWS.map((row) => [rowKey(row), row]));

/** The row that vectors name; undefined if there is none of that name any more. */
export const rowOf = ({ key }: RowVectors): Row | undefined => rowsByKey.get(key);

function asCompared(test: StoredCase, row: Row | undefined): Compared {
  const form = row && formOf(test.bytes, bitsOf(test))?.form;
  return row && form ? { ...test, row, form } : test;
}

/** Disagreements as text, of every so-many-th vector. */
export function replay({ rows }: VectorFile, run: (test: NativeCase) => GuestResult, every = 1): string[] {
  const found: string[] = [];
  let count = 0;
  for (const vectors of rows) {
    const row = rowOf(vectors);
    for (const { test, result } of vectors.vectors) {
      if (count++ % every !== 0) continue;
      const compared = asCompared(test, row);
      const differing = differences(compared, result, run(test), null);
      if (differing.length > 0) found.push(`${differing.join('; ')}\n  ${describeCase(compared)}`);
    }
  }
  return found;
}
