// Rows of bitwise logic: AND, OR, XOR, NOT, TEST.

import type { Expr } from '../wasm/expr.ts';
import type { Int } from '../wasm/types.ts';
import { row, type RowOptions } from './row.ts';
import { dst, src, type Semantics } from './semantics.ts';

const bitwise =
  (combine: <T extends Int>(a: Expr<T>, b: Expr<T>) => Expr<T>): Semantics =>
  (op) =>
    op.write(dst, op.flags.logic(combine(op.read(dst), op.read(src))));

const logic: RowOptions = { access: 'rw', written: 'oszpc', undefined: 'a' };
const and: RowOptions = { ...logic, lock: true, semantics: bitwise((a, b) => a.and(b)) };
const or: RowOptions = { ...logic, lock: true, semantics: bitwise((a, b) => a.or(b)) };
const xor: RowOptions = { ...logic, lock: true, semantics: bitwise((a, b) => a.xor(b)) };
const test: RowOptions = {
  ...logic,
  access: 'r',
  semantics: (op) => void op.flags.logic(op.read(dst).and(op.read(src))),
};
const not: RowOptions = {
  access: 'rw',
  lock: true,
  semantics: (op) => op.write(dst, op.read(dst).xor(op.k(-1))),
};

// prettier-ignore
export const LOGIC = [
  row('08 /r', 'or',   'Eb,Gb',  or),
  row('09 /r', 'or',   'Ev,Gv',  or),
  row('0A /r', 'or',   'Gb,Eb',  or),
  row('0B /r', 'or',   'Gv,Ev',  or),
  row('0C',    'or',   'AL,Ib',  or),
  row('0D',    'or',   'rAX,Iz', or),
  row('20 /r', 'and',  'Eb,Gb',  and),
  row('21 /r', 'and',  'Ev,Gv',  and),
  row('22 /r', 'and',  'Gb,Eb',  and),
  row('23 /r', 'and',  'Gv,Ev',  and),
  row('24',    'and',  'AL,Ib',  and),
  row('25',    'and',  'rAX,Iz', and),
  row('30 /r', 'xor',  'Eb,Gb',  xor),
  row('31 /r', 'xor',  'Ev,Gv',  xor),
  row('32 /r', 'xor',  'Gb,Eb',  xor),
  row('33 /r', 'xor',  'Gv,Ev',  xor),
  row('34',    'xor',  'AL,Ib',  xor),
  row('35',    'xor',  'rAX,Iz', xor),
  row('80 /1', 'or',   'Eb,Ib',  or),
  row('80 /4', 'and',  'Eb,Ib',  and),
  row('80 /6', 'xor',  'Eb,Ib',  xor),
  row('81 /1', 'or',   'Ev,Iz',  or),
  row('81 /4', 'and',  'Ev,Iz',  and),
  row('81 /6', 'xor',  'Ev,Iz',  xor),
  row('82 /1', 'or',   'Eb,Ib',  { ...or, modes: 'no64' }),
  row('82 /4', 'and',  'Eb,Ib',  { ...and, modes: 'no64' }),
  row('82 /6', 'xor',  'Eb,Ib',  { ...xor, modes: 'no64' }),
  row('83 /1', 'or',   'Ev,Ibs', or),
  row('83 /4', 'and',  'Ev,Ibs', and),
  row('83 /6', 'xor',  'Ev,Ibs', xor),
  row('84 /r', 'test', 'Eb,Gb',  test),
  row('85 /r', 'test', 'Ev,Gv',  test),
  row('A8',    'test', 'AL,Ib',  test),
  row('A9',    'test', 'rAX,Iz', test),
  row('F6 /0', 'test', 'Eb,Ib',  test),
  row('F6 /1', 'test', 'Eb,Ib',  test),
  row('F6 /2', 'not',  'Eb',     not),
  row('F7 /0', 'test', 'Ev,Iz',  test),
  row('F7 /1', 'test', 'Ev,Iz',  test),
  row('F7 /2', 'not',  'Ev',     not),
];
