// What is wrong with a source, where, and what to try. Statements throw a Rejection; the assembler turns each into a Problem,
// goes on, and reports all of them at once in an AssemblerError.

/** Where a statement stands. `within` is the macro call or `.include` that brought it there. */
export interface Place {
  file: string;
  line: number;
  /** The line's text, without its comment. */
  text: string;
  within: Place | null;
}

export interface Problem {
  file: string;
  line: number;
  text: string;
  message: string;
  hint: string | null;
  within: Place | null;
}

/** Thrown while one statement is handled; carries no place, since the statement's own is known where it is caught. */
export class Rejection extends Error {
  readonly hint: string | null;

  constructor(message: string, hint: string | null = null) {
    super(message);
    this.name = 'Rejection';
    this.hint = hint;
  }
}

/** Rejects the statement at hand. */
export function reject(message: string, hint: string | null = null): never {
  throw new Rejection(message, hint);
}

/** How much of a report is shown: problems, levels of nesting, characters of a line. */
const SHOWN = 20;
const SHOWN_LEVELS = 5;
const SHOWN_TEXT = 200;

const shorten = (text: string): string => (text.length <= SHOWN_TEXT ? text : `${text.slice(0, SHOWN_TEXT)}…`);

function describe(problem: Problem): string {
  const lines = [`${problem.file}:${problem.line}: ${problem.message}`];
  if (problem.text !== '') lines.push(`    ${shorten(problem.text)}`);
  lines.push(...describeNesting(problem.within));
  if (problem.hint !== null) lines.push(`  hint: ${problem.hint}`);
  return lines.join('\n');
}

function describeNesting(within: Place | null): string[] {
  const levels: string[] = [];
  for (let at = within; at !== null; at = at.within) levels.push(`  from ${at.file}:${at.line}: ${shorten(at.text)}`);
  const hidden = levels.length - SHOWN_LEVELS;
  return hidden <= 1 ? levels : [...levels.slice(0, SHOWN_LEVELS), `  … and ${hidden} more levels`];
}

/** A source that could not be assembled, with every problem found in it, in source order. */
export class AssemblerError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const shown = problems.slice(0, SHOWN).map(describe);
    if (problems.length > SHOWN) shown.push(`… and ${problems.length - SHOWN} more`);
    super(shown.join('\n'));
    this.name = 'AssemblerError';
    this.problems = problems;
  }
}

/** Collects the problems of one assembly. */
export class Problems {
  readonly list: Problem[] = [];

  report(place: Place, message: string, hint: string | null = null): void {
    const { file, line, text, within } = place;
    this.list.push({ file, line, text, message, hint, within });
  }

  /** Runs a statement's handler; what it rejects becomes a problem at that place. False: it was rejected. */
  guard(place: Place, work: () => void): boolean {
    try {
      work();
      return true;
    } catch (thrown) {
      if (!(thrown instanceof Rejection)) throw thrown;
      this.report(place, thrown.message, thrown.hint);
      return false;
    }
  }

  throwIfAny(): void {
    if (this.list.length > 0) throw new AssemblerError(this.list);
  }
}
