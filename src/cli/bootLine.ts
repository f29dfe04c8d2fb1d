// Says how a guest is started, where its file and not the user decided that.

import type { Image, ImageFormat, ProtocolName } from '../vmm/image.ts';

const FORMAT: Readonly<Record<ImageFormat, string>> = {
  assembly: 'assembled',
  elf32: 'ELF32',
  elf64: 'ELF64',
  bzimage: 'bzImage',
  raw: 'flat',
};

const KERNEL: Readonly<Record<ProtocolName, { what: string; mode: string }>> = {
  direct: { what: 'a guest', mode: '64-bit mode' },
  multiboot: { what: 'a Multiboot kernel', mode: '32-bit mode' },
  multiboot2: { what: 'a Multiboot 2 kernel', mode: '32-bit mode' },
  pvh: { what: 'a PVH kernel', mode: '32-bit mode' },
  linux: { what: 'a Linux kernel', mode: '64-bit mode' },
  'boot-sector': { what: 'a boot sector', mode: 'real mode' },
};

/** What is told before the guest runs, a line each; none for what trapline is made for: sources and ELF64 files that start in 64-bit mode. */
export function bootLines({ name = 'the guest', format, protocol, entry }: Image): string[] {
  if (protocol.kind === 'direct' && format !== 'raw') return [];
  const { what, mode } = KERNEL[protocol.kind];
  const lines = [`trapline: ${name} is ${what} (${FORMAT[format]}), entered at 0x${entry.toString(16)} in ${mode}`];
  if ('wanted' in protocol) lines.push(`trapline: ${name} would prefer ${protocol.wanted}; the display has text only`);
  return lines;
}
