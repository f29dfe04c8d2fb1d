// Linux's 64-bit boot protocol: the zero page that a kernel finds (Linux Documentation/arch/x86/boot.rst and zero-page.rst).

import { GPR } from '../../x86/names/registers.ts';
import { PAGE_SIZE } from '../../x86/names/paging.ts';
import type { LinuxSetup } from '../image.ts';
import { ONE_MIB } from '../ram.ts';
import { BootError } from './bootError.ts';
import { enterLongMode, identityMap, identityMapSize, putFlatDescriptors, SELECTOR } from './longMode.ts';
import { memoryMapRecords } from './memoryMap.ts';
import { Placement } from './placement.ts';
import { BootRecord, cString } from './record.ts';
import type { Boot, BootModule } from './start.ts';

/** Offsets in the zero page, struct boot_params. */
// prettier-ignore
const FIELD = {
  VIDEO_MODE: 0x06, VIDEO_COLUMNS: 0x07, VIDEO_LINES: 0x0e, VIDEO_IS_VGA: 0x0f, FONT_HEIGHT: 0x10, RSDP: 0x70, MAP_ENTRIES: 0x1e8,
  HEADER: 0x1f1, BOOT_FLAG: 0x1fe, MAGIC: 0x202, LOADER_TYPE: 0x210, CODE32_START: 0x214, INITRD: 0x218, INITRD_SIZE: 0x21c,
  COMMAND_LINE: 0x228, MAP: 0x2d0,
} as const;
const BOOT_FLAG = 0xaa55;
const HEADER_MAGIC = 0x53726448;
/** A boot loader without a number of its own. */
const UNDEFINED_LOADER = 0xff;
const VGA_TEXT = { mode: 3, columns: 80, lines: 25, fontHeight: 16 } as const;
const MAP_ENTRY = { size: 20 } as const;
const MOST_MAP_ENTRIES = 128;
/** Up to here the zero page, the command line and the loader's tables are mapped, and the devices of a PC too. */
const MAPPED = 2 ** 32;
/** Low memory that the loader uses, above what firmware has there. */
const LOW = { from: 0x1000, below: 0x9f000 } as const;
const GDT_SIZE = SELECTOR.DATA + 8;

/** Throws BootError, and has then changed nothing. */
export function startLinux(boot: Boot, setup: LinuxSetup): void {
  const { vm, image, ram, commandLine, rsdp } = boot;
  if (commandLine.length > setup.commandLineMax)
    throw new BootError(
      `the kernel takes command lines of ${setup.commandLineMax} characters, and this one has ${commandLine.length}: leave something out`,
    );
  const placement = new Placement(vm, ram);
  placement.image(image);
  const line = placement.put(cString(commandLine), 'the command line', { ...LOW, align: 16 });
  const gdt = new BootRecord(GDT_SIZE);
  putFlatDescriptors(gdt);
  const gdtAt = placement.put(gdt.bytes, 'the GDT', { ...LOW, align: 8 });
  const tables = placement.find(identityMapSize(MAPPED), 'the page tables', { ...LOW, align: PAGE_SIZE });
  placement.at(tables, identityMap(tables, MAPPED), 'the page tables');

  const page = new BootRecord(PAGE_SIZE);
  page.u8(FIELD.VIDEO_MODE, VGA_TEXT.mode);
  page.u8(FIELD.VIDEO_COLUMNS, VGA_TEXT.columns);
  page.u8(FIELD.VIDEO_LINES, VGA_TEXT.lines);
  page.u8(FIELD.VIDEO_IS_VGA, 1);
  page.u16(FIELD.FONT_HEIGHT, VGA_TEXT.fontHeight);
  page.bytes.set(setup.header, FIELD.HEADER);
  page.u16(FIELD.BOOT_FLAG, BOOT_FLAG);
  page.u32(FIELD.MAGIC, HEADER_MAGIC);
  page.u8(FIELD.LOADER_TYPE, UNDEFINED_LOADER);
  if (setup.header.length > 0) page.u32(FIELD.CODE32_START, image.segments[0]!.gpa);
  page.u32(FIELD.COMMAND_LINE, line);
  page.u64(FIELD.RSDP, rsdp ?? 0);
  const initrd = placeInitrd(boot.modules, setup, placement);
  page.u32(FIELD.INITRD, initrd.gpa);
  page.u32(FIELD.INITRD_SIZE, initrd.size);
  const map = memoryMapRecords(ram, MAP_ENTRY);
  const entries = map.length / MAP_ENTRY.size;
  if (entries > MOST_MAP_ENTRIES) throw new Error(`${entries} ranges of memory do not fit into the zero page`);
  page.u8(FIELD.MAP_ENTRIES, entries);
  page.bytes.set(map, FIELD.MAP);
  const pageAt = placement.put(page.bytes, 'the zero page', { ...LOW, align: PAGE_SIZE });
  placement.write();

  const { guest } = vm.vcpus[0]!;
  enterLongMode(guest.state, { entry: image.entry, cr3: tables, gdt: gdtAt, gdtSize: GDT_SIZE });
  guest.state.setGpr32(GPR.RSI, pageAt);
  guest.registersReplaced();
}

/** The initrd goes as high as the kernel reaches, where it is in nobody's way. Several files are one archive behind the other. */
function placeInitrd(
  modules: readonly BootModule[],
  { initrdMax }: LinuxSetup,
  placement: Placement,
): { gpa: number; size: number } {
  if (modules.length === 0) return { gpa: 0, size: 0 };
  const bytes = new Uint8Array(modules.reduce((end, { bytes }) => alignUp(end) + bytes.length, 0));
  let end = 0;
  for (const module of modules) {
    bytes.set(module.bytes, alignUp(end));
    end = alignUp(end) + module.bytes.length;
  }
  const room = { from: ONE_MIB, below: initrdMax + 1, align: PAGE_SIZE, highest: true };
  return { gpa: placement.put(bytes, 'the initrd', room), size: bytes.length };
}

/** Archives begin on multiples of four, with zeroes between them (Linux initramfs-buffer-format.rst). */
const alignUp = (end: number): number => Math.ceil(end / 4) * 4;
