// Multiboot 2: the information that a kernel finds, a list of tags (Multiboot2 Specification 2.0, 3.4 to 3.6).

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

const BOOTLOADER_MAGIC = 0x36d76289;
const INFO_FROM = 0x9000;
const ALIGNMENT = 8;
/** Total size and a reserved word, in front of the tags; type and size, in front of a tag's contents. */
const HEAD = 8;
// prettier-ignore
const TAG = {
  END: 0, COMMAND_LINE: 1, LOADER_NAME: 2, MODULE: 3, MEMORY: 4, MAP: 6, FRAMEBUFFER: 8, ELF_SECTIONS: 9, ACPI_OLD: 14, ACPI_NEW: 15,
  LOAD_ADDRESS: 21,
} as const;
const MAP_ENTRY = { size: 24 } as const;
/** Bytes of the root pointer in ACPI 1.0, and its revision field. */
const RSDP = { SIZE_1: 20, SIZE: 36, REVISION: 15 } as const;

interface Tag {
  readonly type: number;
  readonly contents: Uint8Array;
}

/** Throws BootError, and has then changed nothing. */
export function startMultiboot2(boot: Boot, wishes: MultibootWishes): void {
  const { vm, image, ram } = boot;
  const placement = new Placement(vm, ram);
  placement.image(image);
  const modules = placeModules(boot.modules, placement);
  const bytes = information([...tags(boot, wishes, placement, modules)]);
  const info = placement.put(bytes, 'the Multiboot information', { from: INFO_FROM, align: ALIGNMENT });
  placement.write();
  enterProtectedMode(vm, image.entry, (state) => {
    state.setGpr32(GPR.RAX, BOOTLOADER_MAGIC);
    state.setGpr32(GPR.RBX, info);
  });
}

function* tags(
  boot: Boot,
  { sections }: MultibootWishes,
  placement: Placement,
  modules: readonly PlacedModule[],
): Generator<Tag> {
  const { ram, image, commandLine } = boot;
  yield { type: TAG.COMMAND_LINE, contents: cString(commandLine) };
  yield { type: TAG.LOADER_NAME, contents: cString(LOADER_NAME) };
  for (const { gpa, size, name } of modules)
    yield { type: TAG.MODULE, contents: joined(words(gpa, gpa + size), cString(name)) };
  const { lower, upper } = lowAndHighMemory(ram);
  yield { type: TAG.MEMORY, contents: words(lower, upper) };
  yield { type: TAG.MAP, contents: joined(words(MAP_ENTRY.size, 0), memoryMapRecords(ram, MAP_ENTRY)) };
  yield { type: TAG.FRAMEBUFFER, contents: framebuffer() };
  if (sections !== undefined) {
    const { count, entrySize, names } = sections;
    yield {
      type: TAG.ELF_SECTIONS,
      contents: joined(words(count, entrySize, names), placeSections(sections, placement)),
    };
  }
  yield* rootPointers(boot);
  yield { type: TAG.LOAD_ADDRESS, contents: words(Math.min(...image.segments.map(({ gpa }) => gpa))) };
  yield { type: TAG.END, contents: new Uint8Array(0) };
}

function framebuffer(): Uint8Array {
  const record = new BootRecord(24);
  record.u64(0, TEXT_DISPLAY.gpa);
  record.u32(8, TEXT_DISPLAY.pitch);
  record.u32(12, TEXT_DISPLAY.width);
  record.u32(16, TEXT_DISPLAY.height);
  record.u8(20, TEXT_DISPLAY.bits);
  record.u8(21, TEXT_DISPLAY.type);
  return record.bytes;
}

/** Copies of ACPI's root pointer: what ACPI 1.0 has of it, and all of a later one. */
function* rootPointers({ vm, rsdp }: Boot): Generator<Tag> {
  const pointer = rsdp === null ? null : vm.memory.read(rsdp, RSDP.SIZE);
  if (pointer === null) return;
  yield { type: TAG.ACPI_OLD, contents: pointer.subarray(0, RSDP.SIZE_1) };
  if (pointer[RSDP.REVISION]! >= 2) yield { type: TAG.ACPI_NEW, contents: pointer };
}

function information(list: readonly Tag[]): Uint8Array {
  const aligned = (size: number): number => Math.ceil(size / ALIGNMENT) * ALIGNMENT;
  const total = list.reduce((sum, { contents }) => sum + aligned(HEAD + contents.length), HEAD);
  const record = new BootRecord(total);
  record.u32(0, total);
  let at = HEAD;
  for (const { type, contents } of list) {
    record.u32(at, type);
    record.u32(at + 4, HEAD + contents.length);
    record.bytes.set(contents, at + HEAD);
    at += aligned(HEAD + contents.length);
  }
  return record.bytes;
}

function words(...values: readonly number[]): Uint8Array {
  const record = new BootRecord(4 * values.length);
  for (const [i, value] of values.entries()) record.u32(4 * i, value);
  return record.bytes;
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
