// Rows of near branches: conditional and unconditional jumps, calls, returns, loops. Far ones are in segment.ts.

import { i64, type Expr } from '../wasm/expr.ts';
import { conditional, row, type RowOptions } from './row.ts';
import { RCX, dst, type Semantics } from './semantics.ts';

/** LOOP and its kin count at the address size; the flags stay. */
const countDown =
  (also?: (zf: Expr<'i32'>) => Expr<'i32'>): Semantics =>
  (op) => {
    const left = op.countedDown(RCX);
    const more = left.ne(i64(0));
    op.setCounter(RCX, left);
    op.branch(also ? more.and(also(op.flag.zf())) : more);
  };

const near: RowOptions = { f64: true, endsBlock: true, size: 'v' };
const jcc: RowOptions = { ...near, semantics: (op) => op.branch(op.condition()) };
const jmp: RowOptions = { ...near, semantics: (op) => op.branch() };
const jmpIndirect: RowOptions = {
  ...near,
  semantics: (op) => {
    const target = op.read(dst).zext();
    op.checkTarget(target);
    op.jump(target);
  },
};
const call: RowOptions = {
  ...near,
  stack: true,
  semantics: (op) => {
    op.checkTarget(op.relativeTarget());
    op.push(op.low(op.nextRip()));
    op.branch();
  },
};
const callIndirect: RowOptions = {
  ...near,
  stack: true,
  semantics: (op) => {
    const target = op.read(dst).zext();
    op.checkTarget(target);
    op.push(op.low(op.nextRip()));
    op.jump(target);
  },
};
const ret: RowOptions = {
  ...near,
  stack: true,
  semantics: (op) => {
    const target = op.pop().zext();
    op.checkTarget(target);
    op.jump(target);
  },
};
const retImmediate: RowOptions = {
  ...near,
  stack: true,
  semantics: (op) => {
    const target = op.pop(op.immediate().and(i64(0xffff))).zext();
    op.checkTarget(target);
    op.jump(target);
  },
};
const loop: RowOptions = { ...near, addressed: 'count', semantics: countDown() };
const loope: RowOptions = { ...loop, read: 'z', semantics: countDown((zf) => zf) };
const loopne: RowOptions = { ...loop, read: 'z', semantics: countDown((zf) => zf.eqz()) };
const jcxz: RowOptions = { ...near, addressed: 'count', semantics: (op) => op.branch(op.counter(RCX).eqz()) };

// prettier-ignore
export const BRANCH = [
  ...conditional('70+cc', 'jCC', 'Jb', jcc),
  row('C2',    'ret',    'Iw', retImmediate),
  row('C3',    'ret',    '',   ret),
  row('E0',    'loopne', 'Jb', loopne),
  row('E1',    'loope',  'Jb', loope),
  row('E2',    'loop',   'Jb', loop),
  row('E3',    'jcxz',   'Jb', jcxz),
  row('E8',    'call',   'Jz', call),
  row('E9',    'jmp',    'Jz', jmp),
  row('EB',    'jmp',    'Jb', jmp),
  row('FF /2', 'call',   'Ev', callIndirect),
  row('FF /4', 'jmp',    'Ev', jmpIndirect),
  ...conditional('0F 80+cc', 'jCC', 'Jz', jcc),
];
