// Expressions over 64-bit integers, in GNU as's precedence (expr.c): what a symbol is worth is asked of the caller, so
// the same tree is evaluated while statements are read (constants) and again in every layout pass (addresses).

import { reject } from './problem.ts';
import type { Cursor } from './token.ts';

export type Expression =
  | { kind: 'number'; value: bigint }
  | { kind: 'symbol'; name: string }
  | { kind: 'unary'; operator: string; operand: Expression }
  | { kind: 'binary'; operator: string; left: Expression; right: Expression };

/** Names that depend on where the expression stands. */
export interface Position {
  /** The label of the current address (`.`), made on demand. */
  here(): string;
  /** The unique name of the numeric label that `1b` or `1f` means here. */
  local(label: string, direction: 'b' | 'f'): string;
}

// Not C's: sums bind weaker than bit operations (GNU as manual, "Infix Operators").
// prettier-ignore
const RANK: Record<string, number> = {
  '||': 1, '&&': 2,
  '==': 3, '!=': 3, '<>': 3, '<': 3, '<=': 3, '>': 3, '>=': 3,
  '+': 4, '-': 4,
  '|': 5, '&': 5, '^': 5, '!': 5,
  '*': 6, '/': 6, '%': 6, '<<': 6, '>>': 6,
};

const UNARY = new Set(['-', '~', '!', '+']);

export const number = (value: bigint): Expression => ({ kind: 'number', value: BigInt.asIntN(64, value) });

/** Operators and parentheses of one expression: trees are walked by recursion. */
const MAX_OPERATORS = 1000;

interface Context extends Position {
  operators: number;
}

function parsePrimary(cursor: Cursor, position: Context): Expression {
  if (++position.operators > MAX_OPERATORS)
    reject(`an expression of more than ${MAX_OPERATORS} operators`, 'split it with .equ');
  if (cursor.accept('(')) {
    const inner = parseRank(cursor, position, 1);
    cursor.expect(')');
    return inner;
  }
  const token = cursor.peek();
  if (token?.kind === 'operator' && UNARY.has(token.text)) {
    cursor.next();
    return { kind: 'unary', operator: token.text, operand: parsePrimary(cursor, position) };
  }
  if (token?.kind === 'number') {
    cursor.next();
    return number(token.value);
  }
  if (token?.kind === 'local') {
    cursor.next();
    return { kind: 'symbol', name: position.local(token.label, token.direction) };
  }
  if (token?.kind === 'name') {
    cursor.next();
    if (token.text === '.') return { kind: 'symbol', name: position.here() };
    if (cursor.accept('@')) {
      const modifier = cursor.name('a relocation name behind @');
      // A static image has no procedure linkage table: the symbol itself is meant.
      if (modifier !== 'PLT')
        reject(`${token.text}@${modifier} needs a dynamic linker`, `write ${token.text}, or compile with -fno-pic`);
    }
    return { kind: 'symbol', name: token.text };
  }
  if (token?.kind === 'register') return reject(`register %${token.text} inside an expression`);
  return reject(`expected a value, found ${cursor.describeNext()}`);
}

function parseRank(cursor: Cursor, position: Context, rank: number): Expression {
  let left = parsePrimary(cursor, position);
  for (;;) {
    const token = cursor.peek();
    if (token?.kind !== 'operator' || !((RANK[token.text] ?? 0) >= rank)) return left;
    cursor.next();
    left = {
      kind: 'binary',
      operator: token.text,
      left,
      right: parseRank(cursor, position, RANK[token.text] + 1),
    };
  }
}

/** Reads one expression; stops before whatever cannot continue it. */
export function parseExpression(cursor: Cursor, position: Position): Expression {
  return parseRank(
    cursor,
    { operators: 0, here: () => position.here(), local: (label, direction) => position.local(label, direction) },
    1,
  );
}

const truth = (value: boolean): bigint => (value ? -1n : 0n);

function shift(value: bigint, count: bigint, left: boolean): bigint {
  if (count < 0n || count > 63n) return 0n;
  return left ? value << count : BigInt.asUintN(64, value) >> count;
}

function divide(left: bigint, right: bigint, operator: string): bigint {
  if (right === 0n) reject(`${operator === '/' ? 'division' : 'remainder'} by zero`);
  return operator === '/' ? left / right : left % right;
}

// prettier-ignore
const BINARY: Record<string, (a: bigint, b: bigint) => bigint> = {
  '+': (a, b) => a + b, '-': (a, b) => a - b, '*': (a, b) => a * b,
  '/': (a, b) => divide(a, b, '/'), '%': (a, b) => divide(a, b, '%'),
  '<<': (a, b) => shift(a, b, true), '>>': (a, b) => shift(a, b, false),
  '&': (a, b) => a & b, '|': (a, b) => a | b, '^': (a, b) => a ^ b, '!': (a, b) => a | ~b,
  '==': (a, b) => truth(a === b), '!=': (a, b) => truth(a !== b), '<>': (a, b) => truth(a !== b),
  '<': (a, b) => truth(a < b), '<=': (a, b) => truth(a <= b), '>': (a, b) => truth(a > b), '>=': (a, b) => truth(a >= b),
  '&&': (a, b) => (a !== 0n && b !== 0n ? 1n : 0n), '||': (a, b) => (a !== 0n || b !== 0n ? 1n : 0n),
};

// prettier-ignore
const UNARY_VALUE: Record<string, (a: bigint) => bigint> = {
  '-': a => -a, '~': a => ~a, '+': a => a, '!': a => (a === 0n ? 1n : 0n),
};

/** The value, as a signed 64-bit integer. `valueOf` answers for symbols, or rejects. */
export function evaluate(expression: Expression, valueOf: (name: string) => bigint): bigint {
  switch (expression.kind) {
    case 'number':
      return expression.value;
    case 'symbol':
      return BigInt.asIntN(64, valueOf(expression.name));
    case 'unary':
      return BigInt.asIntN(64, UNARY_VALUE[expression.operator](evaluate(expression.operand, valueOf)));
    case 'binary':
      return BigInt.asIntN(
        64,
        BINARY[expression.operator](evaluate(expression.left, valueOf), evaluate(expression.right, valueOf)),
      );
  }
}

/** Replaces symbols by what `meaning` gives for them; null leaves one as it is. */
export function substitute(expression: Expression, meaning: (name: string) => Expression | null): Expression {
  switch (expression.kind) {
    case 'number':
      return expression;
    case 'symbol':
      return meaning(expression.name) ?? expression;
    case 'unary':
      return { ...expression, operand: substitute(expression.operand, meaning) };
    case 'binary':
      return {
        ...expression,
        left: substitute(expression.left, meaning),
        right: substitute(expression.right, meaning),
      };
  }
}

/** The names that an expression mentions. */
export function* symbolsOf(expression: Expression): Generator<string> {
  if (expression.kind === 'symbol') yield expression.name;
  else if (expression.kind === 'unary') yield* symbolsOf(expression.operand);
  else if (expression.kind === 'binary') {
    yield* symbolsOf(expression.left);
    yield* symbolsOf(expression.right);
  }
}

/**
 * How often the image's base enters the value: 1 for an address, 0 for a number or a difference of addresses. `isAddress`
 * says which symbols are labels.
 */
export function addressWeight(expression: Expression, isAddress: (name: string) => boolean): number {
  switch (expression.kind) {
    case 'number':
      return 0;
    case 'symbol':
      return isAddress(expression.name) ? 1 : 0;
    case 'unary':
      return expression.operator === '-'
        ? -addressWeight(expression.operand, isAddress)
        : addressWeight(expression.operand, isAddress);
    case 'binary': {
      const left = addressWeight(expression.left, isAddress);
      const right = addressWeight(expression.right, isAddress);
      return expression.operator === '-' ? left - right : left + right;
    }
  }
}
