// Rows that push and pop: general registers, immediates, flags, frames. Segment registers are in segment.ts.

import { row, type RowOptions } from './row.ts';

const stack: RowOptions = { d64: true, stack: true };
const push: RowOptions = { ...stack, access: 'r' };
const pop: RowOptions = { ...stack, access: 'w' };
const pusha: RowOptions = { stack: true, modes: 'no64', size: 'v' };
const popa: RowOptions = { stack: true, modes: 'no64', size: 'v' };
const pushf: RowOptions = { ...stack, access: 'r', read: 'oszapcditrvx' };
const popf: RowOptions = { ...stack, access: 'w', written: 'oszapcditrvx', endsBlock: true, microcode: 'popf' };
const enter: RowOptions = { ...stack, size: 'v' };
const leave: RowOptions = { ...stack, size: 'v' };

// prettier-ignore
export const STACK = [
  row('50+r',   'push',  'Zv',    push),
  row('58+r',   'pop',   'Zv',    pop),
  row('60',     'pusha', '',      pusha),
  row('61',     'popa',  '',      popa),
  row('68',     'push',  'Iz',    push),
  row('6A',     'push',  'Ibs',   push),
  row('8F /0',  'pop',   'Ev',    pop),
  row('9C',     'pushf', 'Fv',    pushf),
  row('9D',     'popf',  'Fv',    popf),
  row('C8',     'enter', 'Iw,Ib', enter),
  row('C9',     'leave', '',      leave),
  row('FF /6',  'push',  'Ev',    push),
];
