// From an interrupt message to the local APICs that accept it (kvm_irq_delivery_to_apic): IPIs, MSIs and the IOAPIC meet here.

import type { Cells } from '../../host/cells.ts';
import { acceptIrq } from './accept.ts';
import { matchesDestination, XAPIC_BROADCAST } from './destination.ts';
import { DELIVERY, SHORTHAND, type Irq } from './icr.ts';
import type { Lapic } from './lapic.ts';
import type { LapicVm } from './owner.ts';

/** Whether one of the targets is to be chosen, not all: kvm_lowest_prio_delivery(). */
const isLowestPriority = (irq: Irq): boolean => irq.deliveryMode === DELIVERY.LOWEST || irq.redirectionHint;

/** struct dest_map: who got an interrupt, by vcpu_id, and with which vector. */
export type DestMap = Cells<Map<number, number>>;

/**
 * Delivers a message to whoever its destination names. Returns how many APICs accepted it, or null when nobody is named;
 * `source` is the sending APIC, null for a device. `reached`: the sender keeps account of them.
 */
export function deliverToApics(
  vm: LapicVm,
  source: Lapic | null,
  irq: Irq,
  reached: DestMap | null = null,
): number | null {
  if (irq.shorthand === SHORTHAND.SELF && source !== null) return Number(accept(source, irq, reached));
  const targets = irq.shorthand === SHORTHAND.NONE ? vm.apicMap.targets(vm, source, irq) : null;
  if (targets === null) return deliverByAsking(vm, source, irq, reached);
  if (!isLowestPriority(irq) || !irq.logical) return acceptAll(targets, irq, reached);
  return acceptAll(chooseLowest(vm, targets, irq.vector), irq, reached);
}

/** The slow way: every present APIC is asked whether it is meant. */
function deliverByAsking(vm: LapicVm, source: Lapic | null, irq: Irq, reached: DestMap | null): number | null {
  // A physical broadcast has no lowest priority: everybody gets it.
  const toAll = !irq.logical && irq.dest === XAPIC_BROADCAST && irq.deliveryMode === DELIVERY.LOWEST;
  const message = toAll ? { ...irq, deliveryMode: DELIVERY.FIXED } : irq;
  const targets = vm.lapics.filter((lapic) => lapic.hardwareEnabled && matchesDestination(lapic, source, message));
  const chosen = isLowestPriority(message)
    ? chooseLowest(vm, targets.filter((lapic) => lapic.softwareEnabled), message.vector) // prettier-ignore
    : targets;
  return chosen.length === 0 ? null : acceptAll(chosen, message, reached);
}

/** Arbitration: by vector modulo targets, or whoever was chosen least often (kvm_vector_to_index, kvm_apic_compare_prio). */
function chooseLowest(vm: LapicVm, targets: readonly Lapic[], vector: number): readonly Lapic[] {
  if (targets.length === 0) return targets;
  if (vm.quirks.vectorHashing) return [targets[vector % targets.length]!];
  return [targets.reduce((least, lapic) => (lapic.arbitrationPriority < least.arbitrationPriority ? lapic : least))];
}

function accept(lapic: Lapic, irq: Irq, reached: DestMap | null): boolean {
  const accepted = acceptIrq(lapic, irq.deliveryMode, irq.vector, irq.assert, irq.levelTriggered);
  if (accepted && reached !== null && irq.deliveryMode <= DELIVERY.LOWEST) reached.set(lapic.owner.id, irq.vector);
  return accepted;
}

const acceptAll = (targets: readonly Lapic[], irq: Irq, reached: DestMap | null): number =>
  targets.reduce((count, lapic) => count + Number(accept(lapic, irq, reached)), 0);
