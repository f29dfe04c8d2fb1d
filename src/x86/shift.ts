// Rows of shifts and rotates. Their flags stay as they are when the count is 0, and OF is defined for a count of 1 only.

import { i64, select, type Expr } from '../wasm/expr.ts';
import type { Int } from '../wasm/types.ts';
import { signBit } from './flags.ts';
import { row, type RowOptions } from './row.ts';
import { dst, src, src2, type Op, type Semantics } from './semantics.ts';

/** The shift count: masked to 5 bits, 6 for 64-bit operands. */
const count = <T extends Int>(op: Op<T>, position: number): Expr<T> =>
  op.let(op.readZext(position).and(op.k(op.width === 64 ? 63 : 31)));
const bitAt = <T extends Int>(op: Op<T>, value: Expr<T>, at: Expr<T>): Expr<'i32'> =>
  value.shrU(at).and(op.k(1)).wrap();
const isNonZero = <T extends Int>(op: Op<T>, n: Expr<T>): Expr<'i32'> => op.let(n.ne(op.k(0)));

const shiftLeft: Semantics = (op) => {
  const a = op.read(dst);
  const n = count(op, src);
  const r = op.let(op.cut(a.shl(n)));
  // The last bit out: above the width for narrow operands, else fetched from where it was.
  const cf = op.let(op.width < 32 ? bitAt(op, a.shl(n), op.k(op.width)) : bitAt(op, a, op.k(op.width).sub(n)));
  op.write(dst, r);
  op.flags.shift(r, cf, signBit(op.width, r).xor(cf), isNonZero(op, n));
};

const shiftRight: Semantics = (op) => {
  const a = op.read(dst);
  const n = count(op, src);
  const r = op.let(a.shrU(n));
  op.write(dst, r);
  op.flags.shift(r, bitAt(op, a, n.sub(op.k(1))), signBit(op.width, a), isNonZero(op, n));
};

const shiftRightSigned: Semantics = (op) => {
  const a = op.let(op.read(dst).signExtend(op.width));
  const n = count(op, src);
  const r = op.let(op.cut(a.shrS(n)));
  op.write(dst, r);
  op.flags.shift(
    r,
    a
      .shrS(n.sub(op.k(1)))
      .and(op.k(1))
      .wrap(),
    op.k(0).wrap(),
    isNonZero(op, n),
  );
};

/** A narrow value repeated until it fills 32 bits: rotating that rotates the value. */
function repeated<T extends Int>(op: Op<T>, a: Expr<T>): Expr<T> {
  let r = a;
  for (let width: number = op.width; width < 32; width *= 2) r = op.let(r.or(r.shl(op.k(width))));
  return r;
}

const rotateLeft: Semantics = (op) => {
  const a = op.read(dst);
  const n = count(op, src);
  const r = op.let(op.cut(repeated(op, a).rotl(n)));
  const cf = op.let(r.and(op.k(1)).wrap());
  op.write(dst, r);
  op.flags.carryOverflow(cf, signBit(op.width, r).xor(cf), isNonZero(op, n));
};

const rotateRight: Semantics = (op) => {
  const a = op.read(dst);
  const n = count(op, src);
  const r = op.let(op.cut(repeated(op, a).rotr(n)));
  const cf = op.let(signBit(op.width, r));
  op.write(dst, r);
  op.flags.carryOverflow(cf, cf.xor(bitAt(op, r, op.k(op.width - 2))), isNonZero(op, n));
};

/** Rotates through CF: width + 1 bits. Up to 32 bits they fit an i64 with room to shift. */
function rotateThroughCarry<T extends Int>(op: Op<T>, left: boolean): { r: Expr<T>; cf: Expr<'i32'>; n: Expr<T> } {
  const a = op.read(dst);
  const n = count(op, src);
  const carry = op.flag.cf();
  if (op.width < 64) {
    const bits = op.width + 1;
    const x = op.let(a.zext().or(carry.zext().shl(i64(op.width))));
    const m = op.let(n.zext().remU(i64(bits)));
    const back = i64(bits).sub(m);
    const turned = op.let(left ? x.shl(m).or(x.shrU(back)) : x.shrU(m).or(x.shl(back)));
    return { r: op.let(op.low(turned)), cf: op.let(turned.shrU(i64(op.width)).and(i64(1)).wrap()), n };
  }
  const c = op.fit(carry);
  const one = op.k(1);
  const back = op.k(64).sub(n); // for n = 0 the result is not used
  const through = left
    ? a
        .shl(n)
        .or(c.shl(n.sub(one)))
        .or(a.shrU(back).shrU(one))
    : a.shrU(n).or(c.shl(back)).or(a.shl(back).shl(one));
  const out = left ? bitAt(op, a, back) : bitAt(op, a, n.sub(one));
  const turns = isNonZero(op, n);
  return { r: op.let(select(turns, through, a)), cf: op.let(select(turns, out, carry)), n };
}

const rotateLeftThroughCarry: Semantics = (op) => {
  const { r, cf, n } = rotateThroughCarry(op, true);
  op.write(dst, r);
  op.flags.carryOverflow(cf, signBit(op.width, r).xor(cf), isNonZero(op, n));
};

const rotateRightThroughCarry: Semantics = (op) => {
  const { r, cf, n } = rotateThroughCarry(op, false);
  op.write(dst, r);
  op.flags.carryOverflow(cf, signBit(op.width, r).xor(bitAt(op, r, op.k(op.width - 2))), isNonZero(op, n));
};

/** SHLD and SHRD: bits of a second register come in. Words with a count above 16 see the destination again behind it. */
const shiftDouble =
  (left: boolean): Semantics =>
  (op) => {
    const a = op.read(dst);
    const b = op.read(src);
    const n = count(op, src2);
    const turns = isNonZero(op, n);
    const back = op.k(op.width).sub(n);
    let shifted: Expr<typeof op.type>;
    let cf: Expr<'i32'>;
    if (op.width === 16) {
      const joined = op.let(
        a
          .zext()
          .shl(i64(32))
          .or(b.zext().shl(i64(16)))
          .or(a.zext()),
      );
      const wide = n.zext();
      shifted = op.low(left ? joined.shl(wide).shrU(i64(32)) : joined.shrU(wide));
      const last = left ? i64(48).sub(wide) : wide.sub(i64(1));
      cf = joined.shrU(last).and(i64(1)).wrap();
    } else {
      shifted = left ? a.shl(n).or(b.shrU(back)) : a.shrU(n).or(b.shl(back));
      cf = left ? bitAt(op, a, back) : bitAt(op, a, n.sub(op.k(1)));
    }
    const r = op.let(select(turns, shifted, a));
    op.write(dst, r);
    op.flags.shift(r, cf, signBit(op.width, r.xor(a)), turns);
  };

const rotate: RowOptions = { access: 'rw', written: 'oc', undefined: 'o' };
const rol: RowOptions = { ...rotate, semantics: rotateLeft };
const ror: RowOptions = { ...rotate, semantics: rotateRight };
const rcl: RowOptions = { ...rotate, read: 'c', semantics: rotateLeftThroughCarry };
const rcr: RowOptions = { ...rotate, read: 'c', semantics: rotateRightThroughCarry };
const shift: RowOptions = { access: 'rw', written: 'oszpc', undefined: 'oa' };
const shl: RowOptions = { ...shift, semantics: shiftLeft };
const shr: RowOptions = { ...shift, semantics: shiftRight };
const sar: RowOptions = { ...shift, semantics: shiftRightSigned };
const shld: RowOptions = { ...shift, semantics: shiftDouble(true) };
const shrd: RowOptions = { ...shift, semantics: shiftDouble(false) };
/** BMI2: three operands, no flags. */
const flagless = (shift: <T extends Int>(value: Expr<T>, n: Expr<T>, op: Op<T>) => Expr<T>): RowOptions => ({
  cpuid: 'BMI2',
  semantics: (op) => op.write(dst, shift(op.read(src), count(op, src2), op)),
});
const shlx = flagless((value, n) => value.shl(n));
const shrx = flagless((value, n) => value.shrU(n));
const sarx = flagless((value, n) => value.shrS(n));
const rorx = flagless((value, n) => value.rotr(n));

// prettier-ignore
export const SHIFT = [
  row('C0 /0',    'rol',  'Eb,Ib',    rol),
  row('C0 /1',    'ror',  'Eb,Ib',    ror),
  row('C0 /2',    'rcl',  'Eb,Ib',    rcl),
  row('C0 /3',    'rcr',  'Eb,Ib',    rcr),
  row('C0 /4',    'shl',  'Eb,Ib',    shl),
  row('C0 /5',    'shr',  'Eb,Ib',    shr),
  row('C0 /6',    'shl',  'Eb,Ib',    shl),
  row('C0 /7',    'sar',  'Eb,Ib',    sar),
  row('C1 /0',    'rol',  'Ev,Ib',    rol),
  row('C1 /1',    'ror',  'Ev,Ib',    ror),
  row('C1 /2',    'rcl',  'Ev,Ib',    rcl),
  row('C1 /3',    'rcr',  'Ev,Ib',    rcr),
  row('C1 /4',    'shl',  'Ev,Ib',    shl),
  row('C1 /5',    'shr',  'Ev,Ib',    shr),
  row('C1 /6',    'shl',  'Ev,Ib',    shl),
  row('C1 /7',    'sar',  'Ev,Ib',    sar),
  row('D0 /0',    'rol',  'Eb,1',     rol),
  row('D0 /1',    'ror',  'Eb,1',     ror),
  row('D0 /2',    'rcl',  'Eb,1',     rcl),
  row('D0 /3',    'rcr',  'Eb,1',     rcr),
  row('D0 /4',    'shl',  'Eb,1',     shl),
  row('D0 /5',    'shr',  'Eb,1',     shr),
  row('D0 /6',    'shl',  'Eb,1',     shl),
  row('D0 /7',    'sar',  'Eb,1',     sar),
  row('D1 /0',    'rol',  'Ev,1',     rol),
  row('D1 /1',    'ror',  'Ev,1',     ror),
  row('D1 /2',    'rcl',  'Ev,1',     rcl),
  row('D1 /3',    'rcr',  'Ev,1',     rcr),
  row('D1 /4',    'shl',  'Ev,1',     shl),
  row('D1 /5',    'shr',  'Ev,1',     shr),
  row('D1 /6',    'shl',  'Ev,1',     shl),
  row('D1 /7',    'sar',  'Ev,1',     sar),
  row('D2 /0',    'rol',  'Eb,CL',    rol),
  row('D2 /1',    'ror',  'Eb,CL',    ror),
  row('D2 /2',    'rcl',  'Eb,CL',    rcl),
  row('D2 /3',    'rcr',  'Eb,CL',    rcr),
  row('D2 /4',    'shl',  'Eb,CL',    shl),
  row('D2 /5',    'shr',  'Eb,CL',    shr),
  row('D2 /6',    'shl',  'Eb,CL',    shl),
  row('D2 /7',    'sar',  'Eb,CL',    sar),
  row('D3 /0',    'rol',  'Ev,CL',    rol),
  row('D3 /1',    'ror',  'Ev,CL',    ror),
  row('D3 /2',    'rcl',  'Ev,CL',    rcl),
  row('D3 /3',    'rcr',  'Ev,CL',    rcr),
  row('D3 /4',    'shl',  'Ev,CL',    shl),
  row('D3 /5',    'shr',  'Ev,CL',    shr),
  row('D3 /6',    'shl',  'Ev,CL',    shl),
  row('D3 /7',    'sar',  'Ev,CL',    sar),
  row('0F A4 /r', 'shld', 'Ev,Gv,Ib', shld),
  row('0F A5 /r', 'shld', 'Ev,Gv,CL', shld),
  row('0F AC /r', 'shrd', 'Ev,Gv,Ib', shrd),
  row('0F AD /r', 'shrd', 'Ev,Gv,CL', shrd),
  row('VEX.128.66.0F38 F7 /r', 'shlx', 'Gy,Ey,By', shlx),
  row('VEX.128.F3.0F38 F7 /r', 'sarx', 'Gy,Ey,By', sarx),
  row('VEX.128.F2.0F38 F7 /r', 'shrx', 'Gy,Ey,By', shrx),
  row('VEX.128.F2.0F3A F0 /r', 'rorx', 'Gy,Ey,Ib', rorx),
];
