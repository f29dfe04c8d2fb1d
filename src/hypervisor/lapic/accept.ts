// What an interrupt message does at the local APIC that it reaches, by delivery mode (__apic_accept_irq).

import { KVM_REQ } from '../requests.ts';
import { DELIVERY } from './icr.ts';
import type { Lapic } from './lapic.ts';
import { clearVector, setVector, testVector } from './priority.ts';
import { APIC } from './registers.ts';

/** Accepts one message; false when it is dropped. May run on any physical CPU: it only sets bits, makes requests and kicks. */
export function acceptIrq(
  lapic: Lapic,
  deliveryMode: number,
  vector: number,
  assert: boolean,
  levelTriggered: boolean,
): boolean {
  const { owner } = lapic;
  if (owner.probes.active) {
    const event = { apicId: owner.id, deliveryMode, triggerLevel: levelTriggered, vector };
    owner.probes.fire('kvm_apic_accept_irq', event, owner.now());
  }
  switch (deliveryMode) {
    case DELIVERY.LOWEST:
      lapic.arbitrationPriority++;
      return acceptVector(lapic, deliveryMode, vector, assert, levelTriggered);
    case DELIVERY.FIXED:
      return acceptVector(lapic, deliveryMode, vector, assert, levelTriggered);
    case DELIVERY.REMRD:
      owner.pvUnhalt();
      owner.requests.make(KVM_REQ.EVENT);
      owner.kick();
      return true;
    case DELIVERY.SMI:
      owner.requests.make(KVM_REQ.SMI);
      owner.kick();
      return true;
    case DELIVERY.NMI:
      owner.injectNmi();
      owner.kick();
      return true;
    case DELIVERY.INIT:
      if (levelTriggered && !assert) return false;
      lapic.events.receiveInit();
      return true;
    case DELIVERY.STARTUP:
      lapic.events.receiveSipi(vector);
      return true;
    default:
      // ExtINT reaches a processor through LINT0 and the PIC only.
      return false;
  }
}

/** Fixed and lowest priority: the vector goes to IRR, its trigger mode to TMR. */
function acceptVector(
  lapic: Lapic,
  deliveryMode: number,
  vector: number,
  assert: boolean,
  levelTriggered: boolean,
): boolean {
  if (levelTriggered && !assert) return false;
  if (!lapic.enabled) return false;
  const { regs } = lapic;
  if (testVector(regs, APIC.TMR, vector) !== levelTriggered) {
    (levelTriggered ? setVector : clearVector)(regs, APIC.TMR, vector);
  }
  deliverInterrupt(lapic, deliveryMode, vector, levelTriggered);
  return true;
}

/** vmx_deliver_interrupt(). */
function deliverInterrupt(lapic: Lapic, deliveryMode: number, vector: number, levelTriggered: boolean): void {
  const { owner } = lapic;
  if (owner.apicv === null || !owner.apicv.active) {
    lapic.deliverInterrupt(vector);
    return;
  }
  owner.apicv.deliverPostedInterrupt(vector);
  if (owner.probes.active) {
    const event = { apicId: owner.id, deliveryMode, triggerLevel: levelTriggered, vector };
    owner.probes.fire('kvm_apicv_accept_irq', event, owner.now());
  }
}
