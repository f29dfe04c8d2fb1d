// Multiboot 1: the information structure that a kernel finds (Multiboot Specification 0.6.96, 3.3).

import { GPR } from '../../x86/names/registers.ts';
import { ONE_MIB, VIDEO_HOLE } from '../ram.ts';
import { placeModules, type PlacedModule } from './modules.ts';
import { Placement } from './placement.ts';
import { enterProtectedMode } from './protectedMode.ts';
import { BootRecord, cString } from './record.ts';
import type { Boot } from './start.ts';
import { commandLineWithName, LOADER_NAME, TEXT_DISPLAY } from './words.ts';

const BOOTLOADER_MAGIC = 0x2badb002;
/** Where QEMU puts it too, when the image leaves room there. */
const INFO_FROM = 0x9000;
const INFO_SIZE = 120;
// prettier-ignore
const FIELD = {
  FLAGS: 0, MEM_LOWER: 4, MEM_UPPER: 8, CMDLINE: 16, MODS_COUNT: 20, MODS: 24, MMAP_LENGTH: 44, MMAP: 48, LOADER_NAME: 64,
  FRAMEBUFFER: 88, FRAMEBUFFER_PITCH: 96, FRAMEBUFFER_WIDTH: 100, FRAMEBUFFER_HEIGHT: 104, FRAMEBUFFER_BPP: 108, FRAMEBUFFER_TYPE: 109,
} as const;
// prettier-ignore
const HAS = { MEMORY: 1 << 0, CMDLINE: 1 << 2, MODULES: 1 << 3, MMAP: 1 << 6, LOADER_NAME: 1 << 9, FRAMEBUFFER: 1 << 12 } as const;
const ALL = Object.values(HAS).reduce((all, flag) => all | flag, 0);
const MODULE_ENTRY = 16;
const MMAP_ENTRY = 24;
const KIB = 1024;

/** Throws BootError, and has then changed nothing. */
export function startMultiboot(boot: Boot): void {
  const { vm, image, ram } = boot;
  const placement = new Placement(vm, ram);
  placement.image(image);
  const modules = placeModules(boot.modules, placement);
  const info = placeInformation(boot, placement, modules);
  placement.write();
  enterProtectedMode(vm, image.entry, (state) => {
    state.setGpr32(GPR.RAX, BOOTLOADER_MAGIC);
    state.setGpr32(GPR.RBX, info);
  });
}

function placeInformation(boot: Boot, placement: Placement, modules: readonly PlacedModule[]): number {
  const { map, lowEnd } = boot.ram;
  const strings = [LOADER_NAME, commandLineWithName(boot), ...modules.map(({ name }) => name)].map(cString);
  const mmapAt = INFO_SIZE;
  const modulesAt = mmapAt + map.length * MMAP_ENTRY;
  const stringsAt = modulesAt + modules.length * MODULE_ENTRY;
  const size = stringsAt + strings.reduce((sum, { length }) => sum + length, 0);
  const info = placement.find(size, 'the Multiboot information', { from: INFO_FROM, align: 16 });

  const record = new BootRecord(size);
  let at = stringsAt;
  const [loaderName, commandLine, ...moduleNames] = strings.map((bytes) => {
    record.bytes.set(bytes, at);
    at += bytes.length;
    return info + at - bytes.length;
  });
  record.u32(FIELD.FLAGS, ALL);
  record.u32(FIELD.MEM_LOWER, VIDEO_HOLE / KIB);
  record.u32(FIELD.MEM_UPPER, Math.max(0, lowEnd - ONE_MIB) / KIB);
  record.u32(FIELD.CMDLINE, commandLine!);
  record.u32(FIELD.LOADER_NAME, loaderName!);
  record.u32(FIELD.MODS_COUNT, modules.length);
  record.u32(FIELD.MODS, info + modulesAt);
  for (const [i, { gpa, size: length }] of modules.entries()) {
    record.u32(modulesAt + i * MODULE_ENTRY, gpa);
    record.u32(modulesAt + i * MODULE_ENTRY + 4, gpa + length);
    record.u32(modulesAt + i * MODULE_ENTRY + 8, moduleNames[i]!);
  }
  record.u32(FIELD.MMAP_LENGTH, map.length * MMAP_ENTRY);
  record.u32(FIELD.MMAP, info + mmapAt);
  for (const [i, range] of map.entries()) {
    const entry = mmapAt + i * MMAP_ENTRY;
    // The size does not count itself.
    record.u32(entry, MMAP_ENTRY - 4);
    record.u64(entry + 4, range.gpa);
    record.u64(entry + 12, range.size);
    record.u32(entry + 20, range.type);
  }
  record.u64(FIELD.FRAMEBUFFER, TEXT_DISPLAY.gpa);
  record.u32(FIELD.FRAMEBUFFER_PITCH, TEXT_DISPLAY.pitch);
  record.u32(FIELD.FRAMEBUFFER_WIDTH, TEXT_DISPLAY.width);
  record.u32(FIELD.FRAMEBUFFER_HEIGHT, TEXT_DISPLAY.height);
  record.u8(FIELD.FRAMEBUFFER_BPP, TEXT_DISPLAY.bits);
  record.u8(FIELD.FRAMEBUFFER_TYPE, TEXT_DISPLAY.type);
  placement.at(info, record.bytes, 'the Multiboot information');
  return info;
}
