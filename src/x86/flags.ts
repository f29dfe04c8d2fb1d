// Flag arithmetic, once: what each kind of operation leaves in the lazy flags, and how a flag or condition is read back.
// Everything here builds expressions; where they are kept is the back end's affair.
//
// Theory: see cpu/state.ts for the representation {carry, result, aux}. For a sum or difference r of a and b, the bit
// string a ^ b ^ r holds the carry *into* each position. Its bit 4 is AF. Its top bit is the carry into the sign, and
// OF = carry in ^ carry out, so top bit = OF ^ CF: that is exactly what `aux` wants, for adds and subtracts alike, with
// or without a carry going in. Values narrower than 32 bits come zero-extended in an i32.

import { constant, i32, i64, select, type Expr } from '../wasm/expr.ts';
import type { Int } from '../wasm/types.ts';

export type Width = 8 | 16 | 32 | 64;

/** The lazy flags as an instruction leaves them. */
export interface Flags {
  /** Bit 0 = CF; bits 1 and 2 invert SF and PF (see cpu/state.ts). */
  readonly carry: Expr<'i32'>;
  /** The result, sign-extended from the operation's width. */
  readonly result: Expr<'i64'>;
  /** Sign = OF ^ CF, bit 4 = AF. */
  readonly aux: Expr<'i64'>;
}

/** Bits of RFLAGS that are kept lazily. */
export const CF = 1 << 0;
export const PF = 1 << 2;
export const AF = 1 << 4;
export const ZF = 1 << 6;
export const SF = 1 << 7;
export const OF = 1 << 11;
export const ARITHMETIC = CF | PF | AF | ZF | SF | OF;

const INVERT_SF = 2;
const INVERT_PF = 4;
const AF_BIT = 4;

/** Sign-extends a value of `width` bits to 64. */
export const signed = <T extends Int>(width: Width, value: Expr<T>): Expr<'i64'> =>
  value.type === 'i64' ? (value as Expr<'i64'>) : (value as Expr<'i32'>).signExtend(width).sext();

const one = <T extends Int>(like: Expr<T>): Expr<T> => constant(like.type, 1);
const bit = <T extends Int>(value: Expr<T>, at: number): Expr<'i32'> =>
  value.shrU(constant(value.type, at)).and(one(value)).wrap();
/** A 0/1 value as the sign of an i64. */
const asSign = (flag: Expr<'i32'>): Expr<'i64'> => flag.zext().shl(i64(63));
/** The sign of a value of `width` bits, as 0 or 1. */
export const signBit = <T extends Int>(width: Width, value: Expr<T>): Expr<'i32'> => bit(value, width - 1);

/** r = a + b (+ carry), not yet cut to the width. */
export function addFlags<T extends Int>(
  width: Width,
  a: Expr<T>,
  b: Expr<T>,
  r: Expr<T>,
  carryIn?: Expr<'i32'>,
): Flags {
  let carry: Expr<'i32'>;
  if (width < 32) carry = bit(r, width);
  else carry = carryIn ? select(carryIn, r.leU(a), r.ltU(a)) : r.ltU(a);
  return { carry, result: signed(width, r), aux: signed(width, a.xor(b).xor(r)) };
}

/** r = a - b (- borrow). */
export function subFlags<T extends Int>(
  width: Width,
  a: Expr<T>,
  b: Expr<T>,
  r: Expr<T>,
  borrowIn?: Expr<'i32'>,
): Flags {
  const carry = borrowIn ? select(borrowIn, a.leU(b), a.ltU(b)) : a.ltU(b);
  return { carry, result: signed(width, r), aux: signed(width, a.xor(b).xor(r)) };
}

/** AND, OR, XOR, TEST: CF = OF = 0 (AF undefined: 0). */
export const logicFlags = <T extends Int>(width: Width, r: Expr<T>): Flags => ({
  carry: i32(0),
  result: signed(width, r),
  aux: i64(0),
});

/** INC (step = 1) and DEC (step = -1) keep CF. */
export function stepFlags<T extends Int>(width: Width, a: Expr<T>, r: Expr<T>, step: 1 | -1, cf: Expr<'i32'>): Flags {
  // a ^ step ^ r as in a sum, but its sign is OF ^ carry out; put the kept CF in the place of the carry out.
  const edge = 1n << BigInt(width - 1);
  const overflowed = signed(width, r).eq(i64(BigInt.asIntN(64, BigInt.asIntN(width, step === 1 ? edge : edge - 1n))));
  const af = a.xor(r).and(constant(a.type, 1 << AF_BIT));
  return { carry: cf, result: signed(width, r), aux: asSign(overflowed.xor(cf)).or(af.wrap().zext()) };
}

/** Flags of an operation that sets CF and OF by rules of its own; AF = 0. */
export const shiftFlags = <T extends Int>(width: Width, r: Expr<T>, cf: Expr<'i32'>, of: Expr<'i32'>): Flags => ({
  carry: cf,
  result: signed(width, r),
  aux: asSign(cf.xor(of)),
});

/** Decimal adjustments: CF and AF by rules of their own, OF = 0. */
export const decimalFlags = <T extends Int>(width: Width, r: Expr<T>, cf: Expr<'i32'>, af: Expr<'i32'>): Flags => ({
  carry: cf,
  result: signed(width, r),
  aux: asSign(cf).or(af.shl(i32(AF_BIT)).zext()),
});

/** Only CF and OF change (rotates, MUL): the rest is kept from before. */
export const carryOverflowOnly = (before: Flags, cf: Expr<'i32'>, of: Expr<'i32'>): Flags => ({
  carry: before.carry.and(i32(INVERT_SF | INVERT_PF)).or(cf),
  result: before.result,
  aux: before.aux.and(i64(1 << AF_BIT)).or(asSign(cf.xor(of))),
});

/** Reads single flags, each 0 or 1. */
export const flag = {
  cf: (f: Flags): Expr<'i32'> => f.carry.and(i32(1)),
  zf: (f: Flags): Expr<'i32'> => f.result.eqz(),
  sf: (f: Flags): Expr<'i32'> => f.result.ltS(i64(0)).xor(bit(f.carry, 1)),
  pf: (f: Flags): Expr<'i32'> => f.result.wrap().and(i32(0xff)).popcnt().xor(bit(f.carry, 2)).and(i32(1)).eqz(),
  af: (f: Flags): Expr<'i32'> => bit(f.aux.wrap(), AF_BIT),
  of: (f: Flags): Expr<'i32'> => flag.cf(f).xor(f.aux.ltS(i64(0))),
  /** SF ^ OF, the "less" of signed comparisons. */
  less: (f: Flags): Expr<'i32'> => flag.sf(f).xor(flag.of(f)),
};

/** Condition codes in encoding order (SDM vol. 2, appendix B.1.4): o no b ae e ne be a s ns p np l ge le g. */
export function condition(f: Flags, cc: number): Expr<'i32'> {
  const base = [
    flag.of,
    flag.cf,
    flag.zf,
    (g: Flags) => flag.cf(g).or(flag.zf(g)),
    flag.sf,
    flag.pf,
    flag.less,
    (g: Flags) => flag.less(g).or(flag.zf(g)),
  ][cc >> 1]!(f);
  return cc & 1 ? base.eqz() : base;
}

/** The six arithmetic flags in their RFLAGS positions. */
export function packFlags(f: Flags): Expr<'i32'> {
  const at = (value: Expr<'i32'>, position: number): Expr<'i32'> => value.shl(i32(position));
  return flag
    .cf(f)
    .or(at(flag.pf(f), 2))
    .or(at(flag.af(f), 4))
    .or(at(flag.zf(f), 6))
    .or(at(flag.sf(f), 7))
    .or(at(flag.of(f), 11));
}

/** The lazy form of any combination of flags (POPF, SAHF, IRET): a result of 0 or 256, and inverted bits for the rest. */
export function unpackFlags(image: Expr<'i32'>): Flags {
  const at = (position: number): Expr<'i32'> => image.shrU(i32(position)).and(i32(1));
  // Both results have SF = 0 and an even (zero) low byte, so PF = 1 before the inversion.
  const carry = at(0)
    .or(at(7).shl(i32(1)))
    .or(at(2).eqz().shl(i32(2)));
  return {
    carry,
    result: select(at(6), i64(0), i64(256)),
    aux: asSign(at(0).xor(at(11))).or(image.and(i32(AF)).zext()),
  };
}

/** The same in plain numbers, for microcode: RFLAGS bits from the three stored values, two of them in halves. */
export function packNumbers(
  carry: number,
  resultLow: number,
  resultHigh: number,
  auxLow: number,
  auxHigh: number,
): number {
  let parity = resultLow & 0xff;
  parity ^= parity >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  const cf = carry & 1;
  const of = cf ^ (auxHigh >>> 31);
  const sf = (resultHigh >>> 31) ^ ((carry >> 1) & 1);
  const pf = (~parity & 1) ^ ((carry >> 2) & 1);
  const zf = (resultLow | resultHigh) === 0 ? ZF : 0;
  return cf | (pf << 2) | (auxLow & AF) | zf | (sf << 7) | (of << 11);
}

/** `flagCarry` for a combination of RFLAGS bits. */
export const unpackCarry = (image: number): number =>
  (image & CF) | (image & SF ? INVERT_SF : 0) | (image & PF ? 0 : INVERT_PF);
/** `flagResult`, whose upper half is zero. */
export const unpackResult = (image: number): number => (image & ZF ? 0 : 256);
/** The upper half of `flagAux`; the lower one is AF in its place. */
export const unpackAuxHigh = (image: number): number => (((image & CF) !== 0) !== ((image & OF) !== 0) ? 1 << 31 : 0);
