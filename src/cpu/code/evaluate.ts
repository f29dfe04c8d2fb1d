// Evaluates typed expressions with bigints: the arithmetic of the slow back end, and WebAssembly's rules written a second time.

import type { Expr } from '../../wasm/expr.ts';
import type { BinaryOp, CompareOp, Type, UnaryOp } from '../../wasm/types.ts';

const bitsOf = (type: Type): number => (type === 'i32' ? 32 : 64);

/** The value of an expression over constants, unsigned. Expressions that read locals or memory belong to generated code. */
export function evaluate(e: Expr<Type>): bigint {
  const n = e.node;
  const bits = bitsOf(e.type);
  switch (n.kind) {
    case 'const':
      return BigInt.asUintN(bits, n.value);
    case 'binary':
      return BigInt.asUintN(bits, binary(n.op, evaluate(n.left), evaluate(n.right), bits));
    case 'compare':
      return compare(n.op, evaluate(n.left), evaluate(n.right), bitsOf(n.left.type)) ? 1n : 0n;
    case 'eqz':
      return evaluate(n.operand) === 0n ? 1n : 0n;
    case 'unary':
      return BigInt.asUintN(bits, unary(n.op, evaluate(n.operand), bits));
    case 'convert': {
      const value = evaluate(n.operand);
      if (n.op === 'wrap') return BigInt.asUintN(32, value);
      return n.op === 'extend_i32_u' ? value : BigInt.asUintN(64, BigInt.asIntN(32, value));
    }
    case 'select':
      return evaluate(n.when) !== 0n ? evaluate(n.then) : evaluate(n.else);
    default:
      throw new Error(`${n.kind} has no value outside generated code`);
  }
}

function binary(op: BinaryOp, a: bigint, b: bigint, bits: number): bigint {
  const signed = (value: bigint): bigint => BigInt.asIntN(bits, value);
  const count = b % BigInt(bits);
  switch (op) {
    case 'add':
      return a + b;
    case 'sub':
      return a - b;
    case 'mul':
      return a * b;
    case 'div_u':
      return a / b;
    case 'div_s':
      return signed(a) / signed(b);
    case 'rem_u':
      return a % b;
    case 'rem_s':
      return signed(a) % signed(b);
    case 'and':
      return a & b;
    case 'or':
      return a | b;
    case 'xor':
      return a ^ b;
    case 'shl':
      return a << count;
    case 'shr_u':
      return a >> count;
    case 'shr_s':
      return signed(a) >> count;
    case 'rotl':
      return (a << count) | (a >> (BigInt(bits) - count));
    case 'rotr':
      return (a >> count) | (a << (BigInt(bits) - count));
  }
}

function compare(op: CompareOp, a: bigint, b: bigint, bits: number): boolean {
  const [x, y] = op.endsWith('_s') ? [BigInt.asIntN(bits, a), BigInt.asIntN(bits, b)] : [a, b];
  switch (op) {
    case 'eq':
      return x === y;
    case 'ne':
      return x !== y;
    case 'lt_s':
    case 'lt_u':
      return x < y;
    case 'gt_s':
    case 'gt_u':
      return x > y;
    case 'le_s':
    case 'le_u':
      return x <= y;
    case 'ge_s':
    case 'ge_u':
      return x >= y;
  }
}

function unary(op: UnaryOp, value: bigint, bits: number): bigint {
  const digits = value.toString(2).padStart(bits, '0');
  switch (op) {
    case 'clz':
      return BigInt(digits.includes('1') ? digits.indexOf('1') : bits);
    case 'ctz':
      return BigInt(digits.includes('1') ? bits - 1 - digits.lastIndexOf('1') : bits);
    case 'popcnt':
      return BigInt(digits.replaceAll('0', '').length);
    case 'extend8_s':
      return BigInt.asIntN(8, value);
    case 'extend16_s':
      return BigInt.asIntN(16, value);
    case 'extend32_s':
      return BigInt.asIntN(32, value);
  }
}
