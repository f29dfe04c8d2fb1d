// Every form that user mode may execute, and short programs of them, against the processor underneath: registers, flags, memory, faults.
import { describe, expect, it } from 'vitest';
import { HANDLERS } from '../../src/cpu/code/handlers.ts';
import { MAX_LENGTH } from '../../src/x86/decoder.ts';
import { RFLAGS } from '../../src/x86/names/registers.ts';
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { rowsForPrograms } from './ask.ts';
import { casesOfForms, type FormCase } from './cases.ts';
import { describeCase, differences, type Compared } from './compare.ts';
import { userGuest, type GuestOptions } from './guest.ts';
import { PROGRAMS } from './families.ts';
import { identifyHost, type Host } from './host.ts';
import { runNative } from './native.ts';
import type { NativeResult } from './nativeCase.ts';
import { oracleAvailable } from './oracle.ts';
import { Random } from './random.ts';
import { makeSequence } from './sequences.ts';
import { reasonNotToAsk } from './unasked.ts';
import { readVectors } from './vectorFiles.ts';

const available = oracleAvailable(64);
const where = available === true ? '' : ` (skipped: ${available})`;
const NOBODY: Host = { vendor: '', family: 0, model: 0, features: new Set(), xcr0: 0n };
const host = available === true ? identifyHost() : NOBODY;
const guest = (options: GuestOptions = {}, slice?: number) => userGuest({ ...options, xcr0: host.xcr0 }, slice);

/**
 * A test must not fail for being moved to a processor of another make, which `npm run oracle` is there to explore. Of others than the
 * recording one's vendor it asks what was found to hold on both: not segments, far transfers, alignment checks and overlong instructions.
 */
const isKnownVendor = host.vendor === readVectors(PROGRAMS).header.vendor;
const isForbidden = ({ cpl0, microcode = '' }: Row): boolean =>
  cpl0 === true || /^(in|out|ins|outs|cli|sti)$/.test(microcode);
const isEstablished = (row: Row): boolean => isKnownVendor || row.semantics !== undefined || isForbidden(row);
const isEstablishedCase = ({ rflags, bytes }: FormCase): boolean =>
  isKnownVendor || ((Number(rflags) & RFLAGS.AC) === 0 && bytes.length <= MAX_LENGTH);

/** Differences of all cases, as text; at most a screenful. */
function disagreements(
  cases: readonly Compared[],
  native: readonly NativeResult[],
  run: ReturnType<typeof guest>,
): string[] {
  const found = cases.flatMap((test, i) => {
    const differing = differences(test, native[i]!, run(test), host.vendor);
    return differing.length > 0 ? [`${differing.join('; ')}\n  ${describeCase(test)}`] : [];
  });
  return found.length > 20 ? [...found.slice(0, 20), `and ${found.length - 20} more`] : found;
}

describe.skipIf(available !== true)(`the processor underneath${where}`, { timeout: 60_000 }, () => {
  const asked = ROWS.filter((row) => available === true && reasonNotToAsk(row, host) === null && isEstablished(row));
  const forms = casesOfForms(asked, 9, 450, new Random(1)).filter(isEstablishedCase);
  const native = available === true ? runNative(forms) : [];
  const someOf = <T>(list: readonly T[], every: number) => list.filter((_, i) => i % every === 0);

  it('is asked about every form that user mode may execute', () => {
    const met = new Set(forms.map(({ form }) => form));
    const wanted = HANDLERS.flatMap(({ form, environment }) =>
      form && environment === 'long' && asked.includes(form.row) ? [form] : [],
    );
    expect(wanted.length).toBeGreaterThan(1500);
    expect(wanted.filter((form) => !met.has(form)).map(({ name }) => name)).toEqual([]);
  });

  it('does with every form what the interpreter does', () => {
    expect(disagreements(forms, native, guest())).toEqual([]);
  });

  it('does with every form what handlers called one by one do', () => {
    expect(disagreements(someOf(forms, 2), someOf(native, 2), guest({ noHot: true }))).toEqual([]);
  });

  it('does with every form what the BigInt back end does', () => {
    expect(disagreements(someOf(forms, 3), someOf(native, 3), guest({ engine: 'bigint' }))).toEqual([]);
  });

  it('forbids user mode what trapline forbids it', () => {
    const forbidden = forms.flatMap(({ row }, i) => (isForbidden(row) ? [native[i]!] : []));
    expect(forbidden.length).toBeGreaterThan(300);
    expect(forbidden.filter(({ vector }) => vector === null)).toEqual([]);
  });

  const rows = rowsForPrograms(host);
  const programs =
    available === true ? Array.from({ length: 4000 }, (_, i) => makeSequence(rows, new Random(i + 1))) : [];
  const ends = available === true ? runNative(programs) : [];

  it('runs short programs as the interpreter does', () => {
    expect(disagreements(programs, ends, guest())).toEqual([]);
  });

  it('runs short programs as the interpreter does in slices of three units', () => {
    expect(disagreements(programs, ends, guest({}, 3))).toEqual([]);
  });

  it('is not agreed with by an interpreter that is wrong', () => {
    const run = guest();
    const wrong: typeof run = (test) => ({ ...run(test), rip: 0n });
    expect(disagreements(programs.slice(0, 30), ends, wrong).length).toBeGreaterThan(20);
  });
});
