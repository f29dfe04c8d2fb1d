// Rows that test, scan, count, extract and deposit bits, and CRC32.

import { i32, i64, select, type Expr } from '../wasm/expr.ts';
import type { Int } from '../wasm/types.ts';
import { ZF } from './flags.ts';
import { row, type RowOptions } from './row.ts';
import { dst, src, src2, type Op, type Semantics } from './semantics.ts';

/** BT and its kin. A register offset into memory reaches beyond the operand: it picks the word of the bit string first. */
const bitString =
  (change?: <T extends Int>(value: Expr<T>, mask: Expr<T>, op: Op<T>) => Expr<T>): Semantics =>
  (op) => {
    const offset = op.read(src);
    if (op.isMemory(dst) && !op.isImmediate(src)) {
      const word = op.signed(offset).shrS(i64(Math.log2(op.width)));
      op.displace(word.shl(i64(Math.log2(op.width / 8))));
    }
    const value = op.read(dst);
    const n = op.let(offset.and(op.k(op.width - 1)));
    if (change) op.write(dst, change(value, op.let(op.k(1).shl(n)), op));
    op.flags.carryOverflow(value.shrU(n).and(op.k(1)).wrap(), op.flag.of());
  };

/** BSF and BSR leave the destination alone when there is no bit. */
const scan =
  (index: <T extends Int>(op: Op<T>, value: Expr<T>) => Expr<T>): Semantics =>
  (op) => {
    const value = op.read(src);
    op.flags.logic(value);
    op.setRegIf(value.ne(op.k(0)), { position: dst }, index(op, value));
  };

/** Leading zeros within the operation's width. */
const leadingZeros = <T extends Int>(op: Op<T>, value: Expr<T>): Expr<T> =>
  op.width < 32 ? value.clz().sub(op.k(32 - op.width)) : value.clz();
/** Trailing zeros; the width itself for 0. */
const trailingZeros = <T extends Int>(op: Op<T>, value: Expr<T>): Expr<T> =>
  (op.width < 32 ? value.or(op.k(1 << op.width)) : value).ctz();

/** TZCNT and LZCNT: CF = no bit was found, ZF = the count is 0. */
const countZeros =
  (zeros: <T extends Int>(op: Op<T>, value: Expr<T>) => Expr<T>): Semantics =>
  (op) => {
    const value = op.read(src);
    const r = op.let(zeros(op, value));
    op.write(dst, r);
    op.flags.shift(r, value.eqz(), i32(0));
  };

/** BLSR, BLSMSK, BLSI: the lowest set bit. */
const lowestBit =
  (
    combine: <T extends Int>(op: Op<T>, value: Expr<T>) => Expr<T>,
    carry: <T extends Int>(op: Op<T>, value: Expr<T>) => Expr<'i32'>,
  ): Semantics =>
  (op) => {
    const value = op.read(src);
    const r = op.let(combine(op, value));
    op.write(dst, r);
    op.flags.shift(r, carry(op, value), i32(0));
  };
const isZero = <T extends Int>(_: Op<T>, value: Expr<T>): Expr<'i32'> => value.eqz();

const test: RowOptions = { written: 'c', undefined: 'osap' };
const bt: RowOptions = { ...test, access: 'r', semantics: bitString() };
const bts: RowOptions = { ...test, access: 'rw', lock: true, semantics: bitString((value, mask) => value.or(mask)) };
const btr: RowOptions = {
  ...test,
  access: 'rw',
  lock: true,
  semantics: bitString((value, mask, op) => value.and(mask.xor(op.k(-1)))),
};
const btc: RowOptions = { ...test, access: 'rw', lock: true, semantics: bitString((value, mask) => value.xor(mask)) };
const bsf: RowOptions = { access: 'rw', written: 'z', undefined: 'osapc', semantics: scan(trailingZeros) };
const bsr: RowOptions = {
  access: 'rw',
  written: 'z',
  undefined: 'osapc',
  semantics: scan((op, value) => op.k(op.width - 1).sub(leadingZeros(op, value))),
};
const counted: RowOptions = { written: 'zc', undefined: 'osap' };
const tzcnt: RowOptions = { ...counted, cpuid: 'BMI1', without: 'bsf', semantics: countZeros(trailingZeros) };
const lzcnt: RowOptions = { ...counted, cpuid: 'LZCNT', without: 'bsr', semantics: countZeros(leadingZeros) };
const popcnt: RowOptions = {
  written: 'oszapc',
  cpuid: 'POPCNT',
  semantics: (op) => {
    const value = op.read(src);
    op.write(dst, value.popcnt());
    op.setPackedFlags(select(value.eqz(), i32(ZF), i32(0)));
  },
};
/** Castagnoli's polynomial (11EDC6F41H), bits reversed: the lowest bit of the message comes first. */
const CRC32C = 0x82f6_3b78 | 0;
const crc32: RowOptions = {
  access: 'rw',
  cpuid: 'SSE4_2',
  semantics: (op) => {
    const bits = op.sourceWidth(src);
    let message = op.let(op.readZext(src).zext());
    let crc = op.let(op.readZext(dst).wrap());
    for (let done = 0; done < bits; done += 8) {
      crc = op.let(crc.xor(message.wrap().and(i32(0xff))));
      for (let bit = 0; bit < 8; bit++)
        crc = op.let(
          crc.shrU(i32(1)).xor(
            i32(0)
              .sub(crc.and(i32(1)))
              .and(i32(CRC32C)),
          ),
        );
      message = op.let(message.shrU(i64(8)));
    }
    op.write(dst, op.fit(crc));
  },
};
const andn: RowOptions = {
  written: 'oszc',
  undefined: 'ap',
  cpuid: 'BMI1',
  semantics: (op) => op.write(dst, op.flags.logic(op.read(src).xor(op.k(-1)).and(op.read(src2)))),
};
const bextr: RowOptions = {
  written: 'ozc',
  undefined: 'sap',
  cpuid: 'BMI1',
  semantics: (op) => {
    const control = op.read(src2);
    const start = op.let(control.and(op.k(0xff)));
    const length = op.let(control.shrU(op.k(8)).and(op.k(0xff)));
    const from = select(start.ltU(op.k(op.width)), op.read(src).shrU(start), op.k(0));
    const mask = select(length.ltU(op.k(op.width)), op.k(1).shl(length).sub(op.k(1)), op.k(-1));
    op.write(dst, op.flags.logic(from.and(mask)));
  },
};
const lowest: RowOptions = { written: 'oszc', undefined: 'ap', cpuid: 'BMI1' };
const blsr: RowOptions = { ...lowest, semantics: lowestBit((op, value) => value.and(value.sub(op.k(1))), isZero) };
const blsmsk: RowOptions = { ...lowest, semantics: lowestBit((op, value) => value.xor(value.sub(op.k(1))), isZero) };
const blsi: RowOptions = {
  ...lowest,
  semantics: lowestBit(
    (op, value) => value.and(op.k(0).sub(value)),
    (op, value) => value.ne(op.k(0)),
  ),
};
const bzhi: RowOptions = {
  written: 'oszc',
  undefined: 'ap',
  cpuid: 'BMI2',
  semantics: (op) => {
    const n = op.let(op.read(src2).and(op.k(0xff)));
    const beyond = op.let(n.geU(op.k(op.width)));
    const r = op.let(select(beyond, op.read(src), op.read(src).and(op.k(1).shl(n).sub(op.k(1)))));
    op.write(dst, r);
    op.flags.shift(r, beyond, i32(0));
  },
};
/** PEXT gathers the bits under a mask, PDEP scatters bits to them: each mask bit in turn, the lowest first. */
const underMask =
  (take: <T extends Int>(value: Expr<T>, at: Expr<T>, n: Expr<T>, bit: Expr<T>) => Expr<T>): Semantics =>
  (op) => {
    const value = op.read(src);
    const mask = op.read(src2);
    let r = op.k(0);
    let n = op.k(0);
    for (let at = 0; at < op.width; at++) {
      const bit = op.let(mask.shrU(op.k(at)).and(op.k(1)));
      r = op.let(r.or(take(value, op.k(at), n, bit)));
      n = op.let(n.add(bit));
    }
    op.write(dst, r);
  };
const pext: RowOptions = { cpuid: 'BMI2', semantics: underMask((value, at, n, bit) => value.shrU(at).and(bit).shl(n)) };
const pdep: RowOptions = { cpuid: 'BMI2', semantics: underMask((value, at, n, bit) => value.shrU(n).and(bit).shl(at)) };

// prettier-ignore
export const BIT = [
  row('0F A3 /r',              'bt',     'Ev,Gv',    bt),
  row('0F AB /r',              'bts',    'Ev,Gv',    bts),
  row('0F B3 /r',              'btr',    'Ev,Gv',    btr),
  row('F3 0F B8 /r',           'popcnt', 'Gv,Ev',    popcnt),
  row('0F BA /4',              'bt',     'Ev,Ib',    bt),
  row('0F BA /5',              'bts',    'Ev,Ib',    bts),
  row('0F BA /6',              'btr',    'Ev,Ib',    btr),
  row('0F BA /7',              'btc',    'Ev,Ib',    btc),
  row('0F BB /r',              'btc',    'Ev,Gv',    btc),
  row('0F BC /r',              'bsf',    'Gv,Ev',    bsf),
  row('F3 0F BC /r',           'tzcnt',  'Gv,Ev',    tzcnt),
  row('0F BD /r',              'bsr',    'Gv,Ev',    bsr),
  row('F3 0F BD /r',           'lzcnt',  'Gv,Ev',    lzcnt),
  row('F2 0F 38 F0 /r',        'crc32',  'Gy,Eb',    crc32),
  row('F2 0F 38 F1 /r',        'crc32',  'Gy,Ev',    crc32),
  row('VEX.128.NP.0F38 F2 /r', 'andn',   'Gy,By,Ey', andn),
  row('VEX.128.NP.0F38 F3 /1', 'blsr',   'By,Ey',    blsr),
  row('VEX.128.NP.0F38 F3 /2', 'blsmsk', 'By,Ey',    blsmsk),
  row('VEX.128.NP.0F38 F3 /3', 'blsi',   'By,Ey',    blsi),
  row('VEX.128.NP.0F38 F5 /r', 'bzhi',   'Gy,Ey,By', bzhi),
  row('VEX.128.F3.0F38 F5 /r', 'pext',   'Gy,By,Ey', pext),
  row('VEX.128.F2.0F38 F5 /r', 'pdep',   'Gy,By,Ey', pdep),
  row('VEX.128.NP.0F38 F7 /r', 'bextr',  'Gy,Ey,By', bextr),
];
