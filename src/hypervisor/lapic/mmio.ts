// The register page of xAPIC mode in guest physical memory: which accesses count (apic_mmio_read, apic_mmio_write in Linux
// lapic.c). Who notices that an access falls into the page is the VM's affair.

import type { Lapic } from './lapic.ts';
import { REGISTER_STEP } from './registers.ts';

/** Size of the page, of which the registers fill the first quarter. */
const PAGE = 0x1000n;
const REGISTER_SIZE = 4;
const MISALIGNED = REGISTER_STEP - 1;

/** The byte offset of an address in the page; null when it lies outside. */
function offsetOf(lapic: Lapic, gpa: bigint): number | null {
  const start = lapic.base - (lapic.base % PAGE);
  return gpa >= start && gpa < start + PAGE ? Number(gpa - start) : null;
}

/** Whether the page answers at all: in xAPIC mode, or as a hole by the quirk; otherwise the access is userspace's. */
const isOurs = (lapic: Lapic): boolean => lapic.mode === 'xapic' || lapic.owner.vm.quirks.lapicMmioHole;

/**
 * Reads `length` bytes; null when somebody else must serve the access. An access within one register gives its bytes; one
 * that straddles two, or names none, gives 0; a page that is not in use reads as ones.
 */
export function mmioRead(lapic: Lapic, gpa: bigint, length: number): bigint | null {
  const offset = offsetOf(lapic, gpa);
  if (offset === null || !isOurs(lapic)) return null;
  const ones = (1n << BigInt(8 * length)) - 1n;
  if (lapic.mode !== 'xapic') return ones;
  const within = offset & MISALIGNED;
  if (within + length > REGISTER_SIZE) return 0n;
  const value = lapic.readRegister(offset - within) ?? 0;
  return (BigInt(value) >> BigInt(8 * within)) & ones;
}

/** Writes; false when somebody else must serve the access. Only aligned writes of four bytes count; others are dropped. */
export function mmioWrite(lapic: Lapic, gpa: bigint, length: number, value: bigint): boolean {
  const offset = offsetOf(lapic, gpa);
  if (offset === null || !isOurs(lapic)) return false;
  if (lapic.mode === 'xapic' && length === REGISTER_SIZE && (offset & MISALIGNED) === 0) {
    lapic.writeRegister(offset, Number(BigInt.asUintN(32, value)));
  }
  return true;
}
