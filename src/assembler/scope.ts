// What names mean: labels, constants (`.equ`), numeric labels. Constants are replaced where they are used, so that `.set` can
// change them; labels keep their name until the layout knows their address.

import { branchLength } from './branch.ts';
import { evaluate, type Expression, number, type Position, substitute, symbolsOf } from './expression.ts';
import { type Place, reject } from './problem.ts';
import type { Item, Label, Section } from './section.ts';

/** Numeric and `.` labels get names that no source can write. */
const HIDDEN = '#';

export class Scope {
  readonly labels = new Map<string, Label>();
  readonly globals = new Set<string>();
  readonly types = new Map<string, 'function' | 'object'>();
  readonly sizes = new Map<string, Expression>();
  readonly #constants = new Map<string, { value: Expression; isFinal: boolean; place: Place }>();
  readonly #numeric = new Map<string, number>();
  #hidden = 0;

  /** Puts a label at the end of a section. */
  define(name: string, section: Section, place: Place): void {
    if (/^\d+$/.test(name)) {
      const count = (this.#numeric.get(name) ?? 0) + 1;
      this.#numeric.set(name, count);
      name = `${name}${HIDDEN}${count}`;
    }
    const earlier = this.labels.get(name)?.place ?? this.#constants.get(name)?.place;
    if (earlier !== undefined)
      reject(`${name} is already defined`, `it was defined at ${earlier.file}:${earlier.line}`);
    const label: Label = { name, section, index: section.items.length, address: 0n, place };
    this.labels.set(name, label);
    section.items.push({ kind: 'label', label, place, address: 0n, size: 0 });
  }

  /** `.equ`, `.set`, `=`; `isFinal` (`.equiv`) forbids a second one. */
  assign(name: string, value: Expression, place: Place, isFinal = false): void {
    const label = this.labels.get(name);
    const constant = this.#constants.get(name);
    const earlier = label?.place ?? (isFinal || constant?.isFinal === true ? constant?.place : undefined);
    if (earlier !== undefined)
      reject(`${name} is already defined`, `it was defined at ${earlier.file}:${earlier.line}`);
    const resolved = this.resolve(value);
    if ([...symbolsOf(resolved)].includes(name)) reject(`${name} is defined by itself`);
    this.#constants.set(name, { value: resolved, isFinal, place });
  }

  isDefined(name: string): boolean {
    return this.labels.has(name) || this.#constants.has(name);
  }

  /** Names that stand for positions in a statement of that section. */
  position(section: Section, place: Place): Position {
    return {
      here: () => {
        const name = `.${HIDDEN}${++this.#hidden}`;
        this.define(name, section, place);
        return name;
      },
      local: (label, direction) => {
        const count = this.#numeric.get(label) ?? 0;
        if (direction === 'b' && count === 0)
          reject(`there is no label ${label}: before this line`, `${label}f looks forward`);
        return `${label}${HIDDEN}${direction === 'b' ? count : count + 1}`;
      },
    };
  }

  /** The expression with the constants known so far put in. */
  resolve(expression: Expression): Expression {
    return substitute(expression, (name) => this.#constants.get(name)?.value ?? null);
  }

  /**
   * The value if it is known while the source is read, else null: numbers, constants, and distances between labels above with
   * nothing between them whose size is still open. GNU as knows the same ones, and chooses the width of immediates by it.
   */
  constant(expression: Expression): bigint | null {
    const resolved = this.#withDistances(this.resolve(expression));
    if (!symbolsOf(resolved).next().done) return null;
    return evaluate(resolved, () => 0n);
  }

  /** As `constant`, for what cannot wait: `.if`, `.rept`, alignments. */
  numberNow(expression: Expression, what: string): bigint {
    const resolved = this.resolve(expression);
    const distances = this.#withDistances(resolved);
    for (const name of symbolsOf(distances)) {
      reject(
        `${what} must be known here, and ${display(name)} has no value yet`,
        'use numbers, constants defined above, or distances between labels above',
      );
    }
    return evaluate(distances, () => 0n);
  }

  #withDistances(expression: Expression): Expression {
    if (expression.kind === 'unary') return { ...expression, operand: this.#withDistances(expression.operand) };
    if (expression.kind !== 'binary') return expression;
    const { left, right } = expression;
    if (expression.operator === '-' && left.kind === 'symbol' && right.kind === 'symbol') {
      const distance = fixedDistance(this.labels.get(right.name), this.labels.get(left.name));
      if (distance !== null) return number(distance);
    }
    return { ...expression, left: this.#withDistances(left), right: this.#withDistances(right) };
  }

  /** After (or during) layout: the value of any symbol. */
  valueOf(name: string, depth = 0): bigint {
    const label = this.labels.get(name);
    if (label !== undefined) return label.address;
    const constant = this.#constants.get(name);
    if (constant !== undefined) {
      if (depth > 100) reject(`${name} is defined by itself`);
      return evaluate(constant.value, (inner) => this.valueOf(inner, depth + 1));
    }
    const local = /^(\d+)#/.exec(name);
    if (local !== null) return reject(`there is no label ${local[1]}: behind this line`, `${local[1]}b looks backward`);
    return reject(`undefined symbol ${name}`, this.#suggestion(name));
  }

  /** All named constants, for the symbol table. */
  *constants(): Generator<[string, Expression]> {
    for (const [name, { value }] of this.#constants) yield [name, value];
  }

  #suggestion(name: string): string {
    const flat = (text: string): string => text.toLowerCase().replace(/[._]/g, '');
    for (const known of [...this.labels.keys(), ...this.#constants.keys()]) {
      if (!known.includes(HIDDEN) && (flat(known) === flat(name) || isTypo(known, name)))
        return `did you mean ${known}?`;
    }
    return 'define it as a label, with .equ, or .include the file that does';
  }
}

/** Whether a name is the source's own: no numeric label, not `.`, not `.L…` (GNU as keeps those out of symbol tables). */
export const isPublicName = (name: string): boolean => !name.includes(HIDDEN) && !name.startsWith('.L');

/** A name as the source wrote it. */
const display = (name: string): string => (name.startsWith('.#') ? '"."' : name.replace(/#.*/, ''));

/** The size of an item that no layout can change, or null. */
function fixedSize(item: Item): number | null {
  switch (item.kind) {
    case 'label':
      return 0;
    case 'bytes':
      return item.bytes.length;
    case 'branch':
      return item.branch.short === null ? branchLength(item.branch, true) : null;
    case 'fill':
      return item.count.kind === 'number' ? item.unit * Number(item.count.value) : null;
    default:
      return null;
  }
}

function fixedDistance(from: Label | undefined, to: Label | undefined): bigint | null {
  if (from === undefined || to === undefined || from.section !== to.section) return null;
  const [low, high] = from.index < to.index ? [from, to] : [to, from];
  let bytes = 0;
  for (const item of low.section.items.slice(low.index, high.index)) {
    const size = fixedSize(item);
    if (size === null) return null;
    bytes += size;
  }
  return BigInt(low === from ? bytes : -bytes);
}

/** One letter changed, missing, added or swapped. */
function isTypo(known: string, name: string): boolean {
  if (name.length < 4 || Math.abs(known.length - name.length) > 1) return false;
  let start = 0;
  while (start < name.length && known[start] === name[start]) start++;
  const rest = (text: string, skip: number): string => text.slice(start + skip);
  return (
    rest(known, 1) === rest(name, 1) ||
    rest(known, 1) === rest(name, 0) ||
    rest(known, 0) === rest(name, 1) ||
    (known[start] === name[start + 1] && known[start + 1] === name[start] && rest(known, 2) === rest(name, 2))
  );
}
