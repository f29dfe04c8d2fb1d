// Rows of string instructions: with a repeat prefix, each iteration is one unit. INS and OUTS are in io.ts.

import { row, type RowOptions } from './row.ts';
import { RDI, RSI, dst, src } from './semantics.ts';

const string: RowOptions = { addressed: 'memory', read: 'd' };
const movs: RowOptions = {
  ...string,
  rep: 'rep',
  semantics: (op) =>
    op.string(() => {
      op.write(dst, op.read(src));
      op.stepPointer(RSI);
      op.stepPointer(RDI);
    }),
};
const cmps: RowOptions = {
  ...string,
  rep: 'repcc',
  access: 'r',
  written: 'oszapc',
  semantics: (op) =>
    op.string(() => {
      const b = op.read(src); // ES:RDI first: its fault wins
      const a = op.read(dst);
      op.flags.sub(a, b);
      op.stepPointer(RSI);
      op.stepPointer(RDI);
      return op.let(a.eq(b));
    }),
};
const stos: RowOptions = {
  ...string,
  rep: 'rep',
  semantics: (op) =>
    op.string(() => {
      op.write(dst, op.read(src));
      op.stepPointer(RDI);
    }),
};
const lods: RowOptions = {
  ...string,
  rep: 'rep',
  semantics: (op) =>
    op.string(() => {
      op.write(dst, op.read(src));
      op.stepPointer(RSI);
    }),
};
const scas: RowOptions = {
  ...string,
  rep: 'repcc',
  access: 'r',
  written: 'oszapc',
  semantics: (op) =>
    op.string(() => {
      const a = op.read(dst);
      const b = op.read(src);
      op.flags.sub(a, b);
      op.stepPointer(RDI);
      return op.let(a.eq(b));
    }),
};

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
