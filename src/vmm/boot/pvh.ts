// PVH: the start info that a kernel finds (Xen public/arch-x86/hvm/start_info.h, docs/misc/pvh.pandoc).

import { SEGMENT, SEGMENT_ATTRIBUTE, SYSTEM_TYPE, GPR } from '../../x86/names/registers.ts';
import { writeSegment } from '../../cpu/segments/segments.ts';
import { memoryMapRecords } from './memoryMap.ts';
import { placeModules } from './modules.ts';
import { Placement, type Room } from './placement.ts';
import { enterProtectedMode } from './protectedMode.ts';
import { BootRecord, cString } from './record.ts';
import type { Boot } from './start.ts';

const MAGIC = 0x336ec578;
/** The first version with a memory map. */
const VERSION = 1;
// prettier-ignore
const FIELD = {
  MAGIC: 0, VERSION: 4, MODULES: 12, MODULE_LIST: 16, COMMAND_LINE: 24, RSDP: 32, MAP: 40, MAP_ENTRIES: 48, SIZE: 56,
} as const;
const MODULE = { GPA: 0, SIZE: 8, COMMAND_LINE: 16, ENTRY: 32 } as const;
const MAP_ENTRY = { size: 24 } as const;
const ROOM: Room = { from: 0x6000, align: 8 };
/** A 32-bit TSS of the least size. */
const TASK = { selector: 0, base: 0n, limit: 0x67, attributes: SEGMENT_ATTRIBUTE.P | SYSTEM_TYPE.TSS_BUSY } as const;

/** Throws BootError, and has then changed nothing. */
export function startPvh({ vm, image, ram, commandLine, modules, rsdp }: Boot): void {
  const placement = new Placement(vm, ram);
  placement.image(image);
  const placed = placeModules(modules, placement);
  const list = new BootRecord(placed.length * MODULE.ENTRY);
  for (const [i, { gpa, size, name }] of placed.entries()) {
    list.u64(i * MODULE.ENTRY + MODULE.GPA, gpa);
    list.u64(i * MODULE.ENTRY + MODULE.SIZE, size);
    list.u64(i * MODULE.ENTRY + MODULE.COMMAND_LINE, placement.put(cString(name), "a module's name", ROOM));
  }
  const info = new BootRecord(FIELD.SIZE);
  info.u32(FIELD.MAGIC, MAGIC);
  info.u32(FIELD.VERSION, VERSION);
  info.u32(FIELD.MODULES, placed.length);
  if (placed.length > 0) info.u64(FIELD.MODULE_LIST, placement.put(list.bytes, 'the list of modules', ROOM));
  info.u64(FIELD.COMMAND_LINE, placement.put(cString(commandLine), 'the command line', ROOM));
  info.u64(FIELD.RSDP, rsdp ?? 0);
  info.u64(FIELD.MAP, placement.put(memoryMapRecords(ram, MAP_ENTRY), 'the memory map', ROOM));
  info.u32(FIELD.MAP_ENTRIES, ram.map.length);
  const at = placement.put(info.bytes, 'the start info', ROOM);
  placement.write();
  enterProtectedMode(vm, image.entry, (state) => {
    state.setGpr32(GPR.RBX, at);
    writeSegment(state, SEGMENT.TR, TASK);
  });
}
