// Exits that no instruction caused: an interrupt of the host, or a window that was asked for.

import { KVM_REQ } from '../requests.ts';
import { DEPENDS } from '../roundTrip.ts';
import type { Vcpu } from '../vcpu.ts';
import { CONTINUE, say, type Disposition } from './handler.ts';

/** handle_external_interrupt(): the host's handler has run already, with interrupts off (run.ts). */
export function handleExternalInterrupt(vcpu: Vcpu): Disposition {
  vcpu.stat.irqExits++;
  if (vcpu.probes.active) {
    const expired = vcpu.lapic.timer.pending > 0;
    say(vcpu, expired ? "the host timer of the guest's deadline fired" : 'kicked: something waits for the guest');
  }
  return CONTINUE;
}

/** handle_interrupt_window(). */
export function handleInterruptWindow(vcpu: Vcpu): Disposition {
  vcpu.guest.controls.interruptWindow = false;
  vcpu.requests.make(KVM_REQ.EVENT);
  vcpu.stat.irqWindowExits++;
  vcpu.recurrence.allow(DEPENDS.ON_STANDING);
  if (vcpu.probes.active) say(vcpu, 'the guest takes interrupts now');
  return CONTINUE;
}

/** handle_nmi_window(). */
export function handleNmiWindow(vcpu: Vcpu): Disposition {
  vcpu.guest.controls.nmiWindow = false;
  vcpu.requests.make(KVM_REQ.EVENT);
  vcpu.stat.nmiWindowExits++;
  if (vcpu.probes.active) say(vcpu, 'the guest takes NMIs now');
  return CONTINUE;
}
