// Arithmetic wider than 64 bits, built from 64-bit expressions without loops, so that every back end can take it.
//
// Theory: the high half of a product comes from four 32-bit partial products. Division of 128 by 64 bits is Knuth's
// algorithm D with two digits of 32 bits (The Art of Computer Programming, vol. 2, 4.3.1): the divisor is shifted until
// its top bit is set; each quotient digit is estimated from the divisor's upper digit, which is at most 2 too large, and
// corrected twice.

import { i64, select, type Expr } from '../wasm/expr.ts';
import type { Int } from '../wasm/types.ts';
import type { Op } from './semantics.ts';

type I64 = Expr<'i64'>;
const LOW = 0xffff_ffffn;
const low = (x: I64): I64 => x.and(i64(LOW));
const high = (x: I64): I64 => x.shrU(i64(32));
const negate = (x: I64): I64 => i64(0).sub(x);
const isNegative = (x: I64): Expr<'i32'> => x.ltS(i64(0));

/** Bits 127 to 64 of an unsigned product. */
export function mulHighU<T extends Int>(op: Op<T>, a: I64, b: I64): I64 {
  const t = op.let(
    high(a)
      .mul(low(b))
      .add(high(low(a).mul(low(b)))),
  );
  const u = op.let(low(a).mul(high(b)).add(low(t)));
  return op.let(high(a).mul(high(b)).add(high(t)).add(high(u)));
}

/** Bits 127 to 64 of a signed product. */
export function mulHighS<T extends Int>(op: Op<T>, a: I64, b: I64): I64 {
  const borrowed = a
    .shrS(i64(63))
    .and(b)
    .add(b.shrS(i64(63)).and(a));
  return op.let(mulHighU(op, a, b).sub(borrowed));
}

interface Division {
  readonly quotient: I64;
  readonly remainder: I64;
}

/** (high:low) / divisor, unsigned; the divisor is not 0. Raises #DE where the quotient needs more than 64 bits. */
export function divideU128<T extends Int>(op: Op<T>, dividendHigh: I64, dividendLow: I64, divisor: I64): Division {
  op.faultIf(dividendHigh.geU(divisor), 'de');
  return divideNormalised(op, dividendHigh, dividendLow, divisor);
}

function divideNormalised<T extends Int>(op: Op<T>, dividendHigh: I64, dividendLow: I64, divisor: I64): Division {
  const shift = op.let(divisor.clz());
  const v = op.let(divisor.shl(shift));
  // A shift by 64 would be a shift by 0: shift the low word right by one first.
  const carried = dividendLow.shrU(i64(1)).shrU(i64(63).sub(shift));
  const u = op.let(dividendHigh.shl(shift).or(carried));
  const u10 = op.let(dividendLow.shl(shift));
  const q1 = digit(op, u, high(u10), v);
  const u21 = op.let(u.shl(i64(32)).add(high(u10)).sub(q1.mul(v)));
  const q0 = digit(op, u21, low(u10), v);
  const rest = u21.shl(i64(32)).add(low(u10)).sub(q0.mul(v));
  return { quotient: op.let(q1.shl(i64(32)).add(q0)), remainder: op.let(rest.shrU(shift)) };
}

/** One quotient digit: (u * 2^32 + next) / v, for u < v. */
function digit<T extends Int>(op: Op<T>, u: I64, next: I64, v: I64): I64 {
  let q = op.let(u.divU(high(v)));
  let rest = op.let(u.sub(q.mul(high(v))));
  const below = op.let(low(next));
  for (let correction = 0; correction < 2; correction++) {
    const inRange = high(rest).eqz();
    const tooLarge = q.gtU(i64(LOW)).or(q.mul(low(v)).gtU(rest.shl(i64(32)).or(below)));
    const correct = op.let(inRange.and(tooLarge));
    q = op.let(q.sub(correct.zext()));
    rest = op.let(rest.add(select(correct, high(v), i64(0))));
  }
  return q;
}

/** (high:low) / divisor, signed, rounded towards zero; the divisor is not 0. Raises #DE where the quotient does not fit. */
export function divideS128<T extends Int>(op: Op<T>, dividendHigh: I64, dividendLow: I64, divisor: I64): Division {
  const negative = op.let(isNegative(dividendHigh));
  const borrow = dividendLow.ne(i64(0)).zext();
  const magnitudeLow = op.let(select(negative, negate(dividendLow), dividendLow));
  const magnitudeHigh = op.let(select(negative, negate(dividendHigh).sub(borrow), dividendHigh));
  const by = op.let(select(isNegative(divisor), negate(divisor), divisor));
  op.faultIf(magnitudeHigh.geU(by), 'de');
  const { quotient, remainder } = divideNormalised(op, magnitudeHigh, magnitudeLow, by);
  const negativeQuotient = op.let(negative.xor(isNegative(divisor)));
  // 2^63 fits only as a negative number.
  const limit = i64(-(1n << 63n));
  op.faultIf(quotient.gtU(select(negativeQuotient, limit, limit.sub(i64(1)))), 'de');
  return {
    quotient: select(negativeQuotient, negate(quotient), quotient),
    remainder: select(negative, negate(remainder), remainder),
  };
}
