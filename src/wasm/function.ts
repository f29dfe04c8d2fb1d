// Builds one function: statements over typed expressions, kept as a tree so that it can be encoded (encode.ts) or printed
// as text (text.ts).

import { Expr } from './expr.ts';
import type { Int, Type } from './types.ts';

/** The target of a branch. Leaving a block goes behind it, branching to a loop goes to its head. */
export class Label {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

export type Statement =
  | { readonly kind: 'set'; readonly index: number; readonly value: Expr<Type> }
  | { readonly kind: 'setGlobal'; readonly index: number; readonly value: Expr<Type> }
  | {
      readonly kind: 'store';
      readonly bytes: number;
      readonly address: Expr<'i32'>;
      readonly offset: number;
      readonly value: Expr<Int>;
    }
  | {
      /** memory.copy from `source`, or memory.fill with the low byte of `source`. */
      readonly kind: 'copy' | 'fill';
      readonly target: Expr<'i32'>;
      readonly source: Expr<'i32'>;
      readonly bytes: Expr<'i32'>;
    }
  | { readonly kind: 'block' | 'loop'; readonly label: Label; readonly body: readonly Statement[] }
  | {
      readonly kind: 'if';
      readonly when: Expr<'i32'>;
      readonly then: readonly Statement[];
      readonly else: readonly Statement[];
    }
  | { readonly kind: 'br'; readonly label: Label }
  | { readonly kind: 'brIf'; readonly label: Label; readonly when: Expr<'i32'> }
  | {
      readonly kind: 'brTable';
      readonly index: Expr<'i32'>;
      readonly labels: readonly Label[];
      readonly otherwise: Label;
    }
  | { readonly kind: 'return'; readonly value: Expr<Type> | null }
  | { readonly kind: 'evaluate'; readonly value: Expr<Type>; readonly drop: boolean }
  | { readonly kind: 'unreachable' };

export class FunctionBuilder {
  readonly name: string;
  readonly params: readonly Type[];
  readonly result: Type | null;
  readonly locals: Type[] = [];
  readonly body: Statement[] = [];
  #open: Statement[] = this.body;
  #free: Record<Type, number[]> | null = null;

  constructor(name: string, params: readonly Type[], result: Type | null = null) {
    this.name = name;
    this.params = params;
    this.result = result;
  }

  /** The n-th parameter. */
  param<T extends Type>(index: number, type: T): Expr<T> {
    if (this.params[index] !== type) throw new TypeError(`${this.name}: parameter ${index} is ${this.params[index]}`);
    return new Expr(type, { kind: 'local', index });
  }

  /** A new local, 0 at first; in a `scope`, one that an earlier scope has given back. */
  local<T extends Type>(type: T): Expr<T> {
    const index = this.#free?.[type].pop() ?? this.params.length + this.locals.push(type) - 1;
    this.#scoped?.push([type, index]);
    return new Expr(type, { kind: 'local', index });
  }

  #scoped: [Type, number][] | null = null;

  /** Locals made inside `body` are used again by later scopes: one huge function then needs few of them. */
  scope(body: () => void): void {
    this.#free ??= { i32: [], i64: [], v128: [] };
    const outer = this.#scoped;
    const mine: [Type, number][] = (this.#scoped = []);
    body();
    for (const [type, index] of mine) this.#free[type].push(index);
    this.#scoped = outer;
  }

  /** Evaluates once: the expression's value in a local, which may then be used many times. Constants stay what they are. */
  let<T extends Type>(value: Expr<T>): Expr<T> {
    if (value.node.kind === 'const') return value;
    const local = this.local(value.type);
    this.set(local, value);
    return local;
  }

  set<T extends Type>(local: Expr<T>, value: Expr<T>): void {
    if (local.node.kind !== 'local') throw new TypeError(`${this.name}: not a local`);
    this.#open.push({ kind: 'set', index: local.node.index, value });
  }

  setGlobal<T extends Type>(global: Expr<T>, value: Expr<T>): void {
    if (global.node.kind !== 'global') throw new TypeError(`${this.name}: not a global`);
    this.#open.push({ kind: 'setGlobal', index: global.node.index, value });
  }

  /** Stores the low `bytes` of a value at `address + offset`. */
  store(bytes: number, address: Expr<'i32'>, value: Expr<Int>, offset = 0): void {
    this.#open.push({ kind: 'store', bytes, address, offset, value });
  }

  /** Copies bytes as if through a buffer, wherever the two places lie. */
  copy(target: Expr<'i32'>, source: Expr<'i32'>, bytes: Expr<'i32'>): void {
    this.#open.push({ kind: 'copy', target, source, bytes });
  }
  /** Sets bytes to the low byte of a value. */
  fill(target: Expr<'i32'>, value: Expr<'i32'>, bytes: Expr<'i32'>): void {
    this.#open.push({ kind: 'fill', target, source: value, bytes });
  }

  #collect(body: () => void): Statement[] {
    const outer = this.#open;
    const mine: Statement[] = (this.#open = []);
    body();
    this.#open = outer;
    return mine;
  }

  block(name: string, body: (label: Label) => void): void {
    const label = new Label(name);
    this.#open.push({ kind: 'block', label, body: this.#collect(() => body(label)) });
  }

  loop(name: string, body: (label: Label) => void): void {
    const label = new Label(name);
    this.#open.push({ kind: 'loop', label, body: this.#collect(() => body(label)) });
  }

  if(when: Expr<'i32'>, then: () => void, otherwise: () => void = () => {}): void {
    this.#open.push({ kind: 'if', when, then: this.#collect(then), else: this.#collect(otherwise) });
  }

  br(label: Label): void {
    this.#open.push({ kind: 'br', label });
  }

  brIf(when: Expr<'i32'>, label: Label): void {
    this.#open.push({ kind: 'brIf', label, when });
  }

  brTable(index: Expr<'i32'>, labels: readonly Label[], otherwise: Label): void {
    this.#open.push({ kind: 'brTable', index, labels, otherwise });
  }

  return(value: Expr<Type> | null = null): void {
    this.#open.push({ kind: 'return', value });
  }

  /** Evaluates for the effect; `drop` says that there is a value to throw away. */
  evaluate(value: Expr<Type>, drop = true): void {
    this.#open.push({ kind: 'evaluate', value, drop });
  }

  unreachable(): void {
    this.#open.push({ kind: 'unreachable' });
  }
}
