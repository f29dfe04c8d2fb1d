// What a run of the oracle has found, as text for a person.
import type { Row } from '../../src/x86/row.ts';
import { describeAnswer, type Answer } from './ask.ts';
import type { Bits } from './bits.ts';
import { EXCEPTIONS } from './exceptions.ts';
import type { Offered } from './unasked.ts';
import { REASONS, reasonNotToAsk } from './unasked.ts';

/** Of the disagreements of a row so many are shown in full. */
const SHOWN = 3;

/** One line of the table: a family, or the short programs. */
export interface FamilyResult {
  readonly family: string;
  /** 0 for short programs. */
  readonly rows: number;
  readonly cases: number;
  readonly disagreeing: number;
  /** Bytes written; null if nothing was recorded. */
  readonly bytes: number | null;
}

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`;

export function familyLine({ family, rows, cases, disagreeing, bytes }: FamilyResult): string {
  const verdict = disagreeing === 0 ? 'all agree' : `${disagreeing} DISAGREE`;
  const what = rows === 0 ? '' : count(rows, 'row');
  const written = bytes === null ? '' : `  ${(bytes / 1024).toFixed(0)} KB`;
  return `  ${family.padEnd(10)}${what.padStart(9)}${count(cases, 'case').padStart(14)}  ${verdict}${written}`;
}

/** What is worth remembering of many answers. */
export class Tally {
  cases = 0;
  readonly #disagreements = new Map<string, { count: number; readonly shown: Answer[] }>();
  readonly #exceptions = new Map<string, number>();

  add(answers: readonly Answer[]): void {
    this.cases += answers.length;
    for (const answer of answers) {
      for (const name of answer.exceptions) this.#exceptions.set(name, (this.#exceptions.get(name) ?? 0) + 1);
      if (answer.differing.length > 0) this.#disagree(answer);
    }
  }

  #disagree(answer: Answer): void {
    const { row } = answer.test;
    const name = row ? `${row.text} ${row.mnemonic}` : 'short programs';
    const known = this.#disagreements.get(name) ?? { count: 0, shown: [] };
    known.count++;
    if (known.shown.length < SHOWN) known.shown.push(answer);
    this.#disagreements.set(name, known);
  }

  /** The disagreements by row, the first few of each in full. */
  disagreementLines(): string[] {
    return [...this.#disagreements].flatMap(([name, known]) => [
      `${name}: ${count(known.count, 'disagreement')} (the processor's value first, then trapline's)`,
      ...known.shown.map((answer) => `  ${describeAnswer(answer)}`),
      ...(known.count > SHOWN ? [`  and ${known.count - SHOWN} more`] : []),
    ]);
  }

  /** Exceptions that applied, how often and why they exist. */
  exceptionLines(): string[] {
    return EXCEPTIONS.filter(({ name }) => this.#exceptions.has(name)).map(
      ({ name, vendor, reason }) =>
        `  ${this.#exceptions.get(name)} × ${name}${vendor === 'any' ? '' : ` (${vendor})`}: ${reason}`,
    );
  }
}

/** Rows that were not asked, by reason. */
export function unaskedLines(rows: readonly Row[], host: Offered, bits: Bits): string[] {
  return REASONS.flatMap((reason) => {
    const held = rows.filter((row) => reasonNotToAsk(row, host, bits) === reason);
    if (held.length === 0) return [];
    const names = [...new Set(held.map(({ mnemonic }) => mnemonic.split('|').filter(Boolean).join('/')))];
    const some = names.slice(0, 8).join(' ') + (names.length > 8 ? ' ..' : '');
    return [`  ${bits} bits: ${count(held.length, 'row')}, ${reason.text}: ${some}`];
  });
}
