import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GuestTsc } from '../../src/hypervisor/guestTsc.ts';

const MAX = 0xffff_ffff_ffff_ffffn;

describe('the guest TSC', () => {
  it('is host cycles plus the offset modulo 2^64, as a bigint and as two words', () => {
    const words = new Uint32Array(2);
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: MAX }), fc.maxSafeNat(), (offset, now) => {
        const tsc = new GuestTsc();
        tsc.offset = offset;
        const expected = (BigInt(now) + offset) & MAX;
        expect(tsc.at(now)).toBe(expected);
        tsc.store(now, words, 0);
        expect((BigInt(words[1]!) << 32n) | BigInt(words[0]!)).toBe(expected);
      }),
    );
  });

  it('says how far a deadline is, exactly where a number can', () => {
    const u64 = fc.oneof(fc.bigInt({ min: 0n, max: MAX }), fc.bigInt({ min: 0n, max: 2n ** 53n }));
    fc.assert(
      fc.property(u64, u64, fc.maxSafeNat(), (offset, deadline, now) => {
        const tsc = new GuestTsc();
        tsc.offset = offset;
        expect(tsc.cyclesUntil(deadline, now)).toBe(Number(deadline - tsc.at(now)));
      }),
    );
  });

  it('is exact on both sides of the offsets that need no bigint', () => {
    const edges = [2n ** 52n, -(2n ** 52n), 2n ** 32n, -(2n ** 32n), 0n, 2n ** 63n];
    const nows = [0, 1, 2 ** 32 - 1, 2 ** 52, Number.MAX_SAFE_INTEGER];
    for (const edge of edges)
      for (const offset of [edge - 1n, edge, edge + 1n])
        for (const now of nows) {
          const tsc = new GuestTsc();
          tsc.offset = offset;
          expect(tsc.offset).toBe(offset & MAX);
          expect(tsc.at(now)).toBe((BigInt(now) + offset) & MAX);
        }
  });

  it('takes negative offsets', () => {
    const tsc = new GuestTsc();
    tsc.offset = -100n;
    expect(tsc.at(30)).toBe(MAX - 69n);
    expect(tsc.at(130)).toBe(30n);
  });
});
