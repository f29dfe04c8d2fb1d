// Answers that count time: a counter of a device, which goes on at a fixed rate between two exits that read it.
//
// Theory. `d` units after the grant a counter tells (base + floor((rest + d * ticks) / cycles)) & mask: it counts `ticks` in so
// many cycles, had counted `base` at the grant, and `rest` / `cycles` of the next tick. All are integers and stay exact: `cycles` fits 32
// bits, `rest` is less, and `units * ticks + rest` fits 53 for any grant (countingClock.ts). Generated code computes the same
// (emitRecurrence.ts).

export interface Counter {
  readonly base: number;
  readonly rest: number;
  readonly ticks: number;
  readonly cycles: number;
  readonly mask: number;
}

/** What it tells `units` after the grant, unsigned. */
export const told = ({ base, rest, ticks, cycles, mask }: Counter, units: number): number =>
  ((base + Math.floor((rest + units * ticks) / cycles)) & mask) >>> 0;
