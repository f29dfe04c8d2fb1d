// A clock that counts the host's cycles, against whole numbers of any size: wherever units are granted, and however many later it is read.

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { told } from '../../src/cpu/code/counter.ts';
import { CountingClock } from '../../src/hypervisor/bus/countingClock.ts';

const KHZ = fc.integer({ min: 10_000, max: 20_000_000 });
const HZ = fc.constantFrom(3_579_545, 32_768, 1_000_000, 1);
/** Days at 20 GHz. */
const POSITION = fc.integer({ min: 0, max: 2 ** 52 });
const MASK = fc.constantFrom(0xff_ffff, 0xffff_ffff, 0xffff);

const exact = (position: number, hz: number, khz: number): bigint =>
  (BigInt(position) * BigInt(hz)) / (BigInt(khz) * 1000n);

it('counts whole ticks', () => {
  fc.assert(
    fc.property(POSITION, HZ, KHZ, (position, hz, khz) => {
      const clock = clockOf(hz, khz);
      if (clock !== null) expect(BigInt(clock.count(position))).toBe(exact(position, hz, khz));
    }),
  );
});

it('is told the same from any grant on, up to the tick that a unit completes', () => {
  fc.assert(
    fc.property(POSITION, fc.nat(2 ** 22), HZ, KHZ, MASK, (position, units, hz, khz, mask) => {
      const clock = clockOf(hz, khz, mask);
      if (clock === null) return;
      const counter = clock.counterAt(position);
      const next = Math.ceil(
        ((Math.floor((counter.rest + units * clock.ticks) / clock.cycles) + 1) * clock.cycles - counter.rest) /
          clock.ticks,
      );
      for (const at of [units, next - 1, next])
        if (at >= 0 && at < 2 ** 31)
          expect(BigInt(told(counter, at))).toBe(exact(position + at, hz, khz) & BigInt(mask));
    }),
  );
});

it('refuses rates that it could not count exactly', () => {
  expect(() => new CountingClock(3_579_545, 4_999_999_999, 0xff_ffff)).toThrow(
    'a clock of 3579545 Hz cannot be counted in cycles of 4999999999 Hz',
  );
});

it.each([
  [0, 1000, 0xff, 'whole Hz from 1 on, not 0'],
  [NaN, 1000, 0xff, 'whole Hz from 1 on, not NaN'],
  [1000, Infinity, 0xff, 'whole Hz from 1 on, not Infinity'],
  [1000, 0.5, 0xff, 'whole Hz from 1 on, not 0.5'],
  [1000, 1000, 0x100, 'not 256'],
  [1000, 1000, 0, 'not 0'],
  [1000, 1000, -1, 'not -1'],
  [1000, 1000, NaN, 'not NaN'],
  [1000, 1000, 2 ** 33 - 1, 'not 8589934591'],
])('refuses %s Hz by %s Hz with mask %s', (hz, frequency, mask, why) => {
  expect(() => new CountingClock(hz, frequency, mask)).toThrow(why);
});

/** Null: it is refused. */
function clockOf(hz: number, khz: number, mask = 0xff_ffff): CountingClock | null {
  try {
    return new CountingClock(hz, khz * 1000, mask);
  } catch {
    return null;
  }
}
