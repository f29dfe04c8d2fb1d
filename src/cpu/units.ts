// Units of time in 64-bit fields of the state block, without a bigint.

import type { CpuState } from './state.ts';

/** to = from + units, for fields by offset; units are fewer than 2^32 either way. */
export function addUnits(state: CpuState, to: number, from: number, units: number): void {
  const { u32 } = state.views;
  const source = (state.base + from) >>> 2;
  const target = (state.base + to) >>> 2;
  const low = u32[source]! + units;
  const high = u32[source + 1]!;
  u32[target] = low;
  u32[target + 1] = low < 0 ? high - 1 : low > 0xffff_ffff ? high + 1 : high;
}
