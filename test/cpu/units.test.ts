import fc from 'fast-check';
import { expect, it } from 'vitest';
import { OFFSET } from '../../src/cpu/state.ts';
import { addUnits } from '../../src/cpu/units.ts';
import { bareCpu } from './bare.ts';

const WORD = 0xffff_ffffn;

it('units are added to 64 bits, and carried and borrowed between the words', () => {
  const { state } = bareCpu().cpu;
  const word = fc.oneof(fc.constantFrom(0n, 1n, 0x7fff_ffffn, 0x8000_0000n, WORD - 1n, WORD), fc.bigInt({ min: 0n, max: WORD })); // prettier-ignore
  const units = fc.oneof(fc.constantFrom(0, 1, -1, 0x7fff_ffff, -0x7fff_ffff, -0x8000_0000), fc.integer());
  fc.assert(
    fc.property(word, word, units, (high, low, by) => {
      state.tsc = (high << 32n) | low;
      const expected = BigInt.asUintN(64, state.tsc + BigInt(by));
      addUnits(state, OFFSET.tscEnd, OFFSET.tsc, by);
      expect(state.tscEnd).toBe(expected);
      addUnits(state, OFFSET.tsc, OFFSET.tsc, by);
      expect(state.tsc).toBe(expected);
    }),
  );
});
