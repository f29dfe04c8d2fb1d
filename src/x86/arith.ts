// Rows of integer arithmetic: sums, differences, products, quotients, and the atomic CMPXCHG and XADD.

import { constant, i64, select, type Expr } from '../wasm/expr.ts';
import type { Int } from '../wasm/types.ts';
import { row, type RowOptions } from './row.ts';
import { AH, RAX, RBX, RCX, RDX, dst, src, src2, type Op, type Semantics } from './semantics.ts';
import { divideS128, divideU128, mulHighS, mulHighU } from './wide.ts';

/** MUL and one-operand IMUL: rDX:rAX (AX for bytes) = rAX * operand. CF = OF = the high half matters. */
function multiply<T extends Int>(op: Op<T>, signed: boolean): void {
  const a = op.reg(RAX);
  const b = op.read(dst);
  const { low, high } = product(op, a, b, signed);
  const overflow = high.ne(signed ? op.low(op.signed(low).shrS(i64(63))) : op.k(0));
  if (op.width === 8) op.setReg16(RAX, low.wrap().or(high.wrap().shl(constant('i32', 8))));
  else {
    op.setReg(RAX, low);
    op.setReg(RDX, high);
  }
  op.flags.shift(low, overflow, overflow);
}

/** Both halves of a product, each cut to the width. */
function product<T extends Int>(op: Op<T>, a: Expr<T>, b: Expr<T>, signed: boolean): { low: Expr<T>; high: Expr<T> } {
  if (op.width === 64) {
    const high = (signed ? mulHighS : mulHighU)(op, a.zext(), b.zext());
    return { low: op.let(a.mul(b)), high: op.let(op.low(high)) };
  }
  const extend = (value: Expr<T>): Expr<'i64'> => (signed ? op.signed(value) : value.zext());
  const wide = op.let(extend(a).mul(extend(b)));
  return { low: op.let(op.low(wide)), high: op.let(op.low(wide.shrU(i64(op.width)))) };
}

/** IMUL with a destination of its own: the product is cut, CF = OF = it did not fit. */
function multiplyInto<T extends Int>(op: Op<T>, a: Expr<T>, b: Expr<T>): void {
  const { low, high } = product(op, a, b, true);
  const overflow = high.ne(op.low(op.signed(low).shrS(i64(63))));
  op.write(dst, low);
  op.flags.shift(low, overflow, overflow);
}

/** DIV and IDIV: quotient and remainder of rDX:rAX (AX for bytes). #DE where the quotient does not fit. */
function divide<T extends Int>(op: Op<T>, signed: boolean): void {
  const divisor = op.read(dst);
  op.faultIf(divisor.eqz(), 'de');
  const { quotient, remainder } =
    op.width === 64
      ? (signed ? divideS128 : divideU128)(op, op.reg64(RDX), op.reg64(RAX), divisor.zext())
      : divideNarrow(op, divisor, signed);
  if (op.width === 8)
    op.setReg16(
      RAX,
      op
        .low(quotient)
        .wrap()
        .or(op.low(remainder).wrap().shl(constant('i32', 8))),
    );
  else {
    op.setReg(RAX, op.low(quotient));
    op.setReg(RDX, op.low(remainder));
  }
}

/** Up to 32 bits the dividend fits 64. */
function divideNarrow<T extends Int>(
  op: Op<T>,
  divisor: Expr<T>,
  signed: boolean,
): { quotient: Expr<'i64'>; remainder: Expr<'i64'> } {
  const low = op.reg(RAX).zext();
  const high = op.width === 8 ? op.narrow(AH, 8).zext() : op.reg(RDX).zext();
  const joined = low.or(high.shl(i64(op.width)));
  if (!signed) {
    const quotient = op.let(joined.divU(divisor.zext()));
    op.faultIf(quotient.shrU(i64(op.width)).ne(i64(0)), 'de');
    return { quotient, remainder: joined.remU(divisor.zext()) };
  }
  const unused = i64(64 - 2 * op.width);
  const dividend = op.let(joined.shl(unused).shrS(unused));
  const by = op.let(op.signed(divisor));
  // -2^63 / -1 leaves 64 bits, where WebAssembly would trap.
  op.faultIf(dividend.eq(i64(-(1n << 63n))).and(by.eq(i64(-1))), 'de');
  const quotient = op.let(dividend.divS(by));
  op.faultIf(op.signed(op.low(quotient)).ne(quotient), 'de');
  return { quotient, remainder: dividend.remS(by) };
}

const step =
  (by: 1 | -1): Semantics =>
  (op) =>
    op.write(dst, op.flags.step(op.read(dst), by));

const all: RowOptions = { access: 'rw', written: 'oszapc' };
const add: RowOptions = {
  ...all,
  lock: true,
  semantics: (op) => op.write(dst, op.flags.add(op.read(dst), op.read(src))),
};
const adc: RowOptions = {
  ...all,
  lock: true,
  read: 'c',
  semantics: (op) => op.write(dst, op.flags.add(op.read(dst), op.read(src), op.flag.cf())),
};
const sbb: RowOptions = {
  ...all,
  lock: true,
  read: 'c',
  semantics: (op) => op.write(dst, op.flags.sub(op.read(dst), op.read(src), op.flag.cf())),
};
const sub: RowOptions = {
  ...all,
  lock: true,
  semantics: (op) => op.write(dst, op.flags.sub(op.read(dst), op.read(src))),
};
const cmp: RowOptions = {
  ...all,
  access: 'r',
  semantics: (op) => void op.flags.sub(op.read(dst), op.read(src)),
};
const inc: RowOptions = { access: 'rw', lock: true, written: 'oszap', semantics: step(1) };
const dec: RowOptions = { access: 'rw', lock: true, written: 'oszap', semantics: step(-1) };
const neg: RowOptions = {
  ...all,
  lock: true,
  semantics: (op) => op.write(dst, op.flags.sub(op.k(0), op.read(dst))),
};
const mul: RowOptions = { access: 'r', written: 'oc', undefined: 'szap', semantics: (op) => multiply(op, false) };
const imul: RowOptions = { access: 'r', written: 'oc', undefined: 'szap', semantics: (op) => multiply(op, true) };
const imul2: RowOptions = {
  access: 'rw',
  written: 'oc',
  undefined: 'szap',
  semantics: (op) => multiplyInto(op, op.read(dst), op.read(src)),
};
const imul3: RowOptions = {
  access: 'w',
  written: 'oc',
  undefined: 'szap',
  semantics: (op) => multiplyInto(op, op.read(src), op.read(src2)),
};
const div: RowOptions = { access: 'r', undefined: 'oszapc', semantics: (op) => divide(op, false) };
const idiv: RowOptions = { access: 'r', undefined: 'oszapc', semantics: (op) => divide(op, true) };
const xadd: RowOptions = {
  access: 'rw rw',
  lock: true,
  written: 'oszapc',
  semantics: (op) => {
    const a = op.read(dst);
    const sum = op.flags.add(a, op.read(src));
    op.write(src, a);
    op.write(dst, sum); // last: of two names for one register the destination wins
  },
};
const cmpxchg: RowOptions = {
  access: 'rw',
  lock: true,
  written: 'oszapc',
  semantics: (op) => {
    const a = op.read(dst);
    const accumulator = op.reg(RAX);
    op.flags.sub(accumulator, a);
    const equal = op.let(accumulator.eq(a));
    op.setRegIf(equal.eqz(), RAX, a);
    // Memory is written in any case, as the bus sees it; a register that differs keeps its upper half too.
    if (op.isMemory(dst)) op.write(dst, select(equal, op.read(src), a));
    else op.setRegIf(equal, { position: dst }, op.read(src));
  },
};
const cmpxchg8b: RowOptions = {
  access: 'rw',
  lock: true,
  written: 'z',
  cpuid: 'CX8',
  semantics: (op) => {
    const a = op.read(dst);
    const joined = (high: number, low: number): typeof a =>
      op.let(op.fit(op.narrow(low, 32)).or(op.fit(op.narrow(high, 32)).shl(op.k(32))));
    const equal = op.let(joined(RDX, RAX).eq(a));
    const differ = equal.eqz();
    op.flags.zero(equal);
    op.setRegIf(differ, RAX, a.and(op.k(0xffff_ffffn)));
    op.setRegIf(differ, RDX, a.shrU(op.k(32)));
    op.write(dst, select(equal, joined(RCX, RBX), a));
  },
};
const cmpxchg16b: RowOptions = { access: 'rw', lock: true, written: 'z', cpuid: 'CX16', microcode: 'cmpxchg16b' };
const extendA: RowOptions = {
  size: 'v',
  semantics: (op) => {
    const half = (op.width / 2) as 8 | 16 | 32;
    op.setReg(RAX, op.low(op.narrow(RAX, half).signExtend(half).sext()));
  },
};
const extendD: RowOptions = {
  size: 'v',
  semantics: (op) => op.setReg(RDX, op.low(op.signed(op.reg(RAX)).shrS(i64(63)))),
};
/** ADCX and ADOX add with a carry of their own: CF or OF goes in and comes out, the other flags stay. */
function addThrough<T extends Int>(op: Op<T>, carryIn: Expr<'i32'>): Expr<'i32'> {
  const a = op.read(dst);
  const r = op.let(a.add(op.read(src)).add(op.fit(carryIn)));
  op.write(dst, r);
  return op.let(select(carryIn, r.leU(a), r.ltU(a)));
}
const adcx: RowOptions = {
  access: 'rw',
  written: 'c',
  read: 'c',
  cpuid: 'ADX',
  semantics: (op) => op.flags.carryOverflow(addThrough(op, op.flag.cf()), op.flag.of()),
};
const adox: RowOptions = {
  access: 'rw',
  written: 'o',
  read: 'o',
  cpuid: 'ADX',
  semantics: (op) => op.flags.carryOverflow(op.flag.cf(), addThrough(op, op.flag.of())),
};
const mulx: RowOptions = {
  access: 'w w',
  cpuid: 'BMI2',
  semantics: (op) => {
    const { low, high } = product(op, op.reg(RDX), op.read(src2), false);
    op.write(src, low);
    op.write(dst, high); // last: of two names for one register the upper half wins
  },
};

// prettier-ignore
export const ARITH = [
  row('00 /r',             'add',     'Eb,Gb',    add),
  row('01 /r',             'add',     'Ev,Gv',    add),
  row('02 /r',             'add',     'Gb,Eb',    add),
  row('03 /r',             'add',     'Gv,Ev',    add),
  row('04',                'add',     'AL,Ib',    add),
  row('05',                'add',     'rAX,Iz',   add),
  row('10 /r',             'adc',     'Eb,Gb',    adc),
  row('11 /r',             'adc',     'Ev,Gv',    adc),
  row('12 /r',             'adc',     'Gb,Eb',    adc),
  row('13 /r',             'adc',     'Gv,Ev',    adc),
  row('14',                'adc',     'AL,Ib',    adc),
  row('15',                'adc',     'rAX,Iz',   adc),
  row('18 /r',             'sbb',     'Eb,Gb',    sbb),
  row('19 /r',             'sbb',     'Ev,Gv',    sbb),
  row('1A /r',             'sbb',     'Gb,Eb',    sbb),
  row('1B /r',             'sbb',     'Gv,Ev',    sbb),
  row('1C',                'sbb',     'AL,Ib',    sbb),
  row('1D',                'sbb',     'rAX,Iz',   sbb),
  row('28 /r',             'sub',     'Eb,Gb',    sub),
  row('29 /r',             'sub',     'Ev,Gv',    sub),
  row('2A /r',             'sub',     'Gb,Eb',    sub),
  row('2B /r',             'sub',     'Gv,Ev',    sub),
  row('2C',                'sub',     'AL,Ib',    sub),
  row('2D',                'sub',     'rAX,Iz',   sub),
  row('38 /r',             'cmp',     'Eb,Gb',    cmp),
  row('39 /r',             'cmp',     'Ev,Gv',    cmp),
  row('3A /r',             'cmp',     'Gb,Eb',    cmp),
  row('3B /r',             'cmp',     'Gv,Ev',    cmp),
  row('3C',                'cmp',     'AL,Ib',    cmp),
  row('3D',                'cmp',     'rAX,Iz',   cmp),
  row('40+r',              'inc',     'Zv',       { ...inc, modes: 'no64' }),
  row('48+r',              'dec',     'Zv',       { ...dec, modes: 'no64' }),
  row('69 /r',             'imul',    'Gv,Ev,Iz', imul3),
  row('6B /r',             'imul',    'Gv,Ev,Ibs', imul3),
  row('80 /0',             'add',     'Eb,Ib',    add),
  row('80 /2',             'adc',     'Eb,Ib',    adc),
  row('80 /3',             'sbb',     'Eb,Ib',    sbb),
  row('80 /5',             'sub',     'Eb,Ib',    sub),
  row('80 /7',             'cmp',     'Eb,Ib',    cmp),
  row('81 /0',             'add',     'Ev,Iz',    add),
  row('81 /2',             'adc',     'Ev,Iz',    adc),
  row('81 /3',             'sbb',     'Ev,Iz',    sbb),
  row('81 /5',             'sub',     'Ev,Iz',    sub),
  row('81 /7',             'cmp',     'Ev,Iz',    cmp),
  row('82 /0',             'add',     'Eb,Ib',    { ...add, modes: 'no64' }),
  row('82 /2',             'adc',     'Eb,Ib',    { ...adc, modes: 'no64' }),
  row('82 /3',             'sbb',     'Eb,Ib',    { ...sbb, modes: 'no64' }),
  row('82 /5',             'sub',     'Eb,Ib',    { ...sub, modes: 'no64' }),
  row('82 /7',             'cmp',     'Eb,Ib',    { ...cmp, modes: 'no64' }),
  row('83 /0',             'add',     'Ev,Ibs',   add),
  row('83 /2',             'adc',     'Ev,Ibs',   adc),
  row('83 /3',             'sbb',     'Ev,Ibs',   sbb),
  row('83 /5',             'sub',     'Ev,Ibs',   sub),
  row('83 /7',             'cmp',     'Ev,Ibs',   cmp),
  row('98', 'cbw|cwde|cdqe', '',                  extendA),
  row('99', 'cwd|cdq|cqo', '',                    extendD),
  row('F6 /3',             'neg',     'Eb',       neg),
  row('F6 /4',             'mul',     'Eb',       mul),
  row('F6 /5',             'imul',    'Eb',       imul),
  row('F6 /6',             'div',     'Eb',       div),
  row('F6 /7',             'idiv',    'Eb',       idiv),
  row('F7 /3',             'neg',     'Ev',       neg),
  row('F7 /4',             'mul',     'Ev',       mul),
  row('F7 /5',             'imul',    'Ev',       imul),
  row('F7 /6',             'div',     'Ev',       div),
  row('F7 /7',             'idiv',    'Ev',       idiv),
  row('FE /0',             'inc',     'Eb',       inc),
  row('FE /1',             'dec',     'Eb',       dec),
  row('FF /0',             'inc',     'Ev',       inc),
  row('FF /1',             'dec',     'Ev',       dec),
  row('0F AF /r',          'imul',    'Gv,Ev',    imul2),
  row('0F B0 /r',          'cmpxchg', 'Eb,Gb',    cmpxchg),
  row('0F B1 /r',          'cmpxchg', 'Ev,Gv',    cmpxchg),
  row('0F C0 /r',          'xadd',    'Eb,Gb',    xadd),
  row('0F C1 /r',          'xadd',    'Ev,Gv',    xadd),
  row('0F C7 /1',          'cmpxchg8b', 'Mq',     cmpxchg8b),
  row('REX.W 0F C7 /1',    'cmpxchg16b', 'Mdq',   cmpxchg16b),
  row('66 0F 38 F6 /r',    'adcx',    'Gy,Ey',    adcx),
  row('F3 0F 38 F6 /r',    'adox',    'Gy,Ey',    adox),
  row('VEX.128.F2.0F38 F6 /r', 'mulx', 'Gy,By,Ey', mulx),
];
