// The local vector table: writing an entry, and delivering the local interrupt that an entry describes (SDM vol. 3, 11.5.1).

import { acceptIrq } from './accept.ts';
import { DELIVERY, ICR } from './icr.ts';
import type { Lapic } from './lapic.ts';
import { APIC, LVT, LVR } from './registers.ts';

/** LVT registers by their index in the version register's count; the seventh exists only with MCG_CAP.CMCI_P. */
const LVT_ENTRIES = [APIC.LVTT, APIC.LVTTHMR, APIC.LVTPC, APIC.LVT0, APIC.LVT1, APIC.LVTERR, APIC.LVTCMCI] as const;

/** The LVT registers that this APIC has. */
export const lvtEntries = (lapic: Lapic): readonly number[] =>
  lapic.owner.features.cmci ? LVT_ENTRIES : LVT_ENTRIES.slice(0, -1);

/** The version register that goes with them. */
export const versionRegister = (lapic: Lapic): number =>
  LVR.VERSION |
  ((lvtEntries(lapic).length - 1) << LVR.MAX_LVT_SHIFT) |
  (lapic.owner.vm.quirks.directedEoi ? LVR.DIRECTED_EOI : 0);

/** The timer modes that the guest may choose: without CPUID's TSC_DEADLINE, bit 18 is hidden. */
export const timerModeMask = (lapic: Lapic): number =>
  lapic.owner.features.tscDeadline ? LVT.TIMER_MODE : LVT.TIMER_PERIODIC;

/** What an entry holds after a write: writable bits only, and masked as long as the APIC is disabled by software. */
export function lvtValue(lapic: Lapic, offset: number, value: number, keeps: number): number {
  let writable = keeps;
  if (offset === APIC.LVTT) writable &= ~LVT.TIMER_MODE | timerModeMask(lapic);
  if (lapic.owner.vm.quirks.lvtStatusBitsWritable) {
    writable |= LVT.SEND_PENDING | ((keeps & LVT.LEVEL_TRIGGER) !== 0 ? LVT.REMOTE_IRR : 0);
  }
  return (value & writable) | (lapic.softwareEnabled ? 0 : LVT.MASKED);
}

/** SVR[8] was cleared: every entry becomes masked. */
export function maskAllEntries(lapic: Lapic): void {
  for (const offset of lvtEntries(lapic)) lapic.setRegister(offset, lapic.register(offset) | LVT.MASKED);
}

const modeOf = (entry: number): number => (entry & LVT.MODE) >>> ICR.MODE_SHIFT;

/** kvm_apic_local_deliver(): raises the interrupt that an entry describes; false when the entry is masked or nothing took it. */
export function localDeliver(lapic: Lapic, offset: number): boolean {
  const entry = lapic.register(offset);
  if (!lapic.hardwareEnabled || (entry & LVT.MASKED) !== 0) return false;
  const accepted = acceptIrq(lapic, modeOf(entry), entry & LVT.VECTOR, true, (entry & LVT.LEVEL_TRIGGER) !== 0);
  if (accepted && offset === APIC.LVTPC) lapic.setRegister(offset, entry | LVT.MASKED);
  return accepted;
}

/** kvm_apic_accept_pic_intr(): LINT0 hands the PIC's interrupts on, or the LAPIC is disabled and they pass it by. */
export function acceptsPicInterrupt(lapic: Lapic): boolean {
  if (!lapic.hardwareEnabled) return true;
  const entry = lapic.register(APIC.LVT0);
  return (entry & LVT.MASKED) === 0 && modeOf(entry) === DELIVERY.EXTINT;
}

/** apic_lvt_nmi_mode(): LINT0 makes NMIs of the interval timer's interrupts. */
export function isLint0Nmi(lapic: Lapic): boolean {
  const entry = lapic.register(APIC.LVT0);
  return (entry & LVT.MASKED) === 0 && modeOf(entry) === DELIVERY.NMI;
}
