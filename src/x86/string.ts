// Rows of string instructions: with a repeat prefix, each iteration is one unit. INS and OUTS are in io.ts.

import { row, type RowOptions } from './row.ts';

const string: RowOptions = { addressed: 'memory', read: 'd' };
const movs: RowOptions = { ...string, rep: 'rep' };
const cmps: RowOptions = { ...string, rep: 'repcc', access: 'r', written: 'oszapc' };
const stos: RowOptions = { ...string, rep: 'rep' };
const lods: RowOptions = { ...string, rep: 'rep' };
const scas: RowOptions = { ...string, rep: 'repcc', access: 'r', written: 'oszapc' };

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
