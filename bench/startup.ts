// What a user waits for: from the start of the command line tool to the first byte that a guest prints by its first instructions.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageFolder } from '../src/cli/load.ts';
import { measured, type Measured } from './clock.ts';

const FIRST_BYTE = '!'.charCodeAt(0);

/** Milliseconds; null where the tool has not been built. */
export async function startUp(rounds: number): Promise<Measured | null> {
  const cli = join(packageFolder(), 'dist', 'cli.js');
  if (!existsSync(cli)) return null;
  const guest = join(packageFolder(), 'bench', 'first.s');
  const times: number[] = [];
  for (let i = 0; i <= rounds; i++) times.push(await untilFirstByte([cli, 'run', guest]));
  return measured(times.slice(1)); // the first one reads the files for all
}

function untilFirstByte(command: readonly string[]): Promise<number> {
  const start = performance.now();
  const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'] });
  return new Promise((resolve, reject) => {
    let time: number | null = null;
    child.stdout.on('data', (chunk: Buffer) => {
      if (chunk[0] === FIRST_BYTE) time ??= performance.now() - start;
    });
    child.on('close', () => (time === null ? reject(new Error('the first guest printed nothing')) : resolve(time)));
  });
}
