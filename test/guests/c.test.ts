// The guest in C: what gcc makes of ordinary code, at several levels of optimisation, does what its source promises.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootCase, brokenPromises, guestCases, imageOfFile, runCase } from '../../src/testing/guestCases.ts';

const FOLDER = join(dirname(fileURLToPath(import.meta.url)), '../../guests/c');
const missing = ['gcc', 'make'].filter((tool) => spawnSync(tool, ['--version']).status !== 0);
const skipped = missing.length === 0 ? '' : ` (skipped: no ${missing.join(', no ')})`;

describe.skipIf(missing.length > 0)(`the guest in C${skipped}`, () => {
  let build = '';
  beforeAll(() => {
    build = mkdtempSync(join(tmpdir(), 'trapline-c-'));
  });
  afterAll(() => rmSync(build, { recursive: true, force: true }));

  it.each(['-O0', '-O1', '-O2', '-O3', '-Os'])('keeps its promises when compiled with %s', async (level) => {
    const make = ['-s', '-B', '-C', FOLDER, 'CC=gcc', `OPTIMIZE=${level}`, `BUILD=${build}`];
    execFileSync('make', make, { stdio: 'pipe' });
    const source = join(FOLDER, 'main.c');
    const [guest] = guestCases(readFileSync(source, 'utf8'), source);
    const machine = bootCase(await imageOfFile(join(build, 'guest.elf')), guest);
    expect(brokenPromises(machine, runCase(machine, guest), guest)).toEqual([]);
  });
});
