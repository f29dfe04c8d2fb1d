// Every form that user mode may execute, and short programs of them, against the processor underneath: registers, flags, memory, faults.
import { describe, expect, it } from 'vitest';
import { HANDLERS } from '../../src/cpu/handlers.ts';
import type { Form } from '../../src/x86/forms.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { casesOfForms, isForbidden, isFree, isTestable } from './cases.ts';
import { describeCase, differences, type Compared } from './compare.ts';
import { userGuest } from './guest.ts';
import { nativeAvailable, runNative, type NativeResult } from './native.ts';
import { Random } from './random.ts';
import { makeSequence } from './sequences.ts';

const available = nativeAvailable();
const where = available === true ? '' : ` (skipped: ${available})`;

/** Differences of all cases, as text; at most a screenful. */
function disagreements(
  cases: readonly Compared[],
  native: readonly NativeResult[],
  run: ReturnType<typeof userGuest>,
): string[] {
  const found = cases.flatMap((test, i) => {
    const differing = differences(test, native[i]!, run(test));
    return differing.length > 0 ? [`${differing.join('; ')}\n  ${describeCase(test)}`] : [];
  });
  return found.length > 20 ? [...found.slice(0, 20), `and ${found.length - 20} more`] : found;
}

/** Whether 64-bit code can reach a form that has a handler: some exist for 16- and 32-bit code alone. */
const isReachable = ({ row, width, name }: Form): boolean =>
  !(row.f64 && width !== 64) && !/(stos|scas)\.\d+\.s/.test(name);

describe.skipIf(available !== true)(`the processor underneath${where}`, { timeout: 60_000 }, () => {
  const forms = available === true ? casesOfForms(ROWS.filter(isTestable), 9, 300, new Random(1)) : [];
  const native = available === true ? runNative(forms) : [];
  const someOf = <T>(list: readonly T[], every: number) => list.filter((_, i) => i % every === 0);

  it('is asked about every form that user mode may execute', () => {
    const asked = new Set(forms.map(({ form }) => form));
    const wanted = HANDLERS.flatMap(({ form }) => (form && isTestable(form.row) && isReachable(form) ? [form] : []));
    expect(wanted.length).toBeGreaterThan(1500);
    expect(wanted.filter((form) => !asked.has(form)).map(({ name }) => name)).toEqual([]);
  });

  it('does with every form what the interpreter does', () => {
    expect(disagreements(forms, native, userGuest())).toEqual([]);
  });

  it('does with every form what handlers called one by one do', () => {
    expect(disagreements(someOf(forms, 2), someOf(native, 2), userGuest({ noHot: true }))).toEqual([]);
  });

  it('does with every form what the BigInt back end does', () => {
    expect(disagreements(someOf(forms, 3), someOf(native, 3), userGuest({ engine: 'bigint' }))).toEqual([]);
  });

  it('forbids user mode what trapline forbids it', () => {
    const cases = casesOfForms(ROWS.filter(isForbidden), 6, 60, new Random(2));
    const results = runNative(cases);
    expect(cases.length).toBeGreaterThan(300);
    expect(results.filter(({ vector }) => vector === null)).toEqual([]);
    expect(disagreements(cases, results, userGuest())).toEqual([]);
  });

  const rows = ROWS.filter(isFree);
  const programs =
    available === true ? Array.from({ length: 4000 }, (_, i) => makeSequence(rows, new Random(i + 1))) : [];
  const ends = available === true ? runNative(programs) : [];

  it('runs short programs as the interpreter does', () => {
    expect(disagreements(programs, ends, userGuest())).toEqual([]);
  });

  it('runs short programs as the interpreter does in slices of three units', () => {
    expect(disagreements(programs, ends, userGuest({}, 3))).toEqual([]);
  });

  it('is not agreed with by an interpreter that is wrong', () => {
    const run = userGuest();
    const wrong: typeof run = (test) => ({ ...run(test), rip: 0n });
    expect(disagreements(programs.slice(0, 30), ends, wrong).length).toBeGreaterThan(20);
  });
});
