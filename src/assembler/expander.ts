// Statements that hold or bring other statements: .if, .macro, .rept, .irp, .irpc, .include. Walks them in order and hands
// every plain statement to the assembly. A macro's body may contain several statements on a line, so bodies are split again.

import type { Assembly } from './assembly.ts';
import { bindArguments, expandBody, type Macro, parseMacroHead } from './macro.ts';
import { type Place, reject } from './problem.ts';
import { headWord, readStatements, splitAtCommas, splitLabel, type Statement } from './source.ts';
import { Cursor } from './token.ts';

/** A file that was found: its text, and what to call it in messages and as `from` of its own includes. */
export interface Included {
  file: string;
  source: string;
}

/** Finds a file that `.include` names, or null. `from` is the including file as it is called. A bare text is called `path`. */
export type Reader = (path: string, from: string) => Included | string | null;

const MAX_DEPTH = 100;
const MAX_REPEATS = 1_000_000;
/** Statements of one assembly: a runaway macro is stopped before memory is. */
const MAX_STATEMENTS = 5_000_000;

const LOOPS = ['.rept', '.irp', '.irpc'];
const CONDITION = /^\.if/;

/** Thrown through nested expansions. */
class Leave extends Error {
  readonly what: '.exitm' | '.end';
  constructor(what: '.exitm' | '.end') {
    super(what);
    this.what = what;
  }
}

export class Expander {
  readonly #assembly: Assembly;
  readonly #read: Reader;
  readonly #macros = new Map<string, Macro>();
  #serial = 0;
  #depth = 0;
  #statements = 0;

  constructor(assembly: Assembly, read: Reader) {
    this.#assembly = assembly;
    this.#read = read;
  }

  /** Assembles a whole source. */
  file(source: string, file: string): void {
    try {
      this.#run(readStatements(source, file, null, this.#assembly.problems));
    } catch (thrown) {
      if (!(thrown instanceof Leave)) throw thrown;
    }
  }

  #run(statements: readonly Statement[]): void {
    for (let i = 0; i < statements.length; i++) {
      const statement = statements[i];
      const { place } = statement;
      if (++this.#statements > MAX_STATEMENTS) {
        this.#assembly.problems.report(
          place,
          `the source expands to more than ${MAX_STATEMENTS} statements`,
          'does a macro call itself without end?',
        );
        throw new Leave('.end');
      }
      this.#assembly.place = place;
      this.#assembly.problems.guard(place, () => {
        i = this.#one(statements, i);
      });
    }
  }

  /** Handles the statement at `at` and what belongs to it; returns the index of the last statement used. */
  #one(statements: readonly Statement[], at: number): number {
    const statement = statements[at];
    const word = headWord(statement.text);
    if (CONDITION.test(word)) return this.#conditional(statements, at);
    if (LOOPS.includes(word)) return this.#loop(statements, at, word);
    if (word === '.macro') return this.#define(statements, at);
    const macro = this.#macros.get(word);
    if (macro !== undefined || ['.include', '.exitm', '.end', '.purgem'].includes(word)) {
      const rest = this.#behindHead(statement, word);
      if (macro !== undefined) this.#call(macro, rest, statement.place);
      else this.#control(word, rest, statement.place);
      return at;
    }
    if (['.endm', '.endr', '.endif', '.else', '.elseif'].includes(word)) reject(`${word} without its beginning`);
    this.#assembly.statement(statement);
    return at;
  }

  /** Defines the labels in front of a head word and returns what follows it. */
  #behindHead(statement: Statement, word: string): string {
    let { text } = statement;
    for (let split = splitLabel(text); split !== null; split = splitLabel(text)) {
      this.#assembly.statement({ text: `${split.label}:`, place: statement.place });
      text = split.rest;
    }
    return text.slice(word.length).trim();
  }

  #control(word: string, rest: string, place: Place): void {
    if (word === '.exitm' || word === '.end') throw new Leave(word);
    if (word === '.purgem') {
      if (!this.#macros.delete(rest)) reject(`there is no macro ${rest}`);
      return;
    }
    const token = new Cursor(rest).next();
    if (token?.kind !== 'string') return reject('expected a file name', '.include "console.s"');
    const path = new TextDecoder().decode(token.bytes);
    const found = this.#read(path, place.file);
    if (found === null)
      return reject(`cannot read ${path}`, 'it is looked for beside the including file, then among the shared files');
    const { file, source } = typeof found === 'string' ? { file: path, source: found } : found;
    this.#nest(
      () => this.#run(readStatements(source, file, place, this.#assembly.problems)),
      `${path} includes itself`,
    );
  }

  #nest(work: () => void, complaint: string): void {
    if (this.#depth >= MAX_DEPTH) reject(`nested more than ${MAX_DEPTH} deep`, `probably ${complaint}`);
    this.#depth++;
    try {
      work();
    } finally {
      this.#depth--;
    }
  }

  /** Runs an expansion; `.exitm` ends it. Statements are split anew, since arguments may bring separators. */
  #expand(body: readonly Statement[], values: ReadonlyMap<string, string>, call: Place, name: string): boolean {
    const serial = this.#serial++;
    try {
      this.#nest(() => this.#run(expandBody(body, values, serial, call)), `${name} expands itself`);
      return true;
    } catch (thrown) {
      if (thrown instanceof Leave && thrown.what === '.exitm') return false;
      throw thrown;
    }
  }

  #call(macro: Macro, rest: string, place: Place): void {
    this.#expand(macro.body, bindArguments(macro, rest), place, macro.name);
  }

  /** The index of the statement that closes the block opened at `at`. */
  #close(statements: readonly Statement[], at: number, opens: (word: string) => boolean, closer: string): number {
    let depth = 0;
    for (let i = at; i < statements.length; i++) {
      const word = headWord(statements[i].text);
      if (opens(word)) depth++;
      else if (word === closer && --depth === 0) return i;
    }
    this.#assembly.problems.report(
      statements[at].place,
      `${headWord(statements[at].text)} has no ${closer}`,
      `close it with ${closer} in the same file`,
    );
    return statements.length;
  }

  #define(statements: readonly Statement[], at: number): number {
    const end = this.#close(statements, at, (word) => word === '.macro', '.endm');
    const { place } = statements[at];
    this.#assembly.problems.guard(place, () => {
      const { name, parameters } = parseMacroHead(this.#behindHead(statements[at], '.macro'));
      const earlier = this.#macros.get(name);
      if (earlier !== undefined)
        reject(`macro ${name} is already defined`, `it was defined at ${earlier.place.file}:${earlier.place.line}`);
      this.#macros.set(name, { name, parameters, body: statements.slice(at + 1, end), place });
    });
    return end;
  }

  #loop(statements: readonly Statement[], at: number, word: string): number {
    const end = this.#close(statements, at, (other) => LOOPS.includes(other), '.endr');
    const body = statements.slice(at + 1, end);
    const { place } = statements[at];
    this.#assembly.problems.guard(place, () => {
      const rest = this.#behindHead(statements[at], word);
      for (const values of this.#rounds(word, rest)) if (!this.#expand(body, values, place, word)) break;
    });
    return end;
  }

  /** The values of the loop variable, round by round. */
  *#rounds(word: string, rest: string): Generator<Map<string, string>> {
    if (word === '.rept') {
      const cursor = new Cursor(rest);
      const count = this.#assembly.numberNow(cursor, 'the count of .rept');
      cursor.end();
      if (count < 0n || count > BigInt(MAX_REPEATS))
        reject(`the count of .rept is ${count}`, `it must be from 0 to ${MAX_REPEATS}`);
      for (let i = 0n; i < count; i++) yield new Map();
      return;
    }
    const [, name, list] =
      /^([A-Za-z_]\w*)[\s,]*(.*)$/.exec(rest) ?? reject(`expected a name behind ${word}`, `${word} name, values`);
    const values = word === '.irpc' ? [...list.replace(/^"(.*)"$/, '$1')] : splitAtCommas(list);
    for (const value of values) yield new Map([[name, value.replace(/^"(.*)"$/, '$1')]]);
  }

  #conditional(statements: readonly Statement[], at: number): number {
    const end = this.#close(statements, at, (word) => CONDITION.test(word), '.endif');
    let isTaken = false;
    let depth = 0;
    let start = at;
    let isActive = false;
    for (let i = at; i <= end && i < statements.length; i++) {
      const word = headWord(statements[i].text);
      if (CONDITION.test(word)) depth++;
      const isBoundary = depth === 1 && (i === at || i === end || word === '.else' || word === '.elseif');
      if (word === '.endif') depth--;
      if (!isBoundary) continue;
      if (isActive) this.#run(statements.slice(start, i));
      isActive = false;
      start = i + 1;
      if (i === end || isTaken) continue;
      this.#assembly.place = statements[i].place;
      this.#assembly.problems.guard(statements[i].place, () => {
        isActive = word === '.else' || this.#holds(word, this.#behindHead(statements[i], word));
      });
      isTaken ||= isActive;
    }
    return end;
  }

  /** Whether the condition of an .if or .elseif holds. */
  #holds(word: string, rest: string): boolean {
    const isDefined = (): boolean => this.#assembly.scope.isDefined(rest);
    const halves = (): [string, string] => {
      const parts = splitAtCommas(rest);
      return [parts[0], parts.slice(1).join(',').trim()];
    };
    switch (word) {
      case '.ifdef':
        return isDefined();
      case '.ifndef':
      case '.ifnotdef':
        return !isDefined();
      case '.ifb':
        return rest === '';
      case '.ifnb':
        return rest !== '';
      case '.ifc':
      case '.ifeqs':
        return halves()[0] === halves()[1];
      case '.ifnc':
      case '.ifnes':
        return halves()[0] !== halves()[1];
      default:
        return this.#compares(word, rest);
    }
  }

  #compares(word: string, rest: string): boolean {
    const cursor = new Cursor(rest);
    const value = this.#assembly.numberNow(cursor, `the condition of ${word}`);
    cursor.end();
    switch (word) {
      case '.if':
      case '.elseif':
      case '.ifne':
        return value !== 0n;
      case '.ifeq':
        return value === 0n;
      case '.ifgt':
        return value > 0n;
      case '.ifge':
        return value >= 0n;
      case '.iflt':
        return value < 0n;
      case '.ifle':
        return value <= 0n;
      default:
        return reject(`unknown condition ${word}`);
    }
  }
}
