// Each boot protocol's guest prints what it was handed, and does so under QEMU's loaders and its BIOS too, where QEMU has the
// protocol. What firmware reserves at the top of memory is QEMU's own; lines about that are left out of the comparison.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assembleText, readFile } from '../../src/cli/load.ts';
import { brokenPromises, bootCase, casesOfFile, imageOfFile, runCase } from '../../src/testing/guestCases.ts';
import { flatten } from '../../src/vmm/image.ts';
import { loadImage } from '../../src/vmm/loaders/protocols.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { qemuAvailable } from '../peers/qemu.ts';
import { pvhFile } from '../vmm/pvhFile.ts';

const FOLDER = fileURLToPath(new URL('../../guests/boot', import.meta.url));
const INCLUDED = new Set(['print32.s', 'pvh.s']);
const guests = readdirSync(FOLDER).filter((name) => name.endsWith('.s') && !INCLUDED.has(name));
const PATIENCE = 1_000_000_000;
const COMMAND_LINE = 'a=1 b';
const MODULE = new TextEncoder().encode('a module\n');

const sourceOf = (name: string): string => new TextDecoder().decode(readFile(join(FOLDER, name)));
/** The file that `trapline asm --output` writes. */
const binaryOf = async (name: string): Promise<Uint8Array> =>
  flatten(await assembleText(sourceOf(name), join(FOLDER, name)));
const pvhKernel = async (): Promise<Uint8Array> =>
  pvhFile(await assembleText(sourceOf('pvh.s'), join(FOLDER, 'pvh.s')));

describe.each(guests)('guests/boot/%s', (name) => {
  const file = join(FOLDER, name);
  it.each(casesOfFile(file))('prints what it was handed: $name', async (guest) => {
    const machine = bootCase(await imageOfFile(file), guest);
    expect(brokenPromises(machine, runCase(machine, guest), guest)).toEqual([]);
  });

  it('is recognised when it is assembled', async () => {
    const bytes = await binaryOf(name);
    expect(loadImage(bytes).protocol.kind).toBe(
      basename(name) === 'bootsector.s' ? 'boot-sector' : basename(name, '.s'),
    );
  });
});

/** What a kernel prints that is given a command line and a module. */
function printed(bytes: Uint8Array): string {
  const modules = [{ name: 'module.txt', bytes: MODULE }];
  const image = { ...loadImage(bytes), name: 'kernel' };
  const machine = Machine.boot({ image, memory: 16 * 2 ** 20, commandLine: COMMAND_LINE, modules });
  machine.run({ maxCycles: PATIENCE });
  return machine.console.text;
}

it('a PVH kernel prints its start info', async () => {
  expect(printed(await pvhKernel())).toBe(`magic 336ec578
version 00000001
command a=1 b
modules 00000001
module a module

range 00000000 00000000 0009fc00 00000000 00000001${' '}
range 0009fc00 00000000 00000400 00000000 00000002${' '}
range 000f0000 00000000 00010000 00000000 00000002${' '}
range 00100000 00000000 00f00000 00000000 00000001${' '}
cr0 00000011
cr4 00000000
`);
});

it('a Linux kernel finds its initrd', async () => {
  expect(printed(await binaryOf('linux.s'))).toContain('command line: a=1 b\ninitrd of 9 bytes\na module\n4 ranges\n');
});

const available = qemuAvailable();
describe.skipIf(available !== true)(`under QEMU${available === true ? '' : ` (skipped: ${available})`}`, () => {
  let folder = '';
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'trapline-boot-'))));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What the guest prints, through a file: QEMU's UART throws away what a slow reader of a socket leaves no room for. */
  function qemu(file: Uint8Array, options: readonly string[]): string {
    writeFileSync(join(folder, 'kernel'), file);
    writeFileSync(join(folder, 'module.txt'), MODULE);
    const machine = ['-nodefaults', '-display', 'none', '-serial', 'file:printed', '-m', '16', '-cpu', 'max'];
    const all = [...machine, '-no-reboot', ...options];
    spawnSync('qemu-system-x86_64', all, { cwd: folder, stdio: 'ignore', timeout: 30_000 });
    return readFileSync(join(folder, 'printed'), 'latin1');
  }
  const kernel = (file: Uint8Array): string =>
    qemu(file, ['-machine', 'pc', '-kernel', 'kernel', '-append', COMMAND_LINE, '-initrd', 'module.txt']);
  /** Without lines about memory from 1 MiB on, of which QEMU's firmware takes some, and those that only it reserves. */
  const comparable = (text: string): string[] =>
    text
      .split(/\r?\n/)
      .filter(
        (line) =>
          !/^(upper|extended|(memory|range|map) (001|00fe|ff|00000000 000000fd|00000000 00000000 0002))/.test(line),
      );

  it('a Multiboot kernel is handed the same', async () => {
    const file = await binaryOf('multiboot.s');
    expect(comparable(printed(file))).toEqual(comparable(kernel(file)));
  });

  it('a PVH kernel is handed the same', async () => {
    const file = await pvhKernel();
    expect(comparable(printed(file))).toEqual(comparable(kernel(file)));
  });

  it('a boot sector finds the same BIOS', async () => {
    const file = await binaryOf('bootsector.s');
    const disk = ['-machine', 'pc,graphics=off', '-drive', 'file=kernel,format=raw,if=ide', '-boot', 'c'];
    const there = comparable(qemu(file, disk));
    const from = there.findIndex((line) => line.startsWith('drive'));
    const here = comparable(printed(file)).slice(0, -2);
    expect(there.slice(from, from + here.length)).toEqual(here);
  });
});
