// Units of time in 64-bit fields of the state block, without a bigint.

import type { CpuState } from './state.ts';

/** to = from + units, for fields by offset; units fit 32 bits with their sign. */
export function addUnits(state: CpuState, to: number, from: number, units: number): void {
  const { words, word } = state;
  const source = word + (from >>> 2);
  const target = word + (to >>> 2);
  const before = words[source]!;
  const low = (before + units) >>> 0;
  const carry = units < 0 ? (low > before ? -1 : 0) : low < before ? 1 : 0;
  words[target] = low;
  words[target + 1] = words[source + 1]! + carry;
}
