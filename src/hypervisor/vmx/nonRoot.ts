// What reaches a processor in guest mode (VMX non-root operation) and ends neither that nor the entry: posted interrupts, and
// whatever a guest waits for that has halted there.

import { EXIT, type ExitReason } from '../../cpu/exit.ts';
import { processPostedInterrupts } from '../../cpu/virtualApic.ts';
import { RUNS } from '../../host/cpu.ts';
import { HOST_VECTORS, vectorOf } from '../../host/ipi.ts';
import type { Vcpu } from '../vcpu.ts';

/** HLT that does not exit: the CPU stands still in guest mode until something arrives here, or the preemption timer ends. */
export function haltInGuest({ cpu }: Vcpu, timerEnd: number): ExitReason {
  cpu.guestHalt = timerEnd;
  return EXIT.AHEAD;
}

/** The CPU of a halted guest goes on where something happens; whether that wakes the guest, the processor decides. */
export function leaveGuestHalt(vcpu: Vcpu): void {
  const { cpu } = vcpu;
  cpu.now = cpu.position;
  cpu.guestHalt = RUNS;
  vcpu.syncTsc();
}

/**
 * Whether the interrupts that wait are notifications of posted interrupts alone: the processor has then taken them, and
 * guest mode goes on. Whose notification it is does not matter: the descriptor of the current VMCS is looked at.
 */
export function isPostedOnly({ cpu, guest }: Vcpu): boolean {
  const apic = guest.controls.virtualApic;
  if (apic === null || apic.postedInterrupts === null) return false;
  while (cpu.interruptPending) {
    if (vectorOf(cpu.events.first!) !== HOST_VECTORS['posted interrupt']) return false;
    cpu.events.take(cpu.now);
    processPostedInterrupts(guest.state, apic, apic.postedInterrupts);
  }
  return true;
}
