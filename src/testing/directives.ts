// The directives at the head of a guest's source: what machine it wants and what it will say (docs/guests.md).

export interface Directives {
  readonly vcpus?: number;
  /** Bytes. */
  readonly memory?: number;
  readonly features?: readonly string[];
  readonly maxCycles?: number;
  /** Console lines in order; `*` stands for any run of characters. */
  readonly expect: readonly string[];
  /** How it ends: an exit status, or the kind of a RunResult. */
  readonly expectExit?: string;
}

/** A directive that cannot be read; the message names line and text. */
export class DirectiveError extends Error {}

const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9 };
const BINARY: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

function quantity(text: string, units: Readonly<Record<string, number>>, line: number): number {
  const [, digits, unit] = /^(\d+)([kKMG]?)$/.exec(text) ?? [];
  const factor = unit === undefined ? undefined : units[unit];
  if (digits === undefined || factor === undefined)
    throw new DirectiveError(`line ${line}: '${text}' is no quantity such as 64M`);
  return Number(digits) * factor;
}

/** Reads the comment lines in front of the first statement. Lines that are no directive are prose and are skipped. */
export function parseDirectives(source: string): Directives {
  const found: { -readonly [K in keyof Directives]: Directives[K] } = { expect: [] };
  const expect: string[] = [];
  for (const [index, text] of source.split('\n').entries()) {
    if (text.trim() === '') continue;
    if (!text.startsWith('#')) break;
    const [, key, value] = /^#\s*([a-z-]+):\s?(.*?)\s*$/.exec(text) ?? [];
    const line = index + 1;
    switch (key) {
      case 'vcpus':
        found.vcpus = quantity(value!, UNITS, line);
        break;
      case 'memory':
        found.memory = quantity(value!, BINARY, line);
        break;
      case 'features':
        found.features = value!.split(/[\s,]+/).filter((name) => name !== '');
        break;
      case 'max-cycles':
        found.maxCycles = quantity(value!, UNITS, line);
        break;
      case 'expect':
        expect.push(value!);
        break;
      case 'expect-exit':
        found.expectExit = value!;
        break;
      default:
        break;
    }
  }
  found.expect = expect;
  return found;
}

/** Whether a console line is as expected; `*` stands for any run of characters. */
export function matchesLine(pattern: string, line: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(line);
}
