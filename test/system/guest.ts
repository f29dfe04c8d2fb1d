// A guest of cases: its image, and the lines that its source promises beside each case.

import { readFileSync } from 'node:fs';
import { assembleText } from '../../src/cli/load.ts';
import type { Image } from '../../src/vmm/image.ts';

export interface Case {
  readonly name: string;
  /** What the manual promises, as the guest prints it. */
  readonly promised: string;
  /** The lines of the source from `case` on and past the promise. */
  readonly from: number;
  readonly to: number;
}

export interface SystemGuest {
  readonly cases: readonly Case[];
  /** The guest, with all of its cases but some. */
  image(without: ReadonlySet<string>): Promise<Image>;
}

const CASE = /^\s*case\s+"([^"]*)"/;
const PROMISE = /^\s*#= (.*)$/;

/** Takes a guest apart. Throws if a case has no promise, or a promise no case. */
export function systemGuest(file: string): SystemGuest {
  const lines = readFileSync(file, 'utf8').split('\n');
  const cases = casesOf(lines, file);
  return {
    cases,
    image(without) {
      const left = lines.slice();
      for (const { name, from, to } of cases) if (without.has(name)) left.fill('', from, to);
      return assembleText(left.join('\n'), file);
    },
  };
}

function casesOf(lines: readonly string[], file: string): Case[] {
  const cases: Case[] = [];
  let open: { name: string; from: number } | null = null;
  const refuseOpen = (): void => {
    if (open !== null) throw new Error(`${file}: nothing is promised for the case '${open.name}'`);
  };
  lines.forEach((line, i) => {
    const name = CASE.exec(line)?.[1];
    if (name !== undefined) {
      refuseOpen();
      open = { name, from: i };
    }
    const promised = PROMISE.exec(line)?.[1];
    if (promised === undefined) return;
    if (open === null) throw new Error(`${file}: '${promised}' is promised for no case`);
    cases.push({ ...open, promised, to: i + 1 });
    open = null;
  });
  refuseOpen();
  return cases;
}
