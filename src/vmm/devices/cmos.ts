// What firmware leaves in the CMOS memory behind the clock's registers: how much memory there is, what is attached (QEMU
// hw/i386/pc.c, pc_cmos_init; Ralf Brown's CMOS list).

import type { Ram } from '../ram.ts';

export const CMOS_SIZE = 128;
const CMOS = {
  EQUIPMENT: 0x14,
  BASE_MEMORY: 0x15,
  EXTENDED_MEMORY: [0x17, 0x30],
  /** In units of 64 KiB: from 16 MiB to the devices, and above 4 GiB. */
  ABOVE_16_MIB: 0x34,
  ABOVE_4_GIB: 0x5b,
  CHECKSUM: 0x2e,
  CHECKSUMMED: { FIRST: 0x10, LAST: 0x2d },
  CPUS_LESS_ONE: 0x5f,
} as const;
/** A numeric coprocessor; a display with its own firmware; no floppy. */
const EQUIPMENT = 1 << 1;
const BASE_KIB = 640;
const KIB = 1024;
const MIB = 2 ** 20;
const UNIT = 64 * KIB;
const MOST = 0xffff;

/** The contents at power-on, with the clock's own registers zero. */
export function cmosMemory(ram: Ram, vcpus: number): number[] {
  const bytes = new Array<number>(CMOS_SIZE).fill(0);
  const put = (at: number, value: number, length: number): void => {
    for (let i = 0; i < length; i++) bytes[at + i] = Math.floor(value / 2 ** (8 * i)) & 0xff;
  };
  bytes[CMOS.EQUIPMENT] = EQUIPMENT;
  put(CMOS.BASE_MEMORY, BASE_KIB, 2);
  const extended = Math.min(Math.max(ram.lowEnd - MIB, 0) / KIB, MOST);
  for (const at of CMOS.EXTENDED_MEMORY) put(at, extended, 2);
  put(CMOS.ABOVE_16_MIB, Math.min(Math.max(ram.lowEnd - 16 * MIB, 0) / UNIT, MOST), 2);
  put(CMOS.ABOVE_4_GIB, (ram.size - ram.lowEnd) / UNIT, 3);
  bytes[CMOS.CPUS_LESS_ONE] = vcpus - 1;
  let sum = 0;
  for (let at: number = CMOS.CHECKSUMMED.FIRST; at <= CMOS.CHECKSUMMED.LAST; at++) sum += bytes[at]!;
  bytes[CMOS.CHECKSUM] = sum >>> 8;
  bytes[CMOS.CHECKSUM + 1] = sum & 0xff;
  return bytes;
}
