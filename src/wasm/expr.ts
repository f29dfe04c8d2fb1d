// Typed integer expressions: trees that a function builder emits as WebAssembly and that anything else may walk (the
// BigInt evaluator does). The type parameter carries the width: adding an i64 to an i32 does not compile.

import type { BinaryOp, CompareOp, ConvertOp, Int, Type, UnaryOp } from './types.ts';

/** What an expression is. Operands are evaluated left to right. */
export type Node =
  | { readonly kind: 'const'; readonly value: bigint }
  | { readonly kind: 'local'; readonly index: number }
  | { readonly kind: 'global'; readonly index: number }
  | { readonly kind: 'load'; readonly bytes: number; readonly address: Expr<'i32'>; readonly offset: number }
  | { readonly kind: 'binary'; readonly op: BinaryOp; readonly left: Expr<Int>; readonly right: Expr<Int> }
  | { readonly kind: 'compare'; readonly op: CompareOp; readonly left: Expr<Int>; readonly right: Expr<Int> }
  | { readonly kind: 'eqz'; readonly operand: Expr<Int> }
  | { readonly kind: 'unary'; readonly op: UnaryOp; readonly operand: Expr<Int> }
  | { readonly kind: 'convert'; readonly op: ConvertOp; readonly operand: Expr<Int> }
  | { readonly kind: 'select'; readonly when: Expr<'i32'>; readonly then: Expr<Type>; readonly else: Expr<Type> }
  | { readonly kind: 'call'; readonly callee: number; readonly args: readonly Expr<Type>[] }
  | {
      readonly kind: 'callIndirect';
      readonly type: number;
      readonly callee: Expr<'i32'>;
      readonly args: readonly Expr<Type>[];
    };

export class Expr<T extends Type> {
  readonly type: T;
  readonly node: Node;

  constructor(type: T, node: Node) {
    this.type = type;
    this.node = node;
  }

  add(this: Expr<T & Int>, other: Expr<T & Int>): Expr<T & Int> {
    return binary('add', this, other);
  }
  sub(this: Expr<T & Int>, other: Expr<T & Int>): Expr<T & Int> {
    return binary('sub', this, other);
  }
  mul(this: Expr<T & Int>, other: Expr<T & Int>): Expr<T & Int> {
    return binary('mul', this, other);
  }
  /** Traps where WebAssembly traps: guard against a zero divisor and overflow first. */
  divU(this: Expr<T & Int>, other: Expr<T & Int>): Expr<T & Int> {
    return binary('div_u', this, other);
  }
  divS(this: Expr<T & Int>, other: Expr<T & Int>): Expr<T & Int> {
    return binary('div_s', this, other);
  }
  remU(this: Expr<T & Int>, other: Expr<T & Int>): Expr<T & Int> {
    return binary('rem_u', this, other);
  }
  remS(this: Expr<T & Int>, other: Expr<T & Int>): Expr<T & Int> {
    return binary('rem_s', this, other);
  }
  and(this: Expr<T & Int>, other: Expr<T & Int>): Expr<T & Int> {
    return binary('and', this, other);
  }
  or(this: Expr<T & Int>, other: Expr<T & Int>): Expr<T & Int> {
    return binary('or', this, other);
  }
  xor(this: Expr<T & Int>, other: Expr<T & Int>): Expr<T & Int> {
    return binary('xor', this, other);
  }
  /** Shift and rotate counts are taken modulo the width of the type, as in WebAssembly. */
  shl(this: Expr<T & Int>, count: Expr<T & Int>): Expr<T & Int> {
    return binary('shl', this, count);
  }
  shrU(this: Expr<T & Int>, count: Expr<T & Int>): Expr<T & Int> {
    return binary('shr_u', this, count);
  }
  shrS(this: Expr<T & Int>, count: Expr<T & Int>): Expr<T & Int> {
    return binary('shr_s', this, count);
  }
  rotl(this: Expr<T & Int>, count: Expr<T & Int>): Expr<T & Int> {
    return binary('rotl', this, count);
  }
  rotr(this: Expr<T & Int>, count: Expr<T & Int>): Expr<T & Int> {
    return binary('rotr', this, count);
  }

  eq(this: Expr<T & Int>, other: Expr<T & Int>): Expr<'i32'> {
    return compare('eq', this, other);
  }
  ne(this: Expr<T & Int>, other: Expr<T & Int>): Expr<'i32'> {
    return compare('ne', this, other);
  }
  ltU(this: Expr<T & Int>, other: Expr<T & Int>): Expr<'i32'> {
    return compare('lt_u', this, other);
  }
  ltS(this: Expr<T & Int>, other: Expr<T & Int>): Expr<'i32'> {
    return compare('lt_s', this, other);
  }
  leU(this: Expr<T & Int>, other: Expr<T & Int>): Expr<'i32'> {
    return compare('le_u', this, other);
  }
  gtU(this: Expr<T & Int>, other: Expr<T & Int>): Expr<'i32'> {
    return compare('gt_u', this, other);
  }
  geU(this: Expr<T & Int>, other: Expr<T & Int>): Expr<'i32'> {
    return compare('ge_u', this, other);
  }
  /** 1 if zero, else 0; the negation of a condition. */
  eqz(this: Expr<T & Int>): Expr<'i32'> {
    return new Expr('i32', { kind: 'eqz', operand: this });
  }

  clz(this: Expr<T & Int>): Expr<T & Int> {
    return new Expr(this.type, { kind: 'unary', op: 'clz', operand: this });
  }
  ctz(this: Expr<T & Int>): Expr<T & Int> {
    return new Expr(this.type, { kind: 'unary', op: 'ctz', operand: this });
  }
  popcnt(this: Expr<T & Int>): Expr<T & Int> {
    return new Expr(this.type, { kind: 'unary', op: 'popcnt', operand: this });
  }
  /** Sign-extends the low `bits` within the type. */
  signExtend(this: Expr<T & Int>, bits: number): Expr<T & Int> {
    if (bits === (this.type === 'i32' ? 32 : 64)) return this;
    const op = `extend${bits}_s` as UnaryOp;
    return new Expr(this.type, { kind: 'unary', op, operand: this });
  }

  /** The low 32 bits. */
  wrap(this: Expr<T & Int>): Expr<'i32'> {
    if (this.type === 'i32') return this as Expr<'i32'>;
    if (this.node.kind === 'const') return i32(Number(BigInt.asIntN(32, this.node.value)));
    if (this.node.kind === 'convert') return this.node.operand as Expr<'i32'>;
    return new Expr('i32', { kind: 'convert', op: 'wrap', operand: this });
  }
  /** Zero-extended to 64 bits. */
  zext(this: Expr<T & Int>): Expr<'i64'> {
    if (this.type === 'i64') return this as Expr<'i64'>;
    if (this.node.kind === 'const') return i64(BigInt.asUintN(32, this.node.value));
    return new Expr('i64', { kind: 'convert', op: 'extend_i32_u', operand: this });
  }
  /** Sign-extended to 64 bits. */
  sext(this: Expr<T & Int>): Expr<'i64'> {
    if (this.type === 'i64') return this as Expr<'i64'>;
    if (this.node.kind === 'const') return i64(this.node.value);
    return new Expr('i64', { kind: 'convert', op: 'extend_i32_s', operand: this });
  }
}

/** A constant of either integer type. */
export const constant = <T extends Int>(type: T, value: bigint | number): Expr<T> =>
  new Expr(type, { kind: 'const', value: BigInt.asIntN(type === 'i32' ? 32 : 64, BigInt(value)) });
export const i32 = (value: number): Expr<'i32'> => constant('i32', value);
export const i64 = (value: bigint | number): Expr<'i64'> => constant('i64', value);

/** Loads `bytes` (1, 2, 4, 8), zero-extended to the type, from `address + offset`. */
export const load = <T extends Int>(type: T, bytes: number, address: Expr<'i32'>, offset = 0): Expr<T> =>
  new Expr(type, { kind: 'load', bytes, address, offset });

export const select = <T extends Type>(when: Expr<'i32'>, then: Expr<T>, otherwise: Expr<T>): Expr<T> =>
  new Expr(then.type, { kind: 'select', when, then, else: otherwise });

const NEUTRAL_ZERO = new Set<BinaryOp>(['add', 'sub', 'or', 'xor', 'shl', 'shr_u', 'shr_s', 'rotl', 'rotr']);

function binary<T extends Int>(op: BinaryOp, left: Expr<T>, right: Expr<T>): Expr<T> {
  if (left.type !== right.type) throw new TypeError(`${op}: ${left.type} with ${right.type}`);
  const l = left.node;
  const r = right.node;
  if (r.kind === 'const') {
    if (r.value === 0n && NEUTRAL_ZERO.has(op)) return left;
    if (l.kind === 'const') {
      if (op === 'add') return constant(left.type, l.value + r.value);
      if (op === 'sub') return constant(left.type, l.value - r.value);
      if (op === 'and') return constant(left.type, l.value & r.value);
      if (op === 'or') return constant(left.type, l.value | r.value);
    }
  }
  return new Expr(left.type, { kind: 'binary', op, left, right });
}

function compare<T extends Int>(op: CompareOp, left: Expr<T>, right: Expr<T>): Expr<'i32'> {
  if (left.type !== right.type) throw new TypeError(`${op}: ${left.type} with ${right.type}`);
  return new Expr('i32', { kind: 'compare', op, left, right });
}
