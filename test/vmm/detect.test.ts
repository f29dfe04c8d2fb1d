import { describe, expect, it } from 'vitest';
import { detect } from '../../src/vmm/loaders/detect.ts';
import { DIRECT } from '../../src/vmm/image.ts';
import { loadRaw } from '../../src/vmm/loaders/raw.ts';
import { elfFile } from './elfFile.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const padded = (at: number, text: string): Uint8Array => {
  const file = new Uint8Array(at + 64).fill(0xee);
  file.set(bytes(text), at);
  return file;
};

describe('a file is what its bytes say', () => {
  it.each<[string, Uint8Array, string]>([
    ['tick', elfFile(0n, []), 'elf'],
    ['tick.s', elfFile(0n, []), 'elf'],
    ['boot.bin', Uint8Array.of(0xfa, 0xf4, 0x00, 0xff), 'raw'],
    ['boot', Uint8Array.of(0xfa, 0xf4, 0x00, 0xff), 'raw'],
    ['tick.s', bytes('_start:\n\thlt\n'), 'assembly'],
    ['tick', bytes('_start: hlt # and nothing else\r\n'), 'assembly'],
    ['tick.S', bytes('# guest\n.global _start\n_start: hlt\n'), 'assembly'],
    ['empty.s', new Uint8Array(0), 'empty'],
    ['blank.s', bytes(' \n\t\n'), 'empty'],
  ])('%s is %3$s', (name, contents, kind) => {
    expect(detect(contents, name).kind).toBe(kind);
  });
});

describe('what is no guest is named', () => {
  it.each<[string, Uint8Array, string]>([
    ['disk.iso', padded(0x8001, 'CD001'), 'a CD-ROM image'],
    ['x.tar', padded(257, 'ustar'), 'a tar file'],
    ['a.exe', Uint8Array.from([...bytes('MZ'), 0, 3]), 'a DOS, Windows or EFI program'],
    ['lib.a', Uint8Array.from([...bytes('!<arch>\n'), 0]), 'an archive of object files'],
    ['guest.gz', Uint8Array.of(0x1f, 0x8b, 8, 0), 'a gzip file'],
    ['cat.png', Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0), 'a PNG picture'],
    ['guest.c', bytes('int main(void) { return 0; }'), 'C source'],
    ['run.sh', bytes('#!/bin/sh\necho'), 'a script'],
    ['guest.asm', bytes('bits 64\nsection .text\nglobal _start\n_start: hlt\n'), 'NASM or MASM source'],
    ['guest.s', Uint8Array.of(0xfa, 0, 0xf4, 0xff), 'binary data under the name of a source'],
  ])('%s', (name, contents, what) => {
    expect(detect(contents, name)).toMatchObject({ kind: 'foreign', what, hint: expect.stringMatching(/./) as string });
  });
});

describe('a flat binary', () => {
  it('is its own memory and its own entry', () => {
    const contents = Uint8Array.of(0xf4);
    const image = loadRaw(contents, 0x7c00);
    expect(image).toMatchObject({
      format: 'raw',
      protocol: DIRECT,
      entry: 0x7c00n,
      segments: [{ gpa: 0x7c00, bytes: contents, memorySize: 1 }],
    });
  });

  it('refuses emptiness and impossible places', () => {
    expect(() => loadRaw(new Uint8Array(0), 0)).toThrow('the file is empty');
    expect(() => loadRaw(Uint8Array.of(1), -1)).toThrow(RangeError);
  });
});
