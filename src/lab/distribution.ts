// What a set of latencies comes to.

/** In the unit of the samples. */
export interface Distribution {
  readonly count: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

/** By the nearest rank; a RangeError without samples. */
export function distributionOf(samples: ArrayLike<number>): Distribution {
  if (samples.length === 0) throw new RangeError('a distribution needs at least one sample, not none');
  const sorted = Float64Array.from(samples).sort();
  const rank = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1]!;
  return { count: sorted.length, median: rank(0.5), p99: rank(0.99), max: sorted.at(-1)! };
}
