// Runs the command line as a user does: in this process, which is quick, or as a process of its own where that is the point.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { vi } from 'vitest';
import { commandLine } from '../../src/cli/commandLine.ts';
import { bundle } from '../../transform/bundle.ts';

export const ROOT = resolve(import.meta.dirname, '../..');

export interface Outcome {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** A bundle in a folder of its own, and files for it to work on. */
export class Trapline {
  readonly folder = mkdtempSync(join(ROOT, 'node_modules/.trapline-test-'));
  readonly #cli = join(this.folder, 'cli.mjs');

  /** Bundles the program, for `start` and `shell`. */
  async build(): Promise<void> {
    await bundle({
      entryPoints: [join(ROOT, 'src/cli/main.ts')],
      outfile: this.#cli,
      external: ['keystone-wasm', 'capstone-wasm', 'vitest'],
    });
  }

  /** Runs a command in this process. */
  async run(...args: string[]): Promise<Outcome> {
    const written = { out: '', err: '' };
    const collect = (to: 'out' | 'err') => (chunk: unknown) => {
      written[to] += typeof chunk === 'string' ? chunk : new TextDecoder().decode(chunk as Uint8Array);
      return true;
    };
    const spies = [
      vi.spyOn(process.stdout, 'write').mockImplementation(collect('out')),
      vi.spyOn(process.stderr, 'write').mockImplementation(collect('err')),
    ];
    try {
      return { status: await commandLine(args), ...written };
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
  }

  /** Starts it and hands over the process. */
  start(...args: string[]) {
    return spawn(process.execPath, [this.#cli, ...args], { cwd: ROOT });
  }

  /** A shell pipeline in which `trapline` is the command. */
  shell(pipeline: string): Outcome {
    const line = pipeline.replace(/\btrapline\b/, `"${process.execPath}" "${this.#cli}"`);
    const { status, stdout, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', line], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    return { status, out: stdout, err: stderr };
  }

  /** Writes a file and returns its path. */
  file(name: string, contents: string | Uint8Array): string {
    const path = join(this.folder, name);
    writeFileSync(path, contents);
    return path;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
