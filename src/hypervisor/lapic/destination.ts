// Which local APICs a destination names: physical and logical matching in both modes (SDM vol. 3, 11.6.2 and 11.12.10;
// kvm_apic_match_dest). The map that answers most sends without asking every APIC is in apicMap.ts.

import { SHORTHAND, type Irq } from './icr.ts';
import type { Lapic } from './lapic.ts';
import { APIC, DFR, XAPIC_ID_SHIFT } from './registers.ts';

export const XAPIC_BROADCAST = 0xff;
export const X2APIC_BROADCAST = 0xffffffff;

/** x2APIC logical ids: cluster in bits 31:16, one bit of sixteen below. */
export const CLUSTER_SHIFT = 16;
export const CLUSTER_MEMBERS = 0xffff;

/** The read-only LDR of x2APIC mode: kvm_apic_calc_x2apic_ldr(). */
export const x2apicLdr = (id: number): number => (((id >>> 4) << CLUSTER_SHIFT) | (1 << (id & 15))) >>> 0;

/** Whether `target` is meant by a message from `source` (null: an MSI or the IOAPIC). */
export function matchesDestination(target: Lapic, source: Lapic | null, irq: Irq): boolean {
  switch (irq.shorthand) {
    case SHORTHAND.SELF:
      return target === source;
    case SHORTHAND.ALL:
      return true;
    case SHORTHAND.ALL_BUT_SELF:
      return target !== source;
    default: {
      const mda = messageDestination(target, source, irq.dest);
      return irq.logical ? matchesLogical(target, mda) : matchesPhysical(target, mda);
    }
  }
}

/** kvm_apic_mda(): the quirk by which a device's 0xff reaches x2APIC targets too. */
function messageDestination(target: Lapic, source: Lapic | null, dest: number): number {
  const quirk = target.owner.vm.quirks.x2apicBroadcast && source === null;
  return quirk && dest === XAPIC_BROADCAST && target.x2apic ? X2APIC_BROADCAST : dest;
}

const isBroadcast = (target: Lapic, mda: number): boolean =>
  mda === (target.x2apic ? X2APIC_BROADCAST : XAPIC_BROADCAST);

/** Physical mode. An id that no xAPIC can hold is compared as an x2APIC's, so that it can be reached before it switches. */
export function matchesPhysical(target: Lapic, mda: number): boolean {
  if (isBroadcast(target, mda)) return true;
  return mda === (target.x2apic || mda > XAPIC_BROADCAST ? target.x2apicId : target.xapicId);
}

/** Logical mode: x2APIC clusters, or the xAPIC's flat or cluster model by DFR. */
function matchesLogical(target: Lapic, mda: number): boolean {
  if (isBroadcast(target, mda)) return true;
  const ldr = target.register(APIC.LDR);
  if (target.x2apic) return ldr >>> CLUSTER_SHIFT === mda >>> CLUSTER_SHIFT && (ldr & mda & CLUSTER_MEMBERS) !== 0;
  const id = ldr >>> XAPIC_ID_SHIFT;
  switch (target.register(APIC.DFR)) {
    case DFR.FLAT:
      return (id & mda) !== 0;
    case DFR.CLUSTER:
      return id >>> 4 === mda >>> 4 && (id & mda & 0xf) !== 0;
    default:
      return false;
  }
}
