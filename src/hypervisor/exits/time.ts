// RDTSC, RDTSCP and RDPMC when they exit, and the preemption timer. By default the first two do not exit: the processor adds the
// offset itself.

import { GPR } from '../../x86/names/registers.ts';
import { injectGp } from '../inject.ts';
import type { Vcpu } from '../vcpu.ts';
import { CONTINUE, say, skipInstruction, type Disposition } from './handler.ts';

export function handleRdtsc(vcpu: Vcpu): Disposition {
  const tsc = vcpu.guestTsc();
  const { state } = vcpu.guest;
  state.setGpr(GPR.RAX, tsc & 0xffff_ffffn);
  state.setGpr(GPR.RDX, tsc >> 32n);
  if (vcpu.probes.active) say(vcpu, `TSC ${tsc}`);
  return skipInstruction(vcpu);
}

export function handleRdtscp(vcpu: Vcpu): Disposition {
  vcpu.guest.state.setGpr(GPR.RCX, vcpu.guest.state.tscAux & 0xffff_ffffn);
  return handleRdtsc(vcpu);
}

/** There is no PMU: every counter is out of range. */
export function handleRdpmc(vcpu: Vcpu): Disposition {
  injectGp(vcpu);
  if (vcpu.probes.active) say(vcpu, 'no PMU: #GP(0)');
  return CONTINUE;
}

/** handle_preemption_timer(), and the same as a fast path. */
export function handlePreemptionTimer(vcpu: Vcpu): Disposition {
  vcpu.lapic.timer.expiredHvTimer();
  if (vcpu.probes.active) say(vcpu, "the guest's deadline has passed");
  return CONTINUE;
}
