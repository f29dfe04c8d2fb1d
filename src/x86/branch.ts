// Rows of near branches: conditional and unconditional jumps, calls, returns, loops. Far ones are in segment.ts.

import { conditional, row, type RowOptions } from './row.ts';

const near: RowOptions = { f64: true, endsBlock: true, size: 'v' };
const jcc: RowOptions = near;
const jmp: RowOptions = near;
const call: RowOptions = { ...near, stack: true };
const ret: RowOptions = { ...near, stack: true };
const loop: RowOptions = { ...near, addressed: 'count' };
const loopcc: RowOptions = { ...loop, read: 'z' };
const jcxz: RowOptions = { ...near, addressed: 'count' };

// prettier-ignore
export const BRANCH = [
  ...conditional('70+cc', 'jCC', 'Jb', jcc),
  row('C2',    'ret',    'Iw', ret),
  row('C3',    'ret',    '',   ret),
  row('E0',    'loopne', 'Jb', loopcc),
  row('E1',    'loope',  'Jb', loopcc),
  row('E2',    'loop',   'Jb', loop),
  row('E3',    'jcxz',   'Jb', jcxz),
  row('E8',    'call',   'Jz', call),
  row('E9',    'jmp',    'Jz', jmp),
  row('EB',    'jmp',    'Jb', jmp),
  row('FF /2', 'call',   'Ev', call),
  row('FF /4', 'jmp',    'Ev', jmp),
  ...conditional('0F 80+cc', 'jCC', 'Jz', jcc),
];
