// HLT and PAUSE: kvm_emulate_halt and handle_pause. How a halted vCPU blocks is in ../block.ts.

import { hasEvents } from '../block.ts';
import { DEPENDS } from '../roundTrip.ts';
import type { Vcpu } from '../vcpu.ts';
import { CONTINUE, say, skipInstruction, type Disposition } from './handler.ts';

/** kvm_emulate_halt(): whether the vCPU goes on, because an event waits. */
export function emulateHalt(vcpu: Vcpu): boolean {
  vcpu.stat.haltExits++;
  skipInstruction(vcpu);
  const awake = hasEvents(vcpu);
  vcpu.mpState = awake ? 'runnable' : 'halted';
  if (awake) vcpu.recurrence.allow(DEPENDS.ON_STANDING);
  if (vcpu.probes.active) say(vcpu, awake ? 'an event waits: goes on' : `halts, ${nextTimer(vcpu)}`);
  return awake;
}

export function handleHalt(vcpu: Vcpu): Disposition {
  emulateHalt(vcpu);
  return CONTINUE;
}

/** When its timer will wake a halted vCPU. */
function nextTimer(vcpu: Vcpu): string {
  const deadline = vcpu.lapic.timer.tscdeadline;
  if (deadline === 0n) return nextXenTimer(vcpu) ?? 'no timer armed';
  const ahead = deadline - vcpu.guestTsc();
  return ahead > 0n ? `timer due in ${ahead} cycles` : 'timer due now';
}

/** Null: Xen's singleshot timer is not armed, as far as the hypervisor keeps it. */
function nextXenTimer({ xen, vm }: Vcpu): string | null {
  if (xen === null || xen.timer.expires === 0n) return null;
  const ahead = xen.timer.expires - vm.clock.nanoseconds();
  return ahead > 0n ? `Xen timer due in ${ahead} ns` : 'Xen timer due now';
}

/** Pause-loop exiting: the vCPU spins, so others may go first. There is no directed yield yet. */
export function handlePause(vcpu: Vcpu): Disposition {
  if (vcpu.probes.active) say(vcpu, 'lets others go first');
  return skipInstruction(vcpu);
}
