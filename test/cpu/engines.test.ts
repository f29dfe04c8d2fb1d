// Every executed form on generated code, on generated code by calls only and on the BigInt evaluator: three ways through the
// same semantics must leave the same registers, flags (undefined ones too: it is the same arithmetic), RIP, memory and
// faults. What a processor does is compared in test/hardware.

import { describe, expect, it } from 'vitest';
import { HANDLERS } from '../../src/cpu/code/handlers.ts';
import type { Form } from '../../src/x86/forms.ts';
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { existsIn } from '../hardware/bits.ts';
import { casesOfForms, isFree, makeCase, type FormCase } from '../hardware/cases.ts';
import { describeCase } from '../hardware/compare.ts';
import { userGuest, type GuestResult } from '../hardware/guest.ts';
import { Random } from '../hardware/random.ts';
import { makeSequence } from '../hardware/sequences.ts';

const PER_FORM = 4;
/** Cases of a row that may go by without a form that still wants one. */
const PATIENCE = 150;

const executed = HANDLERS.flatMap(({ form, environment }) =>
  environment === 'long' && form?.row.semantics ? [form] : [],
);

/** Up to `perForm` cases for each form that the rows have. */
function casesOf(rows: readonly Row[], perForm: number, random: Random): FormCase[] {
  const found = new Map<Form, FormCase[]>();
  for (const row of rows) {
    for (let idle = 0; idle < PATIENCE; idle++) {
      const made = makeCase(row, random);
      if (!made.form.row.semantics) continue;
      const list = found.get(made.form) ?? [];
      found.set(made.form, list);
      if (list.length >= perForm) continue;
      list.push(made);
      idle = -1;
    }
  }
  return [...found.values()].flat();
}

type Engine = ReturnType<typeof userGuest>;

/** What a result looks like in a message, and what is compared. */
const textOf = (result: GuestResult): string =>
  JSON.stringify(
    { ...result, window: Buffer.from(result.window).toString('hex') },
    (_, value: unknown) => (typeof value === 'bigint' ? value.toString(16) : value), // prettier-ignore
  );

/** Cases that two engines do not agree on, with what each did. */
function disagreements(cases: Parameters<typeof describeCase>[0][], one: Engine, other: Engine): string[] {
  return cases.flatMap((test) => {
    const [a, b] = [textOf(one(test)), textOf(other(test))];
    return a === b ? [] : [`${describeCase(test)}\n  ${a}\n  ${b}`];
  });
}

const rows = ROWS.filter((row) => row.semantics !== undefined && row.modes !== 'no64');

describe('every executed form', () => {
  const cases = casesOf(rows, PER_FORM, new Random(20));

  it('is exercised', () => {
    const exercised = new Set(cases.map(({ form }) => form));
    expect(executed.length).toBeGreaterThan(1900);
    expect(executed.filter((form) => !exercised.has(form)).map(({ name }) => name)).toEqual([]);
  });

  it('does by call what it does inlined in the dispatcher', () => {
    expect(disagreements(cases, userGuest(), userGuest({ noHot: true }))).toEqual([]);
  });

  it('does on the evaluator what it does as generated code', () => {
    expect(disagreements(cases, userGuest(), userGuest({ engine: 'bigint' }))).toEqual([]);
  });

  it('is not agreed on by an engine that gets a flag wrong', () => {
    const right = userGuest();
    const wrong: Engine = (test) => {
      const result = right(test);
      return { ...result, rflags: result.rflags ^ 0x10n };
    };
    expect(disagreements(cases.slice(0, 20), userGuest(), wrong).length).toBe(20);
  });
});

describe.each([32, 16] as const)('every row that %i-bit code has', (bits) => {
  const legacy = ROWS.filter((row) => row.semantics !== undefined && existsIn(row, bits));
  const cases = casesOfForms(legacy, PER_FORM, 3 * PER_FORM, new Random(bits), bits);

  it('does on the evaluator what it does as generated code, inlined or not', () => {
    expect(cases.length).toBeGreaterThan(1500);
    expect(disagreements(cases, userGuest(), userGuest({ engine: 'bigint' }))).toEqual([]);
    expect(disagreements(cases, userGuest(), userGuest({ noHot: true }))).toEqual([]);
  });

  it('leaves short programs in the same state on every engine, however they are sliced', () => {
    const free = legacy.filter((row) => isFree(row, bits));
    const programs = Array.from({ length: 100 }, (_, i) => makeSequence(free, new Random(8000 + i), bits));
    expect(disagreements(programs, userGuest(), userGuest({ engine: 'bigint' }, 5))).toEqual([]);
  });
});

it('leaves short programs in the same state on every engine, however they are sliced', () => {
  const free = ROWS.filter((row) => isFree(row));
  const programs = Array.from({ length: 300 }, (_, i) => makeSequence(free, new Random(7000 + i)));
  expect(disagreements(programs, userGuest({ noHot: true }), userGuest({ engine: 'bigint' }, 5))).toEqual([]);
});
