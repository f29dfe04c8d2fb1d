// Rows of decimal arithmetic (BCD), which 64-bit mode does not have: what adjusts a sum, a product or a dividend whose digits are
// decimal. The processor adds and subtracts in binary before (or, AAD, divides after).
//
// Flags that the manual leaves undefined are as after a logical operation that gives AL: OF = 0, and the rest by the result.

import { i32, select, type Expr } from '../wasm/expr.ts';
import type { Int } from '../wasm/types.ts';
import { row, type RowOptions } from './row.ts';
import { AH, RAX, dst, type Op } from './semantics.ts';

/** The low digit of AL left 0 to 9: by itself, or so far that it carried. */
const lowDigitLeft = <T extends Int>(op: Op<T>, al: Expr<T>): Expr<'i32'> =>
  op.let(al.and(op.k(0xf)).gtU(op.k(9)).or(op.flag.af()));

/** DAA and DAS: two digits in AL, after a sum or a difference. */
function adjustPacked<T extends Int>(op: Op<T>, direction: 1 | -1): void {
  const al = op.reg(RAX);
  const low = lowDigitLeft(op, al);
  const high = op.let(al.gtU(op.k(0x99)).or(op.flag.cf()));
  const distance = select(low, op.k(6), op.k(0)).add(select(high, op.k(0x60), op.k(0)));
  const r = op.let(op.cut(direction === 1 ? al.add(distance) : al.sub(distance)));
  // Taking 6 may borrow where the upper digit was in order. Adding 6 carries only above 99h.
  const borrowed = low.and(al.ltU(op.k(6)));
  op.setReg(RAX, r);
  op.flags.decimal(r, direction === 1 ? high : high.or(borrowed), low);
}

/** AAA and AAS: a digit in each of AH and AL, after a sum or a difference of those in AL. */
function adjustUnpacked<T extends Int>(op: Op<T>, direction: 1 | -1): void {
  const left = lowDigitLeft(op, op.reg(RAX));
  const ax = op.narrow(RAX, 16).add(select(left, i32(direction * 0x106), i32(0)));
  const r = op.let(ax.and(i32(0xff0f)));
  op.setReg16(RAX, r);
  op.flags.decimal(op.low(r.and(i32(0xff)).zext()), left, left);
}

const packed: RowOptions = { modes: 'no64', size: 'b', written: 'szapc', undefined: 'o', read: 'ac' };
const unpacked: RowOptions = { modes: 'no64', size: 'b', written: 'ac', undefined: 'oszp', read: 'a' };
const product: RowOptions = { modes: 'no64', size: 'b', access: 'r', written: 'szp', undefined: 'oac' };

const daa: RowOptions = { ...packed, semantics: (op) => adjustPacked(op, 1) };
const das: RowOptions = { ...packed, semantics: (op) => adjustPacked(op, -1) };
const aaa: RowOptions = { ...unpacked, semantics: (op) => adjustUnpacked(op, 1) };
const aas: RowOptions = { ...unpacked, semantics: (op) => adjustUnpacked(op, -1) };
const aam: RowOptions = {
  ...product,
  semantics: (op) => {
    const base = op.read(dst);
    op.faultIf(base.eqz(), 'de');
    const al = op.reg(RAX);
    op.setReg8(AH, al.divU(base).wrap());
    op.setReg(RAX, op.flags.logic(al.remU(base)));
  },
};
const aad: RowOptions = {
  ...product,
  semantics: (op) => {
    const tens = op.fit(op.narrow(AH, 8)).mul(op.read(dst));
    const r = op.flags.logic(op.cut(op.reg(RAX).add(tens)));
    op.setReg16(RAX, r.wrap());
  },
};

// prettier-ignore
export const DECIMAL = [
  row('27', 'daa', '',   daa),
  row('2F', 'das', '',   das),
  row('37', 'aaa', '',   aaa),
  row('3F', 'aas', '',   aas),
  row('D4', 'aam', 'Ib', aam),
  row('D5', 'aad', 'Ib', aad),
];
