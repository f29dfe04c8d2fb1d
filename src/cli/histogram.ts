// Samples drawn in a terminal: one row for each range of values, one column of bars for each set of samples.

/** Bars end at this width. */
const BAR = 16;
const COUNT = 6;
const RANGE = 18;
/** Four ranges for each doubling: fine enough to tell designs apart, few enough for a screen. */
const PER_DOUBLING = 4;

const rangeOf = (value: number): number => Math.floor(PER_DOUBLING * Math.log2(Math.max(value, 1)));
/** The smallest whole number in a range. */
const startOf = (range: number): number => Math.ceil(2 ** (range / PER_DOUBLING) - 1e-9);

/** Ranges in which no set has a sample are left out. Bars are to scale within their set; a sample is never without one. */
export function histogram(sets: ReadonlyMap<string, readonly number[]>): string[] {
  const counts = [...sets.values()].map(countByRange);
  const ranges = [...new Set(counts.flatMap((count) => [...count.keys()]))].sort((a, b) => a - b);
  const head = [...sets.keys()].map((name) => `  ${name.padEnd(BAR + COUNT)}`).join('');
  return [
    `${''.padEnd(RANGE)}${head}`.trimEnd(),
    ...ranges.map((range) => {
      const label = `${startOf(range)} to ${startOf(range + 1) - 1}`;
      const bars = counts.map((count) => bar(count.get(range) ?? 0, Math.max(...count.values())));
      return `${label.padStart(RANGE)}${bars.join('')}`.trimEnd();
    }),
  ];
}

function countByRange(samples: readonly number[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const sample of samples) counts.set(rangeOf(sample), (counts.get(rangeOf(sample)) ?? 0) + 1);
  return counts;
}

function bar(count: number, most: number): string {
  if (count === 0) return ''.padEnd(BAR + COUNT + 2);
  const length = Math.max(1, Math.round((BAR * count) / most));
  return `  ${'#'.repeat(length).padEnd(BAR)}${String(count).padStart(COUNT)}`;
}
