// What the BIOS leaves in memory before it starts a boot sector: the vector table, its data area, and in the ROM's place the
// code behind the vectors.
//
// Theory: the BIOS is served by the VMM. A vector leads to a stub of two instructions: an OUT to a port of the VMM's, which exits
// to userspace as any OUT does, and an IRET. The stub's address tells which vector it was, so that no register is needed to say it;
// what the call returns is put into the vCPU's registers and into the flags that IRET will pop, while the OUT is under way.

import { BootRecord } from '../boot/record.ts';
import { EBDA, VIDEO_HOLE } from '../ram.ts';

/** Nothing else has ever been at this port. */
export const BIOS_PORT = 0xef;
export const VECTORS = 256;
export const ROM_SEGMENT = 0xf000;
/** Behind ACPI's tables; offsets in the segment. */
const STUBS = 0x8000;
const STUB_SIZE = 4;
const KEYBOARD_STUB = STUBS + VECTORS * STUB_SIZE;
const TICK_STUB = KEYBOARD_STUB + 16;
const USER_TICK_STUB = TICK_STUB + 8;
const ROM_END = USER_TICK_STUB + 8;
export const VECTOR = { TIMER: 0x08, KEYBOARD_IRQ: 0x09, KEYBOARD: 0x16, BOOT: 0x19, USER_TICK: 0x1c } as const;

// prettier-ignore
const CODE = {
  /** out %al, $BIOS_PORT; iret */
  stub: [0xe6, BIOS_PORT, 0xcf],
  /** 1: out %al, $BIOS_PORT; jnc 2f; sti; hlt; jmp 1b; 2: iret. Carry says that the call has to wait for an interrupt. */
  keyboard: [0xe6, BIOS_PORT, 0x73, 0x04, 0xfb, 0xf4, 0xeb, 0xf8, 0xcf],
  /** out %al, $BIOS_PORT; int $0x1c; iret */
  tick: [0xe6, BIOS_PORT, 0xcd, VECTOR.USER_TICK, 0xcf],
  /** iret: programs put their own handler of ticks there. */
  userTick: [0xcf],
  /** int $0x19, where a processor starts after reset. */
  reset: [0xcd, VECTOR.BOOT],
};
/** Offset of the reset code in the segment, and of the byte that says that this is a PC/AT. */
const RESET = 0xfff0;
const MODEL = 0xfffe;
const PC_AT = 0xfc;

/** Offset in the ROM's segment where a vector leads. */
function stubOf(vector: number): number {
  if (vector === VECTOR.KEYBOARD) return KEYBOARD_STUB;
  if (vector === VECTOR.TIMER) return TICK_STUB;
  return vector === VECTOR.USER_TICK ? USER_TICK_STUB : STUBS + vector * STUB_SIZE;
}

/** The vector whose stub is at an offset in the ROM's segment; null: no stub is there. */
export function vectorAt(offset: number): number | null {
  if (offset === KEYBOARD_STUB) return VECTOR.KEYBOARD;
  if (offset === TICK_STUB) return VECTOR.TIMER;
  const vector = (offset - STUBS) / STUB_SIZE;
  return Number.isInteger(vector) && vector >= 0 && vector < VECTORS ? vector : null;
}

export interface Piece {
  readonly gpa: number;
  readonly bytes: Uint8Array;
}

/** The table at 0 that leads each vector to its stub. */
function vectorTable(): Piece {
  const table = new BootRecord(4 * VECTORS);
  for (let vector = 0; vector < VECTORS; vector++) {
    table.u16(4 * vector, stubOf(vector));
    table.u16(4 * vector + 2, ROM_SEGMENT);
  }
  return { gpa: 0, bytes: table.bytes };
}

function rom(): Piece[] {
  const stubs = new Uint8Array(ROM_END - STUBS);
  for (let vector = 0; vector < VECTORS; vector++) stubs.set(CODE.stub, vector * STUB_SIZE);
  stubs.set(CODE.keyboard, KEYBOARD_STUB - STUBS);
  stubs.set(CODE.tick, TICK_STUB - STUBS);
  stubs.set(CODE.userTick, USER_TICK_STUB - STUBS);
  const base = ROM_SEGMENT << 4;
  return [
    { gpa: base + STUBS, bytes: stubs },
    { gpa: base + RESET, bytes: Uint8Array.from(CODE.reset) },
    { gpa: base + MODEL, bytes: Uint8Array.of(PC_AT) },
  ];
}

/** Fields of the BIOS data area, by their addresses (IBM PC/AT technical reference, BIOS data areas). */
// prettier-ignore
export const BDA = {
  COM1: 0x400, EBDA_SEGMENT: 0x40e, EQUIPMENT: 0x410, MEMORY_KIB: 0x413, SHIFT_FLAGS: 0x417, KEY_HEAD: 0x41a, KEY_TAIL: 0x41c,
  FLOPPY_STATUS: 0x441, VIDEO_MODE: 0x449, COLUMNS: 0x44a, PAGE_SIZE: 0x44c, CURSOR: 0x450, CURSOR_SHAPE: 0x460, PAGE: 0x462, CRTC: 0x463,
  TICKS: 0x46c, MIDNIGHT: 0x470, DISK_STATUS: 0x474, DISKS: 0x475, KEY_START: 0x480, KEY_END: 0x482, LAST_ROW: 0x484, FONT_HEIGHT: 0x485,
} as const;
const BDA_START = 0x400;
const BDA_SIZE = 0x100;
const COM1 = 0x3f8;
const CRTC = 0x3d4;
const KIB = 1024;
/** Offsets in segment 0x40 between which keys wait. */
const KEY_BUFFER = { START: 0x1e, END: 0x3e } as const;
/** A coprocessor, a colour display of 80 columns, one serial port; a floppy drive, where there is one. */
const EQUIPMENT = (1 << 1) | (2 << 4) | (1 << 9);
const EQUIPMENT_FLOPPY = 1;

function dataArea(drive: number): Piece[] {
  const isHardDisk = drive >= 0x80;
  const area = new BootRecord(BDA_SIZE);
  const u8 = (at: number, value: number): void => area.u8(at - BDA_START, value);
  const u16 = (at: number, value: number): void => area.u16(at - BDA_START, value);
  u16(BDA.COM1, COM1);
  u16(BDA.EBDA_SEGMENT, EBDA >> 4);
  u16(BDA.EQUIPMENT, EQUIPMENT | (isHardDisk ? 0 : EQUIPMENT_FLOPPY));
  u16(BDA.MEMORY_KIB, EBDA / KIB);
  for (const at of [BDA.KEY_HEAD, BDA.KEY_TAIL, BDA.KEY_START]) u16(at, KEY_BUFFER.START);
  u16(BDA.KEY_END, KEY_BUFFER.END);
  u8(BDA.VIDEO_MODE, 3);
  u16(BDA.COLUMNS, 80);
  u16(BDA.PAGE_SIZE, 0x1000);
  u16(BDA.CURSOR_SHAPE, 0x0607);
  u16(BDA.CRTC, CRTC);
  u8(BDA.DISKS, isHardDisk ? 1 : 0);
  u8(BDA.LAST_ROW, 24);
  u8(BDA.FONT_HEIGHT, 16);
  return [
    { gpa: BDA_START, bytes: area.bytes },
    // The extended area begins with its size in KiB.
    { gpa: EBDA, bytes: Uint8Array.of((VIDEO_HOLE - EBDA) / KIB) },
  ];
}

/** All that the BIOS leaves in memory when it starts from a drive. */
export const biosMemory = (drive: number): Piece[] => [vectorTable(), ...dataArea(drive), ...rom()];
