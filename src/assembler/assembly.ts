// The state of one assembly and what a single statement does to it: labels, assignments, directives, instructions.
// Blocks and files (.macro, .rept, .if, .include) are the expander's.

import { makeBranch } from './branch.ts';
import { DIRECTIVES } from './directives.ts';
import type { Encoder, Mode } from './encoder.ts';
import { type Expression, parseExpression, type Position } from './expression.ts';
import { encodeInstruction } from './instruction.ts';
import { type Operand, parseOperands } from './operand.ts';
import { checkPrefixes, isPrefix, prefixByte } from './prefix.ts';
import { type Place, Problems, reject } from './problem.ts';
import { Scope } from './scope.ts';
import { type Item, type Section, Sections } from './section.ts';
import { splitLabel, type Statement } from './source.ts';
import { Cursor } from './token.ts';

const ASSIGNMENT = /^([A-Za-z_.$][\w.$]*)[ \t]*==?(?!=)[ \t]*(.+)$/;

/** An item without what the layout adds to it. */
type NewItem = Item extends infer T ? (T extends Item ? Omit<T, 'place' | 'address' | 'size'> : never) : never;

export class Assembly {
  readonly problems = new Problems();
  readonly scope = new Scope();
  readonly sections = new Sections();
  readonly encoder: Encoder;
  mode: Mode = 64;
  section: Section = this.sections.get('.text');
  previousSection: Section = this.section;
  readonly sectionStack: Section[] = [];
  /** Of the statement at hand. */
  place: Place = { file: '', line: 0, text: '', within: null };

  constructor(encoder: Encoder) {
    this.encoder = encoder;
  }

  /** Where the next item will stand, for `.` and numeric labels. */
  get position(): Position {
    return this.scope.position(this.section, this.place);
  }

  enter(section: Section): void {
    this.previousSection = this.section;
    this.section = section;
  }

  emit(item: NewItem): void {
    this.section.items.push({ ...item, place: this.place, address: 0n, size: 0 });
  }

  emitBytes(bytes: Uint8Array): void {
    if (bytes.length > 0) this.emit({ kind: 'bytes', bytes, fixups: [], isCode: false });
  }

  /** An expression with the constants known so far put in. */
  expression(cursor: Cursor): Expression {
    return this.scope.resolve(parseExpression(cursor, this.position));
  }

  /** A value that must be known while the source is read. */
  numberNow(cursor: Cursor, what: string): bigint {
    return this.scope.numberNow(parseExpression(cursor, this.position), what);
  }

  /** Handles one statement that is no block; what is wrong with it becomes a problem at its place. */
  statement(statement: Statement): void {
    this.place = statement.place;
    this.problems.guard(statement.place, () => this.#handle(statement.text));
  }

  #handle(text: string): void {
    for (let split = splitLabel(text); split !== null; split = splitLabel(text)) {
      this.scope.define(split.label, this.section, this.place);
      text = split.rest;
    }
    if (text === '') return;
    const assignment = ASSIGNMENT.exec(text);
    if (assignment !== null) {
      const cursor = new Cursor(assignment[2]);
      const value = parseExpression(cursor, this.position);
      cursor.end();
      this.scope.assign(assignment[1], value, this.place);
      return;
    }
    const word = /^[^\s,]+/.exec(text)?.[0] ?? '';
    const rest = text.slice(word.length).trim();
    if (word.startsWith('.')) this.#directive(word.toLowerCase(), rest);
    else this.#instruction(word.toLowerCase(), rest);
  }

  #directive(word: string, rest: string): void {
    if (!Object.hasOwn(DIRECTIVES, word))
      reject(`unknown directive ${word}`, 'docs/assembler.md lists those that are known');
    const cursor = new Cursor(rest);
    DIRECTIVES[word](this, cursor, word);
    cursor.end();
  }

  #instruction(word: string, rest: string): void {
    const prefixes: string[] = [];
    while (isPrefix(word)) {
      if (rest === '') {
        if (prefixes.length > 0) reject('two prefixes and no instruction');
        // Alone in its statement, as in `lock; xaddl %eax, (%rbx)`.
        const bytes = Uint8Array.of(prefixByte(word));
        this.emit({ kind: 'bytes', bytes, fixups: [], isCode: true });
        return;
      }
      prefixes.push(word);
      word = /^\S+/.exec(rest)?.[0].toLowerCase() ?? '';
      rest = rest.slice(word.length).trim();
    }
    if (!/^[a-z][a-z0-9]*$/.test(word)) reject(`"${word}" is neither a label, a directive nor an instruction`);
    checkPrefixes(prefixes, word);
    const operands = parseOperands(new Cursor(rest), this.position);
    if (this.#branch(word, prefixes, operands)) return;
    const { mode, encoder } = this;
    const constant = (expression: Expression): bigint | null => this.scope.constant(expression);
    const { bytes, fixups } = encodeInstruction(word, prefixes, operands, { mode, encoder, constant });
    const resolved = fixups.map((fixup) => ({ ...fixup, value: this.scope.resolve(fixup.value) }));
    this.emit({ kind: 'bytes', bytes, fixups: resolved, isCode: true });
  }

  /** Direct jumps and calls. False: this is no such instruction. */
  #branch(mnemonic: string, prefixes: readonly string[], operands: readonly Operand[]): boolean {
    const [target] = operands;
    if (operands.length !== 1 || target.kind === 'immediate' || target.indirect) return false;
    const isPlain =
      target.kind === 'memory' && target.base === null && target.index === null && target.segment === null;
    const expression =
      isPlain && target.displacement !== null ? target.displacement : ({ kind: 'number', value: 0n } as const);
    const branch = makeBranch(mnemonic, this.scope.resolve(expression), prefixes.map(prefixByte), this.mode);
    if (branch === null) return false;
    if (prefixes.some((prefix) => prefix !== 'bnd'))
      reject(`${prefixes.join(' ')} before a direct ${mnemonic}`, 'it takes no prefix but bnd');
    if (!isPlain) reject(`${mnemonic} through a register or memory needs an asterisk`, `write ${mnemonic} *…`);
    this.emit({ kind: 'branch', branch, isNear: false });
    return true;
  }
}
