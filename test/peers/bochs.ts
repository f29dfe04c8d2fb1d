// bochs, as Debian builds it: the nearest to a reference among software processors.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firmware, usedRuns } from './firmware.ts';
import { collect, type Peer, type Start } from './peer.ts';

const BOCHS = 'bochs';
/** Files that bochs loads into memory at most (optramimage1 to 4). */
const MOST_IMAGES = 4;
const ROM_BLOCK = 512;
const MIB = 2 ** 20;

async function configure(start: Start, folder: string): Promise<string> {
  writeFileSync(join(folder, 'firmware'), await firmware(start.registers));
  writeFileSync(join(folder, 'vga'), new Uint8Array(ROM_BLOCK));
  const images = usedRuns(start, MOST_IMAGES).map(([from, to], i) => {
    const file = join(folder, `memory${i}`);
    writeFileSync(file, start.memory.subarray(from, to));
    return `optramimage${i + 1}: file=${file}, address=0x${from.toString(16)}`;
  });
  const megabytes = start.memory.length / MIB;
  return [
    `memory: guest=${megabytes}, host=${megabytes}`,
    `romimage: file=${join(folder, 'firmware')}, address=0xffff0000`,
    // It wants one, and nothing runs it.
    `vgaromimage: file=${join(folder, 'vga')}`,
    ...images,
    'cpu: count=1, model=corei7_skylake_x, reset_on_triple_fault=0, ignore_bad_msrs=0',
    'clock: sync=none',
    'port_e9_hack: enabled=1',
    // The speaker of Debian's build asks ALSA, and aborts where there is no sound card.
    'sound: driver=dummy',
    'display_library: rfb, options="timeout=0"',
    // Its mixer dies where there is no sound to be had.
    'sound: driver=dummy, waveout=none, wavein=none, midiout=none',
    'log: /dev/null',
    'panic: action=fatal',
    'error: action=ignore',
    'info: action=ignore',
    'debug: action=ignore',
  ].join('\n');
}

export const bochs: Peer = {
  name: 'bochs',
  available: () => (spawnSync(BOCHS, ['--help']).error === undefined ? true : `${BOCHS} is not installed`),
  // It tells on its way to a configuration that is not there.
  version() {
    const { stdout, stderr } = spawnSync(BOCHS, ['-q', '-f', 'none'], { encoding: 'latin1', timeout: 5000 });
    return /Bochs x86 Emulator (\d+\.\d+)/.exec(stdout + stderr)?.[1] ?? null;
  },
  async run(start, patience) {
    const folder = mkdtempSync(join(tmpdir(), 'trapline-bochs-'));
    writeFileSync(join(folder, 'bochsrc'), await configure(start, folder));
    writeFileSync(join(folder, 'commands'), 'continue\n'); // Debian's build stops in its debugger first
    const child = spawn(BOCHS, ['-q', '-f', join(folder, 'bochsrc'), '-rc', join(folder, 'commands')], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      return await collect(child.stdout, 'bochs', patience);
    } finally {
      child.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
