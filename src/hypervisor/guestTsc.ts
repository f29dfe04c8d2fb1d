// The guest's time-stamp counter: host cycles plus an offset, modulo 2^64. There is no scaling: one host cycle is one tick.
//
// Theory: the counter is u64 and exact; host positions are numbers. As long as the offset is small enough for an exact sum,
// which it is unless a guest has written its TSC far ahead, no bigint is needed to bring the counter up to date.

import type { SavedFields } from '../cpu/savedFields.ts';
import { highWord, lowWord } from '../cpu/words.ts';

/** The upper word of an offset of which sums are exact lies within this. */
const SMALL = 2 ** 20;
/** Turns a value into its upper word: a product, which is cheaper than a quotient. */
const UPPER_WORD = 2 ** -32;

const words = new Uint32Array(2);
const word64 = new BigUint64Array(words.buffer);

export class GuestTsc {
  #offset = 0n;
  /** The same as a signed number of at most 53 bits; else NaN. */
  #small = 0;

  /** Guest TSC minus host cycles, modulo 2^64: KVM's tsc_offset. */
  get offset(): bigint {
    return this.#offset;
  }
  set offset(value: bigint) {
    word64[0] = this.#offset = BigInt.asUintN(64, value);
    const high = words[1]! | 0;
    this.#small = high >= -SMALL && high < SMALL ? high * 2 ** 32 + words[0]! : NaN;
  }

  transfer(fields: SavedFields): void {
    this.offset = fields.value('offset', this.offset);
  }

  /** The counter when the host stands at `now` cycles. */
  at(now: number): bigint {
    this.store(now, words, 0);
    return word64[0]!;
  }

  /** Host cycles from position `now` until the counter reaches `deadline`; below 0: since then. Rounded beyond 2^53. */
  cyclesUntil(deadline: bigint, now: number): number {
    const exact = Number(deadline);
    const small = now + this.#small;
    if (exact <= Number.MAX_SAFE_INTEGER && small >= 0 && small <= Number.MAX_SAFE_INTEGER) return exact - small;
    return Number(deadline - this.at(now));
  }

  /** Writes the counter at host position `now` into words `index` and `index + 1` of a little-endian memory. */
  store(now: number, memory: Uint32Array, index: number): void {
    const small = now + this.#small;
    if (!(small >= 0 && small <= Number.MAX_SAFE_INTEGER)) {
      this.#storeLarge(now, memory, index);
      return;
    }
    memory[index] = small >>> 0;
    memory[index + 1] = (small * UPPER_WORD) >>> 0;
  }

  #storeLarge(now: number, memory: Uint32Array, index: number): void {
    const value = BigInt(now) + this.#offset;
    memory[index] = lowWord(value);
    memory[index + 1] = highWord(value);
  }
}
