// Time for benchmarks: medians of rounds.

export interface Measured {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}

export const measured = (values: readonly number[]): Measured => ({
  min: Math.min(...values),
  median: median(values),
  max: Math.max(...values),
});

export const geomean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);

/** Runs `work`, which says how often it did its thing; nanoseconds for each. */
export function time(work: () => number): number {
  const start = process.hrtime.bigint();
  const times = work();
  return Number(process.hrtime.bigint() - start) / times;
}
