// The state that a 32-bit seed stands for: sixteen registers, the arithmetic flags, the window. Vectors store the seed alone, so this file is a
// part of their format (vectorFormat.ts): whoever changes a number here must raise FORMAT and record anew.
import { NATIVE } from './nativeCase.ts';

const U64 = (1n << 64n) - 1n;
const ARITHMETIC = 0x8d5n;
const FIXED = 2n;

// prettier-ignore
const CORNERS = [
  0n, 1n, 2n, 7n, 8n, 15n, 16n, 31n, 32n, 63n, 64n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0x8000n, 0xffffn, 0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn,
  0x1_0000_0000n, 0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, U64, U64 - 1n, 0xffff_ffff_8000_0000n, 0xffff_ffff_ffff_8000n, 0xffff_ffff_ffff_ff80n,
];

export interface SeededState {
  readonly gpr: readonly bigint[];
  readonly rflags: bigint;
  readonly window: Uint8Array;
}

/** A Weyl sequence through MurmurHash3's finalizer: neighbouring seeds have nothing in common. */
function numbers(seed: number): () => number {
  let state = Math.imul(seed, 0x9e37_79b9) ^ 0x85eb_ca6b;
  return () => {
    state = (state + 0x6d2b_79f5) | 0;
    let x = state ^ (state >>> 16);
    x = Math.imul(x, 0x85eb_ca6b);
    x ^= x >>> 13;
    x = Math.imul(x, 0xc2b2_ae35);
    return (x ^ (x >>> 16)) >>> 0;
  };
}

export function seededState(seed: number): SeededState {
  const next = numbers(seed);
  const u64 = (): bigint => (BigInt(next()) << 32n) | BigInt(next());
  const value = (): bigint => {
    const kind = next();
    const corner = CORNERS[(kind >>> 8) % CORNERS.length]!;
    if ((kind & 3) === 0) return u64();
    if ((kind & 3) === 1) return u64() >> BigInt((kind >>> 8) & 63);
    return (kind & 3) === 2 ? corner : (corner + BigInt((kind >>> 16) % 5) - 2n) & U64;
  };
  const gpr = Array.from({ length: 16 }, value);
  const rflags = (BigInt(next()) & ARITHMETIC) | FIXED;
  const words = new BigUint64Array(NATIVE.WINDOW_SIZE / 8);
  for (let i = 0; i < words.length; i++) words[i] = (next() & 1) === 0 ? u64() : value();
  return { gpr, rflags, window: new Uint8Array(words.buffer) };
}

const LOW_HALF = 0xffff_ffffn;
const LEGACY_REGISTERS = 8;

/** The same for 16- and 32-bit code: EAX to EDI, and zeros that it cannot see. */
export function seededState32(seed: number): SeededState {
  const { gpr, rflags, window } = seededState(seed);
  return { gpr: gpr.map((value, i) => (i < LEGACY_REGISTERS ? value & LOW_HALF : 0n)), rflags, window };
}
