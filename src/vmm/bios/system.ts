// INT 15h: how much memory there is and where, moving it between the halves of the address space, and the A20 line, which is on.

import type { Bios } from './bios.ts';
import type { BiosCall } from './call.ts';
import { ONE_MIB } from '../ram.ts';

const FUNCTION = { A20: 0x24, MOVE: 0x87, EXTENDED_MEMORY: 0x88, MEMORY: 0xe8 } as const;
const MEMORY = { SIZES: 0x01, MAP: 0x20 } as const;
const A20 = { OFF: 0, ON: 1, STATUS: 2, SUPPORT: 3 } as const;
/** By the keyboard controller and by port 0x92. */
const A20_WAYS = 3;
const STATUS_OK = 0;
const FAILED = 0x02;
const KIB = 1024;
const SIXTEEN_MIB = 16 * ONE_MIB;
const MOST_KIB = 0xffff;
const BLOCK = 64 * KIB;

const SMAP = 0x534d4150;
const MAP_ENTRY = 20;
/** Offsets of the descriptors of source and destination in the table of AH = 87h. */
const DESCRIPTOR = { SOURCE: 0x10, DESTINATION: 0x18 } as const;
const MOST_WORDS = 0x8000;

/** Serves INT 15h; false: there is no such function. */
export function system(call: BiosCall, bios: Bios): boolean {
  const { lowEnd } = bios.board.ram;
  const above = Math.max(0, lowEnd - ONE_MIB);
  switch (call.ah) {
    case FUNCTION.A20:
      return a20(call);
    case FUNCTION.MOVE:
      return move(call);
    case FUNCTION.EXTENDED_MEMORY:
      call.ax = Math.min(above / KIB, MOST_KIB);
      call.carry = false;
      return true;
    case FUNCTION.MEMORY:
      if (call.al === MEMORY.MAP) return memoryMap(call, bios);
      return call.al === MEMORY.SIZES && memorySizes(call, lowEnd);
    default:
      return false;
  }
}

function a20(call: BiosCall): boolean {
  switch (call.al) {
    case A20.ON:
      break;
    case A20.STATUS:
      call.al = 1;
      break;
    case A20.SUPPORT:
      call.bx = A20_WAYS;
      break;
    default:
      return false;
  }
  call.ah = STATUS_OK;
  call.carry = false;
  return true;
}

/** E801: KiB from 1 to 16 MiB, and blocks of 64 KiB above, twice. */
function memorySizes(call: BiosCall, end: number): true {
  call.ax = call.cx = Math.max(0, Math.min(end, SIXTEEN_MIB) - ONE_MIB) / KIB;
  call.bx = call.dx = Math.floor(Math.max(0, end - SIXTEEN_MIB) / BLOCK);
  call.carry = false;
  return true;
}

/** E820: one range a call; EBX counts, and 0 means the end. */
function memoryMap(call: BiosCall, { board: { ram } }: Bios): boolean {
  const range = ram.map[call.ebx];
  if (call.edx !== SMAP || call.ecx < MAP_ENTRY || range === undefined) return false;
  const at = call.es(call.di);
  const words = [range.gpa, Math.floor(range.gpa / 2 ** 32), range.size, Math.floor(range.size / 2 ** 32), range.type];
  for (const [i, value] of words.entries()) call.setU32(at + 4 * i, value >>> 0);
  call.eax = SMAP;
  call.ebx = call.ebx + 1 === ram.map.length ? 0 : call.ebx + 1;
  call.ecx = MAP_ENTRY;
  call.carry = false;
  return true;
}

/** AH = 87h: CX words, between linear addresses in descriptors at ES:SI. */
function move(call: BiosCall): boolean {
  const table = call.es(call.si);
  const base = (at: number): number => (call.u16(at + 2) | (call.u8(at + 4) << 16) | (call.u8(at + 7) << 24)) >>> 0;
  const bytes = call.cx > MOST_WORDS ? null : call.memory.read(base(table + DESCRIPTOR.SOURCE), 2 * call.cx);
  const moved = bytes !== null && call.memory.write(base(table + DESCRIPTOR.DESTINATION), bytes);
  call.ah = moved ? STATUS_OK : FAILED;
  call.carry = !moved;
  return true;
}
