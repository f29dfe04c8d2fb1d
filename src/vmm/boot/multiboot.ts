// Multiboot 1: the information structure that a kernel finds (Multiboot Specification 0.6.96, 3.3).

import { GPR } from '../../x86/names/registers.ts';
import type { MultibootWishes } from '../image.ts';
import { memoryMapRecords } from './memoryMap.ts';
import { placeModules, type PlacedModule } from './modules.ts';
import { Placement } from './placement.ts';
import { enterProtectedMode } from './protectedMode.ts';
import { BootRecord, cString } from './record.ts';
import { placeSections } from './sections.ts';
import type { Boot } from './start.ts';
import { LOADER_NAME, lowAndHighMemory, TEXT_DISPLAY } from './words.ts';

const BOOTLOADER_MAGIC = 0x2badb002;
/** Where QEMU puts it too, when the image leaves room there. */
const INFO_FROM = 0x9000;
const INFO_SIZE = 120;
// prettier-ignore
const FIELD = {
  FLAGS: 0, MEM_LOWER: 4, MEM_UPPER: 8, CMDLINE: 16, MODS_COUNT: 20, MODS: 24, ELF_COUNT: 28, ELF_SIZE: 32, ELF_ADDRESS: 36, ELF_NAMES: 40,
  MMAP_LENGTH: 44, MMAP: 48, LOADER_NAME: 64,
  FRAMEBUFFER: 88, FRAMEBUFFER_PITCH: 96, FRAMEBUFFER_WIDTH: 100, FRAMEBUFFER_HEIGHT: 104, FRAMEBUFFER_BPP: 108, FRAMEBUFFER_TYPE: 109,
} as const;
// prettier-ignore
const HAS = { MEMORY: 1 << 0, CMDLINE: 1 << 2, MODULES: 1 << 3, MMAP: 1 << 6, LOADER_NAME: 1 << 9, FRAMEBUFFER: 1 << 12 } as const;
const ALWAYS = Object.values(HAS).reduce((all, flag) => all | flag, 0);
const HAS_SECTIONS = 1 << 5;
const MODULE_ENTRY = 16;
/** An entry of the map, whose size does not count itself. */
const MAP_ENTRY = { size: 24, at: 4, prefix: 20 } as const;

/** Throws BootError, and has then changed nothing. */
export function startMultiboot(boot: Boot, wishes: MultibootWishes): void {
  const { vm, image, ram } = boot;
  const placement = new Placement(vm, ram);
  placement.image(image);
  const modules = placeModules(boot.modules, placement);
  const info = placeInformation(boot, wishes, placement, modules);
  placement.write();
  enterProtectedMode(vm, image.entry, (state) => {
    state.setGpr32(GPR.RAX, BOOTLOADER_MAGIC);
    state.setGpr32(GPR.RBX, info);
  });
}

/** The structure, and behind it what it points to. Returns its place. */
function placeInformation(
  { ram, image, commandLine }: Boot,
  { sections }: MultibootWishes,
  placement: Placement,
  modules: readonly PlacedModule[],
): number {
  const headers = sections === undefined ? new Uint8Array(0) : placeSections(sections, placement);
  const name = image.name ?? 'kernel';
  const parts = {
    map: memoryMapRecords(ram, MAP_ENTRY),
    modules: new Uint8Array(modules.length * MODULE_ENTRY),
    headers,
    loaderName: cString(LOADER_NAME),
    commandLine: cString(`${name} ${commandLine}`.trim()),
    moduleNames: modules.map(({ name }) => cString(name)),
  };
  const all = Object.values(parts).flat();
  const size = all.reduce((sum, { length }) => sum + length, INFO_SIZE);
  const info = placement.find(size, 'the Multiboot information', { from: INFO_FROM, align: 16 });

  const record = new BootRecord(size);
  const at = new Map<Uint8Array, number>();
  let end = INFO_SIZE;
  for (const part of all) {
    record.bytes.set(part, end);
    at.set(part, info + end);
    end += part.length;
  }
  const { lower, upper } = lowAndHighMemory(ram);
  record.u32(FIELD.FLAGS, ALWAYS | (sections === undefined ? 0 : HAS_SECTIONS));
  record.u32(FIELD.MEM_LOWER, lower);
  record.u32(FIELD.MEM_UPPER, upper);
  record.u32(FIELD.CMDLINE, at.get(parts.commandLine)!);
  record.u32(FIELD.LOADER_NAME, at.get(parts.loaderName)!);
  record.u32(FIELD.MODS_COUNT, modules.length);
  record.u32(FIELD.MODS, at.get(parts.modules)!);
  for (const [i, { gpa, size: length }] of modules.entries()) {
    const entry = at.get(parts.modules)! - info + i * MODULE_ENTRY;
    record.u32(entry, gpa);
    record.u32(entry + 4, gpa + length);
    record.u32(entry + 8, at.get(parts.moduleNames[i]!)!);
  }
  if (sections !== undefined) {
    record.u32(FIELD.ELF_COUNT, sections.count);
    record.u32(FIELD.ELF_SIZE, sections.entrySize);
    record.u32(FIELD.ELF_ADDRESS, at.get(headers)!);
    record.u32(FIELD.ELF_NAMES, sections.names);
  }
  record.u32(FIELD.MMAP_LENGTH, parts.map.length);
  record.u32(FIELD.MMAP, at.get(parts.map)!);
  record.u64(FIELD.FRAMEBUFFER, TEXT_DISPLAY.gpa);
  record.u32(FIELD.FRAMEBUFFER_PITCH, TEXT_DISPLAY.pitch);
  record.u32(FIELD.FRAMEBUFFER_WIDTH, TEXT_DISPLAY.width);
  record.u32(FIELD.FRAMEBUFFER_HEIGHT, TEXT_DISPLAY.height);
  record.u8(FIELD.FRAMEBUFFER_BPP, TEXT_DISPLAY.bits);
  record.u8(FIELD.FRAMEBUFFER_TYPE, TEXT_DISPLAY.type);
  placement.at(info, record.bytes, 'the Multiboot information');
  return info;
}
