// The fixed ACPI description table: where the registers of power management are, and what a PC of this kind has (ACPI 6.5,
// 5.2.9), with the firmware control structure that it points to (5.2.10).

import { PM_BASE } from '../devices/powerManagement.ts';
import { RESET_CONTROL, RESET_VALUE } from '../devices/resetControl.ts';
import { fields, table, text, type Field } from './table.ts';

const REVISION = 3;
const DESKTOP = 1;
export const SCI = 9;
const EVENTS = { port: PM_BASE, bytes: 4 };
const CONTROL = { port: PM_BASE + 4, bytes: 2 };
const TIMER = { port: PM_BASE + 8, bytes: 4 };
/** A latency above which C2 and C3 do not exist. */
const NO_C2 = 101;
const NO_C3 = 1001;
const CENTURY = 0x32;
/** Devices of the ISA bus, a keyboard controller. */
const BOOT_ARCHITECTURE = 0x03;
/** WBINVD works, C1 on all processors; no power button, no sleep button, no wake by clock as fixed hardware; a reset register. */
const FLAGS = (1 << 0) | (1 << 2) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 10);
const SYSTEM_IO = 1;
const ACCESS_SIZE: Readonly<Record<number, number>> = { 1: 1, 2: 2, 4: 3 };

const byte = (value: number): Field => [value, 1];
const word = (value: number): Field => [value, 2];
const dword = (value: number): Field => [value, 4];
const zeroes = (count: number): Field => new Uint8Array(count);

/** A generic address structure for a register block at a port; `access`: bytes of one access. */
const address = (port: number, bytes: number, access: number): Field =>
  fields([SYSTEM_IO, 1], [8 * bytes, 1], [0, 1], [ACCESS_SIZE[access]!, 1], [port, 8]);
const NO_ADDRESS = zeroes(12);

/** `facs` and `dsdt`: their physical addresses, below 4 GiB. */
export function fadt(facs: number, dsdt: number): Uint8Array {
  const events: readonly Field[] = [
    dword(EVENTS.port),
    dword(0),
    dword(CONTROL.port),
    dword(0),
    dword(0),
    dword(TIMER.port),
  ];
  const lengths: readonly Field[] = [byte(EVENTS.bytes), byte(CONTROL.bytes), byte(0), byte(TIMER.bytes)];
  const extended: readonly Field[] = [
    address(EVENTS.port, EVENTS.bytes, 2),
    NO_ADDRESS,
    address(CONTROL.port, CONTROL.bytes, 2),
    NO_ADDRESS,
    NO_ADDRESS,
    address(TIMER.port, TIMER.bytes, 4),
    NO_ADDRESS,
    NO_ADDRESS,
  ];
  const body = fields(
    ...[dword(facs), dword(dsdt), byte(0), byte(DESKTOP), word(SCI)],
    // No SMI command: the machine is always in ACPI mode.
    ...[dword(0), zeroes(4)],
    ...events,
    ...[dword(0), dword(0)],
    ...lengths,
    ...[zeroes(4), word(NO_C2), word(NO_C3), zeroes(8), byte(CENTURY)],
    ...[word(BOOT_ARCHITECTURE), byte(0), dword(FLAGS)],
    ...[address(RESET_CONTROL, 1, 1), byte(RESET_VALUE), zeroes(3)],
    ...[zeroes(8), [dsdt, 8] as const],
    ...extended,
  );
  return table('FACP', REVISION, body);
}

const FACS_SIZE = 64;
const FACS_VERSION = 1;

/** No lock is held and nobody is to be woken. */
export const facs = (): Uint8Array =>
  fields(text('FACS'), [FACS_SIZE, 4], zeroes(24), byte(FACS_VERSION), zeroes(FACS_SIZE - 33));
