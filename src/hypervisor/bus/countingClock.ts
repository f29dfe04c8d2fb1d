// A clock of a device that counts the host's: ticks of `hz` by cycles of `frequency`, exactly.

import type { Counter } from '../../cpu/code/counter.ts';

/** Numbers have to fit these: products in JavaScript, units granted, cycles in generated code (counter.ts). */
const EXACT = Number.MAX_SAFE_INTEGER;
const MOST_UNITS = 2 ** 31;
const MOST_CYCLES = 0xffff_ffff;

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

export class CountingClock {
  /** So many ticks in so many cycles, in lowest terms. */
  readonly ticks: number;
  readonly cycles: number;
  /** The bits that are told. */
  readonly mask: number;

  /**
   * `hz` and `frequency` are whole numbers of Hz from 1 on, `mask` the lowest bits of 32. Throws RangeError for others, and for rates
   * that it could not count exactly.
   */
  constructor(hz: number, frequency: number, mask: number) {
    for (const rate of [hz, frequency])
      if (!Number.isSafeInteger(rate) || rate < 1) throw new RangeError(`a clock has whole Hz from 1 on, not ${rate}`);
    if (!Number.isInteger(Math.log2(mask + 1)) || mask < 1 || mask > MOST_CYCLES)
      throw new RangeError(`a clock tells its lowest bits, up to 32: its mask is 1, 3, 7 ... 0xffffffff, not ${mask}`);
    const common = gcd(hz, frequency);
    this.ticks = hz / common;
    this.cycles = frequency / common;
    this.mask = mask;
    if (this.ticks * Math.max(this.cycles, MOST_UNITS) + this.cycles > EXACT || this.cycles > MOST_CYCLES)
      throw new RangeError(`a clock of ${hz} Hz cannot be counted in cycles of ${frequency} Hz`);
  }

  /** Ticks up to a position of the host's clock. */
  count(position: number): number {
    const part = position % this.cycles;
    return ((position - part) / this.cycles) * this.ticks + Math.floor((part * this.ticks) / this.cycles);
  }

  /** As of a position at which units are granted. */
  counterAt(position: number): Counter {
    const { ticks, cycles, mask } = this;
    const count = this.count(position);
    const rest = ((position % cycles) * ticks) % cycles;
    return { base: count % (mask + 1), rest, ticks, cycles, mask };
  }
}
