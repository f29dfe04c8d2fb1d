// Asks the processor underneath about rows and short programs, and says where trapline disagrees.
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import type { Bits } from './bits.ts';
import { draftsOfRow, isFree, spread, type FormCase } from './cases.ts';
import { describeCase, differences, type Compared } from './compare.ts';
import { hasWaysOfItsOwn, exceptionsFor } from './exceptions.ts';
import { rowKey } from './families.ts';
import type { GuestResult } from './guest.ts';
import { whoseWays, type Host } from './host.ts';
import type { NativeCase, NativeResult } from './nativeCase.ts';
import type { Oracle } from './oracle.ts';
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
/** Of which so many are asked, should exceptions apply to some. */
const SPARE = 1.5;

/** Chance of its own for each row: what is asked of it does not depend on which others are. */
function randomFor(seed: number, name: string): Random {
  let hash = (seed ^ 0x811c_9dc5) >>> 0;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x0100_0193) >>> 0;
  return new Random(hash);
}

function answer<Test extends Compared>(test: Test, native: NativeResult, guest: GuestResult, host: Host): Answer<Test> {
  const { row, form } = test;
  const applying = row && form ? exceptionsFor({ row, form, test, native, guest }, whoseWays(host)) : [];
  return {
    test,
    native,
    guest,
    differing: differences(test, native, guest, whoseWays(host)),
    exceptions: applying.map(({ name }) => name),
  };
}

/**
 * `count` answers about each row in code of so many bits, spread over its forms. `strict`: those to which an exception applies do not
 * count, and are left out.
 */
export async function askRows(
  rows: readonly Row[],
  bits: Bits,
  count: number,
  seed: number,
  { host, ask }: Oracle,
  guest: Guest,
  strict = false,
): Promise<ReadonlyMap<Row, readonly Answer<FormCase>[]>> {
  const done = new Map<Row, Answer<FormCase>[]>();
  for (let choice = CHOICE, open = rows; open.length > 0; choice *= 2) {
    const cases = open.flatMap((row) => {
      const order = spread(draftsOfRow(row, count * choice, randomFor(seed, nameOf(rowKey(row), bits)), bits));
      return order.slice(0, strict ? Math.ceil((count * SPARE * choice) / CHOICE) : count);
    });
    const native = await ask(cases);
    for (const row of open) done.set(row, []);
    cases.forEach((test, i) => {
      const answers = done.get(test.row)!;
      if (answers.length === count) return;
      const given = answer(test, native[i]!, guest(test), host);
      if (!strict || given.exceptions.length === 0) answers.push(given);
    });
    if (!strict || choice >= WIDEST_CHOICE) break;
    open = open.filter((row) => done.get(row)!.length < count);
  }
  for (const answers of done.values()) answers.sort((a, b) => a.test.seed - b.test.seed);
  return done;
}

/** What is asked in 64-bit code does not depend on there being other modes. */
const nameOf = (name: string, bits: Bits): string => (bits === 64 ? name : `${name} ${bits}`);

/** Rows that may stand in short programs on this processor. */
export const rowsForPrograms = (host: Host, bits: Bits = 64): Row[] =>
  ROWS.filter(
    (row) => isFree(row, bits) && reasonNotToAsk(row, host, bits) === null && !hasWaysOfItsOwn(row, whoseWays(host)),
  );

export async function askPrograms(
  bits: Bits,
  count: number,
  seed: number,
  { host, ask }: Oracle,
  guest: Guest,
): Promise<Answer<Sequence>[]> {
  const random = randomFor(seed, nameOf('programs', bits));
  const rows = rowsForPrograms(host, bits);
  const programs = Array.from({ length: count }, () => makeSequence(rows, random, bits));
  const native = await ask(programs);
  return programs.map((test, i) => answer(test, native[i]!, guest(test), host));
}

/** A disagreement as a person would want to read it. */
export const describeAnswer = ({ differing, test }: Answer): string =>
  `${differing.join('; ')}\n  ${describeCase(test)}`;
