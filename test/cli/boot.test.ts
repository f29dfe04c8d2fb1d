// How `trapline run` says what a file is, and how it is told to take it for something else.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { bootSector, bzImage, multibootElf, pvhElf } from '../vmm/kernels.ts';
import { ROOT, Trapline } from './trapline.ts';

const trapline = new Trapline();
afterAll(() => trapline.remove());

const LIMIT = ['--max-cycles', '10k'] as const;
const firstLine = ({ err }: { err: string }): string => err.split('\n')[0]!;

describe('run says what it took', () => {
  it.each<[string, Uint8Array, string]>([
    ['kernel.elf', multibootElf(32), 'kernel.elf is a Multiboot kernel (ELF32), entered at 0x10000c in 32-bit mode'],
    ['vmlinux', pvhElf(64), 'vmlinux is a PVH kernel (ELF64), entered at 0x100000 in 32-bit mode'],
    ['bzImage', bzImage(), 'bzImage is a Linux kernel (bzImage), entered at 0x100200 in 64-bit mode'],
    ['boot.img', bootSector(512), 'boot.img is a boot sector (flat), entered at 0x7c00 in real mode'],
    ['flat.bin', Uint8Array.of(0xf4, 0xff), 'flat.bin is a guest (flat), entered at 0x100000 in 64-bit mode'],
  ])('%s', async (name, bytes, line) => {
    const file = trapline.file(name, bytes);
    expect(firstLine(await trapline.run('run', file, ...LIMIT))).toBe(`trapline: ${line}`);
    expect((await trapline.run('run', file, '--quiet', ...LIMIT)).err).not.toContain(line);
  });
});

describe('--boot', () => {
  it('takes a file for something else', async () => {
    const file = trapline.file('both.elf', pvhElf(64));
    expect(firstLine(await trapline.run('run', file, '--boot', 'linux', ...LIMIT))).toBe(
      'trapline: both.elf is a Linux kernel (ELF64), entered at 0x100000 in 64-bit mode',
    );
  });

  it('is refused when the file is none', async () => {
    const file = trapline.file('small.bin', Uint8Array.of(0xf4, 0xff));
    const { status, err } = await trapline.run('run', file, '--boot', 'boot-sector');
    expect(status).toBe(4);
    expect(err).toContain('small.bin: it has 2 bytes, and a boot sector has 512\nTry: ');
  });

  it('names the protocols that there are', async () => {
    const { status, err } = await trapline.run('run', 'guests/hello.s', '--boot', 'efi');
    expect(status).toBe(2);
    expect(err).toContain(
      "there is no boot protocol 'efi'; --boot knows multiboot, multiboot2, pvh, linux, direct, boot-sector",
    );
  });
});

it('docs/booting.md has a row for each protocol', () => {
  const text = readFileSync(join(ROOT, 'docs/booting.md'), 'utf8');
  for (const name of ['multiboot', 'multiboot2', 'pvh', 'linux', 'direct', 'boot-sector'])
    expect(text).toContain(`| \`${name}\` |`);
});
