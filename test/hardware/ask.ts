// Asks the processor underneath about rows and short programs, and says where trapline disagrees.
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { draftsOfRow, isFree, spread, type FormCase } from './cases.ts';
import { describeCase, differences, type Compared } from './compare.ts';
import { hasWaysOfItsOwn, exceptionsFor } from './exceptions.ts';
import { rowKey } from './families.ts';
import type { GuestResult } from './guest.ts';
import type { Host } from './host.ts';
import { runNative } from './native.ts';
import type { NativeCase, NativeResult } from './nativeCase.ts';
import { Random } from './random.ts';
import { makeSequence, type Sequence } from './sequences.ts';
import { reasonNotToAsk } from './unasked.ts';

type Guest = (test: NativeCase) => GuestResult;

/** A case with the processor's answer and trapline's. */
export interface Answer<Test extends Compared = Compared> {
  readonly test: Test;
  readonly native: NativeResult;
  readonly guest: GuestResult;
  /** As text; empty if they agree. */
  readonly differing: readonly string[];
  /** Names of the exceptions that apply. */
  readonly exceptions: readonly string[];
}

/** Drafts for each case that is wanted: enough to choose from. More when exceptions take too many. */
const CHOICE = 3;
const WIDEST_CHOICE = 24;

/** Chance of its own for each row: what is asked of it does not depend on which others are. */
function randomFor(seed: number, name: string): Random {
  let hash = (seed ^ 0x811c_9dc5) >>> 0;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x0100_0193) >>> 0;
  return new Random(hash);
}

function answer<Test extends Compared>(test: Test, native: NativeResult, guest: GuestResult, host: Host): Answer<Test> {
  const { row, form } = test;
  const applying = row && form ? exceptionsFor({ row, form, test, native, guest }, host.vendor) : [];
  return {
    test,
    native,
    guest,
    differing: differences(test, native, guest, host.vendor),
    exceptions: applying.map(({ name }) => name),
  };
}

/** `count` answers about a row, spread over its forms. `strict`: those to which an exception applies do not count, and are left out. */
export function askRow(
  row: Row,
  count: number,
  seed: number,
  host: Host,
  guest: Guest,
  strict = false,
): Answer<FormCase>[] {
  for (let choice = CHOICE; ; choice *= 2) {
    const order = spread(draftsOfRow(row, count * choice, randomFor(seed, rowKey(row)), 64));
    const cases = strict ? order : order.slice(0, count);
    const native = runNative(cases);
    const answers: Answer<FormCase>[] = [];
    for (let i = 0; i < cases.length && answers.length < count; i++) {
      const given = answer(cases[i]!, native[i]!, guest(cases[i]!), host);
      if (!strict || given.exceptions.length === 0) answers.push(given);
    }
    if (!strict || answers.length === count || choice >= WIDEST_CHOICE)
      return answers.sort((a, b) => a.test.seed - b.test.seed);
  }
}

/** Rows that may stand in short programs on this processor. */
export const rowsForPrograms = (host: Host): Row[] =>
  ROWS.filter((row) => isFree(row) && reasonNotToAsk(row, host) === null && !hasWaysOfItsOwn(row, host.vendor));

export function askPrograms(count: number, seed: number, host: Host, guest: Guest): Answer<Sequence>[] {
  const random = randomFor(seed, 'programs');
  const rows = rowsForPrograms(host);
  const programs = Array.from({ length: count }, () => makeSequence(rows, random));
  const native = runNative(programs);
  return programs.map((test, i) => answer(test, native[i]!, guest(test), host));
}

/** A disagreement as a person would want to read it. */
export const describeAnswer = ({ differing, test }: Answer): string =>
  `${differing.join('; ')}\n  ${describeCase(test)}`;
