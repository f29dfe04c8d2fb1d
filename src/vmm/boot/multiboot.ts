// Multiboot 1: the machine state and the information structure that a kernel finds (Multiboot Specification 0.6.96, 3.2, 3.3).
// Application processors stay as reset left them, and wait for INIT and SIPI.

import { flatCode32, flatData, writeSegment } from '../../cpu/segments/segments.ts';
import { CR0, GPR, RFLAGS, SEGMENT } from '../../x86/names/registers.ts';
import { ONE_MIB, VIDEO_HOLE } from '../ram.ts';
import { place } from './guestMemory.ts';
import type { Boot } from './start.ts';

const BOOTLOADER_MAGIC = 0x2badb002;
/** Where QEMU puts it too. */
const INFO = 0x9000;
const INFO_SIZE = 120;
const FIELD = {
  FLAGS: 0,
  MEM_LOWER: 4,
  MEM_UPPER: 8,
  CMDLINE: 16,
  MMAP_LENGTH: 44,
  MMAP: 48,
  LOADER_NAME: 64,
} as const;
const HAS = { MEMORY: 1 << 0, CMDLINE: 1 << 2, MMAP: 1 << 6, LOADER_NAME: 1 << 9 } as const;
const LOADER_NAME = 'trapline';
const MMAP_ENTRY = 24;
const KIB = 1024;

export function startMultiboot(boot: Boot): void {
  const { vm, image } = boot;
  for (const { gpa, bytes } of image.segments) place(vm, gpa, bytes);
  place(vm, INFO, information(boot));
  enterAt(boot);
}

function information({ image, ram, commandLine }: Boot): Uint8Array {
  const { map } = ram;
  const name = text(LOADER_NAME);
  const line = text([image.name ?? 'kernel', commandLine].join(' ').trim());
  const mmapAt = INFO_SIZE;
  const nameAt = mmapAt + map.length * MMAP_ENTRY;
  const lineAt = nameAt + name.length;
  const bytes = new Uint8Array(lineAt + line.length);
  const view = new DataView(bytes.buffer);
  const set = (at: number, value: number): void => view.setUint32(at, value, true);
  set(FIELD.FLAGS, HAS.MEMORY | HAS.CMDLINE | HAS.MMAP | HAS.LOADER_NAME);
  set(FIELD.MEM_LOWER, VIDEO_HOLE / KIB);
  set(FIELD.MEM_UPPER, (ram.lowEnd - ONE_MIB) / KIB);
  set(FIELD.CMDLINE, INFO + lineAt);
  set(FIELD.MMAP_LENGTH, map.length * MMAP_ENTRY);
  set(FIELD.MMAP, INFO + mmapAt);
  set(FIELD.LOADER_NAME, INFO + nameAt);
  for (const [i, { gpa, size, type }] of map.entries()) {
    const at = mmapAt + i * MMAP_ENTRY;
    set(at, MMAP_ENTRY - 4);
    view.setBigUint64(at + 4, BigInt(gpa), true);
    view.setBigUint64(at + 12, BigInt(size), true);
    set(at + 20, type);
  }
  bytes.set(name, nameAt);
  bytes.set(line, lineAt);
  return bytes;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(`${value}\0`);

/** 32-bit mode without paging, flat segments of 4 GiB, A20 on, interrupts off. */
function enterAt({ vm, image }: Boot): void {
  const { guest } = vm.vcpus[0]!;
  const { state } = guest;
  state.setGpr32(GPR.RAX, BOOTLOADER_MAGIC);
  state.setGpr32(GPR.RBX, INFO);
  state.rip = image.entry;
  state.rflags = RFLAGS.FIXED;
  state.cr0 = CR0.PE | CR0.ET;
  writeSegment(state, SEGMENT.CS, flatCode32(0x08, 0));
  for (const index of [SEGMENT.ES, SEGMENT.SS, SEGMENT.DS, SEGMENT.FS, SEGMENT.GS])
    writeSegment(state, index, flatData(0x10, 0));
  guest.registersReplaced();
}
