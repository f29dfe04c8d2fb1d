// Test cases of rows: how many, and of which forms. How one is made: draft.ts.
import type { Form } from '../../src/x86/forms.ts';
import type { Row } from '../../src/x86/row.ts';
import { isBranch, isStack } from './arrangement.ts';
import { existsIn, type Bits } from './bits.ts';
import type { Draft, FormCase } from './draft.ts';
import { LOCK } from './formOf.ts';
import { LegacyDraft } from './legacyDraft.ts';
import { LongDraft } from './longDraft.ts';
import type { Random } from './random.ts';

export type { FormCase } from './draft.ts';

/** Repeats times segments times address sizes: strings have so many more forms. */
const STRING_VARIETY = 6;
/** Of so many drafts of a row some must come out as that row. */
const PATIENCE = 2000;

/** Needs registers arranged for it: cannot stand among others. */
const isArranged = (row: Row): boolean =>
  isBranch(row) || isStack(row) || row.addressed !== undefined || row.rep !== undefined || row.mnemonic === 'xlat';

/** Whether the row may stand in a sequence of code of so many bits. */
export const isFree = (row: Row, bits: Bits = 64): boolean =>
  row.semantics !== undefined &&
  existsIn(row, bits) &&
  !row.cpl0 &&
  !row.exits &&
  !row.observesTime &&
  row.mnemonic !== 'rdpid' && // tells the number of the processor underneath
  row.operands.every((o) => (o.file === null || o.file === 'gpr') && o.notation !== 'Ap') &&
  !isArranged(row);

function insist(row: Row, draft: () => Draft): FormCase {
  for (let i = 0; i < PATIENCE; i++) {
    const made = draft().make();
    if (made) return made;
  }
  throw new Error(`no case of ${row.text} ${row.mnemonic} came out as that row in ${PATIENCE} drafts`);
}

const draftOf = (row: Row, random: Random, bits: Bits, seed: number, place: number | null = null): Draft =>
  bits === 64 ? new LongDraft(row, random, seed, place) : new LegacyDraft(row, bits, random, seed, place);

/** Encodes a row for a place within a sequence, where memory is addressed without registers. */
export const encodeFree = (row: Row, random: Random, offset: number, bits: Bits): Uint8Array =>
  insist(row, () => draftOf(row, random, bits, 0, offset)).bytes;

/** One case of a row. */
export const makeCase = (row: Row, random: Random, bits: Bits = 64): FormCase =>
  insist(row, () => draftOf(row, random, bits, random.u32()));

/** Cases for every form of the rows: `perForm` each, as far as `tries` a row find them. */
export function casesOfForms(
  rows: readonly Row[],
  perForm: number,
  tries: number,
  random: Random,
  bits: Bits = 64,
): FormCase[] {
  const found = new Map<Form, FormCase[]>();
  for (const row of rows) {
    const variety = row.rep ? STRING_VARIETY : 1;
    for (let i = 0; i < tries * variety; i++) {
      const made = makeCase(row, random, bits);
      const list = found.get(made.form);
      if (!list) found.set(made.form, [made]);
      else if (list.length < perForm) list.push(made);
    }
  }
  return [...found.values()].flat();
}

/** What cases of a row should be spread over: forms, and within them what prefixes alone make different. */
const kindOf = ({ form, bytes }: FormCase): string =>
  `${form.index} ${bytes.slice(0, 3).includes(LOCK)} ${bytes.length > 15}`;

/** Drafts of a row, a few times as many as are wanted; their seeds follow one another, so that they store well. */
export function draftsOfRow(row: Row, count: number, random: Random, bits: Bits): FormCase[] {
  const drafts: FormCase[] = [];
  const firstSeed = random.u32();
  for (let i = 0; drafts.length < count && i < count * 10; i++) {
    const made = draftOf(row, random, bits, (firstSeed + i) >>> 0).make();
    if (made) drafts.push(made);
  }
  return drafts;
}

/** The same cases in an order whose beginning, however short, has something of all kinds. */
export function spread(cases: readonly FormCase[]): FormCase[] {
  const kinds = new Map<string, FormCase[]>();
  for (const made of cases) {
    const list = kinds.get(kindOf(made));
    if (list) list.push(made);
    else kinds.set(kindOf(made), [made]);
  }
  const order: FormCase[] = [];
  for (let round = 0; order.length < cases.length; round++)
    for (const list of kinds.values()) if (round < list.length) order.push(list[round]!);
  return order;
}
