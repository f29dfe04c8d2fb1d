// The guest test runner: each guest file is a test, or one for each of its cases, and what it promises in its directives is
// what is checked.

import { basename } from 'node:path';
import { loadGuest, readFile } from '../cli/load.ts';
import type { Image } from '../vmm/image.ts';
import { Machine } from '../vmm/machine.ts';
import { exitStatus, type RunResult } from '../vmm/result.ts';
import { machineWishes, type GuestOptions } from './bootGuest.ts';
import { matchesLine, parseDirectives, type Directives } from './directives.ts';

export interface GuestCase {
  /** `tick`, or `lazy/on` for a case of a file. */
  readonly name: string;
  readonly directives: Directives;
}

/** The cases that a source promises. `file` names them. */
export function guestCases(source: string, file: string): GuestCase[] {
  const { cases, ...whole } = parseDirectives(source, file);
  const name = basename(file).replace(/\.\w+$/, '');
  return cases.length === 0
    ? [{ name, directives: whole }]
    : cases.map((each) => ({ name: `${name}/${each.name}`, directives: each }));
}

/** The cases of a guest's source file. */
export const casesOfFile = (file: string): GuestCase[] => guestCases(new TextDecoder().decode(readFile(file)), file);

/** Assembles or loads the guest of a file. */
export const imageOfFile = (file: string): Promise<Image> => loadGuest(file);

/** Boots a case; `options` replace what its directives ask for. */
export const bootCase = (image: Image, { directives }: GuestCase, options: GuestOptions = {}): Machine =>
  Machine.boot({ image, ...machineWishes(directives), ...options });

/** Runs a case to its end. */
export const runCase = (machine: Machine, { directives }: GuestCase): RunResult =>
  machine.run(directives.maxCycles === undefined ? {} : { maxCycles: directives.maxCycles });

/** What a run did not keep of what its guest promises, a message each; empty when all is well. */
export function brokenPromises(machine: Machine, result: RunResult, { directives }: GuestCase): string[] {
  const { expect, expectExit } = directives;
  const broken: string[] = [];
  const asExpected = typeof expectExit === 'number' ? exitStatus(result) === expectExit : result.kind === expectExit;
  if (!asExpected) {
    const ended = `${result.kind}, exit status ${exitStatus(result)}`;
    broken.push(`expected the machine to end with ${expectExit}, and it ended with ${ended}`);
  }
  if (expect.length === 0) return broken;
  const lines = machine.console.text.replace(/\r?\n$/, '').split(/\r?\n/);
  for (let i = 0; i < Math.max(expect.length, lines.length); i++) {
    const [wanted, found] = [expect[i], lines[i]];
    if (wanted !== undefined && found !== undefined && matchesLine(wanted, found)) continue;
    const at = `line ${i + 1} of the console`;
    if (found === undefined) broken.push(`${at}: expected '${wanted}', and nothing was printed`);
    else if (wanted === undefined) broken.push(`${at}: '${found}' is more than was expected`);
    else broken.push(`${at}: expected '${wanted}', found '${found}'`);
  }
  return broken;
}
