// Rows of string instructions: with a repeat prefix, each iteration is one unit. INS and OUTS are in io.ts.

import type { Int } from '../wasm/types.ts';
import { row, type RowOptions } from './row.ts';
import { RDI, RSI, dst, src, type Op, type Semantics } from './semantics.ts';

/** Moves one element, then steps the pointers that lead to its ends. */
function moveOne<T extends Int>(op: Op<T>, ...pointers: (typeof RSI | typeof RDI)[]): void {
  op.write(dst, op.read(src));
  for (const pointer of pointers) op.stepPointer(pointer);
}

/** Compares two elements, and says whether they were equal. */
const comparing =
  (...pointers: (typeof RSI | typeof RDI)[]): Semantics =>
  (op) =>
    op.string(() => {
      const b = op.read(src); // ES:RDI first: its fault wins
      const a = op.read(dst);
      op.flags.sub(a, b);
      for (const pointer of pointers) op.stepPointer(pointer);
      return op.let(a.eq(b));
    });

const string: RowOptions = { addressed: 'memory', read: 'd' };
const move: RowOptions = { ...string, rep: 'rep' };
const compare: RowOptions = { ...string, rep: 'repcc', access: 'r', written: 'oszapc' };
const movs: RowOptions = { ...move, semantics: (op) => op.storingString(() => moveOne(op, RSI, RDI)) };
const stos: RowOptions = {
  ...move,
  semantics: (op) =>
    op.storingString(
      () => moveOne(op, RDI),
      () => op.read(src),
    ),
};
const lods: RowOptions = { ...move, semantics: (op) => op.string(() => moveOne(op, RSI)) };
const cmps: RowOptions = { ...compare, semantics: comparing(RSI, RDI) };
const scas: RowOptions = { ...compare, semantics: comparing(RDI) };

// prettier-ignore
export const STRING = [
  row('A4', 'movs', 'Yb,Xb',  movs),
  row('A5', 'movs', 'Yv,Xv',  movs),
  row('A6', 'cmps', 'Xb,Yb',  cmps),
  row('A7', 'cmps', 'Xv,Yv',  cmps),
  row('AA', 'stos', 'Yb,AL',  stos),
  row('AB', 'stos', 'Yv,rAX', stos),
  row('AC', 'lods', 'AL,Xb',  lods),
  row('AD', 'lods', 'rAX,Xv', lods),
  row('AE', 'scas', 'AL,Yb',  scas),
  row('AF', 'scas', 'rAX,Yv', scas),
];
