// qemu-system-x86_64 (TCG, one vCPU).

import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { firmware, usedRuns } from './firmware.ts';
import { collect, type Peer, type Start } from './peer.ts';

const QEMU = 'qemu-system-x86_64';
const MOST_LOADERS = 64;

/** True, or why this machine cannot run QEMU. */
export function qemuAvailable(): true | string {
  return spawnSync(QEMU, ['--version']).status === 0 ? true : `${QEMU} is not installed`;
}

/** A QEMU that was started. */
export interface Qemu {
  readonly child: ChildProcessByStdio<null, Readable, null>;
  readonly folder: string;
  stop(): void;
}

/** Starts QEMU at a guest's start. `extra`: further arguments, made with the folder that goes away with it. */
export async function spawnQemu(start: Start, extra: (folder: string) => readonly string[] = () => []): Promise<Qemu> {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-qemu-'));
  writeFileSync(join(folder, 'firmware'), await firmware(start.registers));
  const loaders = usedRuns(start, MOST_LOADERS).flatMap(([from, to]) => {
    const file = join(folder, `${from}`);
    writeFileSync(file, start.memory.subarray(from, to));
    return ['-device', `loader,file=${file},addr=${from},force-raw=on`];
  });
  // prettier-ignore
  const child = spawn(QEMU, [
    '-machine', 'pc', '-accel', 'tcg', '-cpu', 'max,vendor=GenuineIntel', '-smp', '1', '-m', `${start.memory.length >> 20}`,
    '-nodefaults', '-display', 'none', '-serial', 'null', '-no-reboot', '-bios', join(folder, 'firmware'), ...loaders,
    '-debugcon', 'stdio', ...extra(folder),
  ], { stdio: ['ignore', 'pipe', 'ignore'] });
  const stop = (): void => {
    child.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  return { child, folder, stop };
}

export const qemu: Peer = {
  name: 'QEMU',
  available: qemuAvailable,
  version: () => /version (\d+\.\d+)/.exec(spawnSync(QEMU, ['--version'], { encoding: 'utf8' }).stdout)?.[1] ?? null,
  async run(start, patience) {
    const { child, stop } = await spawnQemu(start);
    try {
      return await collect(child.stdout, 'QEMU', patience);
    } finally {
      stop();
    }
  },
};
