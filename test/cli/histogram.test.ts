// Histograms in a terminal.

import { describe, expect, it } from 'vitest';
import { histogram } from '../../src/cli/histogram.ts';

/** The counts of a row, by the range it is labelled with. */
const countsOf = (lines: readonly string[]): Record<string, number[]> =>
  Object.fromEntries(
    lines.slice(1).map((line) => {
      const [, from, to, rest] = /^ *(\d+) to (\d+)(.*)$/.exec(line)!;
      return [`${from}-${to}`, [...rest!.matchAll(/# +(\d+)/g)].map(([, count]) => Number(count))];
    }),
  );

describe('a histogram', () => {
  it('has a row for each range in which any set has a sample, and a count for each sample', () => {
    const lines = histogram(new Map([['a', [1024, 1100, 1217, 1218]], ['b', [5000]]])); // prettier-ignore
    expect(countsOf(lines)).toEqual({ '1024-1217': [3], '1218-1448': [1], '4871-5792': [1] });
  });

  it('puts each value between the ends of its row', () => {
    for (let value = 1; value < 5000; value++) {
      const [range] = Object.keys(countsOf(histogram(new Map([['', [value]]]))));
      const [from, to] = range!.split('-').map(Number);
      expect(value, range).toBeGreaterThanOrEqual(from!);
      expect(value, range).toBeLessThanOrEqual(to!);
    }
  });

  it('draws a bar even for one sample among thousands', () => {
    const samples = [...Array.from({ length: 5000 }, () => 100), 9000];
    expect(histogram(new Map([['', samples]])).at(-1)).toMatch(/# +1$/);
  });
});
