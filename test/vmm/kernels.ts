// The smallest file of each boot protocol, made field by field: its code is a HLT.

import { elfFile } from './elfFile.ts';
import { pvhNote } from './pvhFile.ts';

const HLT = 0xf4;
const MULTIBOOT = 0x1badb002;
const MULTIBOOT2 = 0xe85250d6;
const ADDRESSES = 1 << 16;
const PT_NOTE = 4;

const words = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

/** The fields of a Multiboot header in order, the checksum filled in. */
export const multibootHeaderOf = (flags: number, ...rest: number[]): Uint8Array =>
  words(MULTIBOOT, flags, -(MULTIBOOT + flags) >>> 0, ...rest);

/** Bytes at an offset of a file that is HLT otherwise. */
export function fileWith(at: number, bytes: Uint8Array, size: number): Uint8Array {
  const file = new Uint8Array(size).fill(HLT);
  file.set(bytes, at);
  return file;
}

export const multibootElf = (bits: 32 | 64): Uint8Array =>
  elfFile(0x10_000cn, [{ vaddr: 0x10_0000n, bytes: fileWith(0, multibootHeaderOf(3), 32) }], [], { bits });

export const multibootFlat = (): Uint8Array =>
  fileWith(0, multibootHeaderOf(ADDRESSES, 0x10_0000, 0x10_0000, 0, 0, 0x10_0020), 64);

/** Tags of a Multiboot 2 header: type (with flags above bit 16), size, contents. */
export const MULTIBOOT2_TAG = {
  address: (header: number, load: number): number[] => [2, 24, header, load, 0, 0],
  entry: (at: number): number[] => [3, 12, at],
  end: [0, 8],
} as const;

/** A file with such a header at an offset. */
export function multiboot2(
  tags: readonly (readonly number[])[] = [
    MULTIBOOT2_TAG.address(0x10_0000, 0x10_0000),
    MULTIBOOT2_TAG.entry(0x10_0010),
    MULTIBOOT2_TAG.end,
  ],
  at = 0,
): Uint8Array {
  const padded = tags.flatMap((tag) => (tag.length % 2 === 0 ? tag : [...tag, 0]));
  const length = 16 + 4 * padded.length;
  const header = words(MULTIBOOT2, 0, length, -(MULTIBOOT2 + length) >>> 0, ...padded);
  return fileWith(at, header, at + length + 16);
}

export const pvhElf = (bits: 32 | 64): Uint8Array =>
  elfFile(
    0x10_0000n,
    [
      { vaddr: 0x10_0000n, bytes: Uint8Array.of(HLT) },
      { type: PT_NOTE, vaddr: 0n, bytes: pvhNote(0x10_0000) },
    ],
    [],
    { bits },
  );

/** Boot protocol 2.15, one sector of setup code, a kernel of 1 KiB that wants to lie at 1 MiB. */
export function bzImage(): Uint8Array {
  const file = new Uint8Array(2048).fill(HLT, 1024);
  const view = new DataView(file.buffer);
  file[0x1f1] = 1;
  view.setUint16(0x1fe, 0xaa55, true);
  file.set([0xeb, 0x66], 0x200);
  file.set(new TextEncoder().encode('HdrS'), 0x202);
  view.setUint16(0x206, 0x020f, true);
  file[0x211] = 1;
  view.setUint32(0x22c, 0x7fff_ffff, true);
  view.setUint16(0x236, 1, true);
  view.setUint32(0x238, 255, true);
  view.setBigUint64(0x258, 0x10_0000n, true);
  view.setUint32(0x260, 0x1_0000, true);
  return file;
}

export function bootSector(size: number): Uint8Array {
  const file = new Uint8Array(size).fill(HLT);
  file.set([0x55, 0xaa], 510);
  return file;
}
