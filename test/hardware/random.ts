// A seeded source of chance for test cases: the same seed gives the same cases.

const U64 = (1n << 64n) - 1n;

// prettier-ignore
const CORNERS = [
  0n, 1n, 2n, 7n, 8n, 15n, 16n, 31n, 32n, 63n, 64n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0xffffn, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn,
  0x1_0000_0000n, 0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, U64, U64 - 1n, 0xffff_ffff_8000_0000n, 0xffff_ffff_ffff_8000n, 0xffff_ffff_ffff_ff80n,
];

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** 32 bits (xorshift, then a multiply to hide its linearity). */
  u32(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return Math.imul(x, 0x9e3779b1) >>> 0;
  }
  /** 0 to n - 1. */
  below(n: number): number {
    return Math.floor((this.u32() / 0x1_0000_0000) * n);
  }
  /** True once in n times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }
  /** `length` bytes, a multiple of four. */
  bytes(length: number): Uint8Array {
    return new Uint8Array(Uint32Array.from({ length: length / 4 }, () => this.u32()).buffer);
  }
  /** A register's value: often one at which arithmetic changes its mind. */
  value(): bigint {
    switch (this.below(4)) {
      case 0:
        return this.u64();
      case 1:
        return this.u64() >> BigInt(this.below(64));
      case 2:
        return this.pick(CORNERS);
      default:
        return (this.pick(CORNERS) + BigInt(this.below(5) - 2)) & U64;
    }
  }
}
