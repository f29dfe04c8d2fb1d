// Lines for a terminal.

const WIDTH = 120;

/** Joins lines; those of prose, which begin with no space, are broken between words where they are too long. */
export const wrapped = (lines: readonly string[]): string => lines.flatMap((line) => wrap(line, WIDTH)).join('\n');

function wrap(line: string, width: number): string[] {
  if (line.length <= width || line.startsWith(' ')) return [line];
  const at = line.lastIndexOf(' ', width);
  return [line.slice(0, at), ...wrap(line.slice(at + 1), width)];
}
