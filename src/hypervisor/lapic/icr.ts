// The interrupt command register: what its bits say, and sending what they say (SDM vol. 3, 11.6.1; kvm_apic_send_ipi).

import { deliverToApics } from './delivery.ts';
import type { Lapic } from './lapic.ts';
import { APIC, registerAt, XAPIC_ID_SHIFT } from './registers.ts';

/** Delivery modes: bits 10:8 of ICR and LVT entries. */
export const DELIVERY = {
  FIXED: 0,
  LOWEST: 1,
  SMI: 2,
  /** Remote read on old silicon; KVM's paravirtual kick. */
  REMRD: 3,
  NMI: 4,
  INIT: 5,
  STARTUP: 6,
  EXTINT: 7,
} as const;

/** Destination shorthands: ICR bits 19:18. */
export const SHORTHAND = { NONE: 0, SELF: 1, ALL: 2, ALL_BUT_SELF: 3 } as const;

/** Fields of the ICR's low word. */
export const ICR = {
  VECTOR: 0xff,
  MODE_SHIFT: 8,
  LOGICAL: 1 << 11,
  /** Delivery status: KVM sends at once, so it always reads 0. */
  BUSY: 1 << 12,
  ASSERT: 1 << 14,
  LEVEL_TRIGGER: 1 << 15,
  SHORTHAND_SHIFT: 18,
} as const;

/** ICR low word of a self-IPI with the vector still to be added. */
export const ICR_SELF = SHORTHAND.SELF << ICR.SHORTHAND_SHIFT;

/** An interrupt message on its way to local APICs: struct kvm_lapic_irq. */
export interface Irq {
  readonly vector: number;
  /** A number of DELIVERY. */
  readonly deliveryMode: number;
  readonly logical: boolean;
  readonly assert: boolean;
  readonly levelTriggered: boolean;
  /** A number of SHORTHAND; devices always say NONE. */
  readonly shorthand: number;
  /** MDA: 8 or 32 bits. */
  readonly dest: number;
  /** MSI redirection hint: any one of the targets. */
  readonly redirectionHint: boolean;
}

/** The message that an ICR describes; `dest` is the destination field, already shifted down. */
export const decodeIcr = (low: number, dest: number): Irq => ({
  vector: low & ICR.VECTOR,
  deliveryMode: (low >>> ICR.MODE_SHIFT) & 7,
  logical: (low & ICR.LOGICAL) !== 0,
  assert: (low & ICR.ASSERT) !== 0,
  levelTriggered: (low & ICR.LEVEL_TRIGGER) !== 0,
  shorthand: (low >>> ICR.SHORTHAND_SHIFT) & 3,
  dest,
  redirectionHint: false,
});

/** An ICR's low word says: this processor, fixed. */
export const isFixedToSelf = (low: number): boolean =>
  ((low >>> ICR.SHORTHAND_SHIFT) & 3) === SHORTHAND.SELF && ((low >>> ICR.MODE_SHIFT) & 7) === DELIVERY.FIXED;

/** kvm_apic_send_ipi(): sends what the two words of an ICR say. `high` is ICR2 in xAPIC mode, bits 63:32 in x2APIC mode. */
export function sendIpi(source: Lapic, low: number, high: number): void {
  const { owner } = source;
  const irq = decodeIcr(low, source.x2apic ? high >>> 0 : high >>> XAPIC_ID_SHIFT);
  if (owner.probes.active) {
    owner.probes.fire('kvm_apic_ipi', { vcpu: owner.id, icrLow: low >>> 0, dest: irq.dest }, owner.now());
  }
  if (source.x2apic && irq.deliveryMode === DELIVERY.LOWEST && !owner.vm.quirks.x2apicLowestPriority) return;
  deliverToApics(owner.vm, source, irq);
}

/** In x2APIC mode, ICR bits 63:32 stand in the word behind the low half: a register has 16 bytes of the page. */
export const ICR_HIGH = APIC.ICR + 4;
const WORD = 32n;

/** The 64-bit ICR of x2APIC mode. */
export const readX2apicIcr = (lapic: Lapic): bigint =>
  (BigInt(lapic.register(ICR_HIGH)) << WORD) | BigInt(lapic.register(APIC.ICR));

/** kvm_x2apic_icr_write(): checked, sent, stored, traced, in this order. False is #GP. */
export function writeX2apicIcr(lapic: Lapic, low: number, high: number): boolean {
  const { reserved, keeps } = registerAt(APIC.ICR)!;
  if ((low & reserved) !== 0) return false;
  sendIpi(lapic, low & keeps, high);
  lapic.setRegister(APIC.ICR, low & keeps);
  lapic.setRegister(ICR_HIGH, high);
  const { owner } = lapic;
  if (owner.probes.active) {
    const event = { vcpu: owner.id, write: true, register: APIC.ICR, value: readX2apicIcr(lapic) };
    owner.probes.fire('kvm_apic', event, owner.now());
  }
  return true;
}
