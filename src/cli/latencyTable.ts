// Latencies as a table: a line for each design, median, p99 and maximum for each thing that was measured.

import type { Distribution } from '../lab/distribution.ts';

const CELL = 8;
const GROUP = 3 * CELL;

/** `lines`: each design with its distributions, as many as there are titles. */
export function latencyTable(
  titles: readonly string[],
  lines: readonly (readonly [design: string, distributions: readonly Distribution[]])[],
): string[] {
  const width = Math.max(...lines.map(([design]) => design.length)) + 2;
  const line = (design: string, groups: readonly string[]): string =>
    `  ${design.padEnd(width)}${groups.join('  ')}`.trimEnd();
  return [
    line('', titles.map(centred)),
    line(
      '',
      titles.map(() => cells(['median', 'p99', 'max'])),
    ),
    ...lines.map(([design, distributions]) =>
      line(
        design,
        distributions.map(({ median, p99, max }) => cells([median, p99, max])),
      ),
    ),
  ];
}

const centred = (title: string): string => title.padStart((GROUP + title.length) >> 1).padEnd(GROUP);
const cells = (values: readonly (string | number)[]): string =>
  values.map((value) => String(value).padStart(CELL)).join('');
