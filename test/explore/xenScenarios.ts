// What the tests of races in Xen's event channels and timer load through the transform.

import type { Hrtimer } from '../../src/host/hrtimer.ts';
import type { XenTimerDesign } from '../../src/hypervisor/params.ts';
import { setXenVcpuAttr } from '../../src/hypervisor/xen/attributes.ts';
import * as evtchn from '../../src/hypervisor/xen/evtchn.ts';
import { PRIO_2LEVEL } from '../../src/hypervisor/xen/names.ts';
import type { XenTimer } from '../../src/hypervisor/xen/timer.ts';
import type { VmRig } from '../hypervisor/vmRig.ts';
import { only, xenRig } from '../hypervisor/xenRig.ts';

export { accessesOf, announced, elsewhere, preemptedAt, preemptible } from '../../src/explore/preemption.ts';
export { infoAt, isPending, mask, only, raise, SHARED, takeAway, takeEvents, xenRig } from '../hypervisor/xenRig.ts';
/** Functions as methods, so that they can be preempted by name. */
export const evtchnFunctions = evtchn;

export const VIRQ = 13;
/** Guest times, and where the host stands shortly before the first. */
export const E1 = 100_000n;
export const E2 = 900_000n;
const BEFORE_E1 = 249_000;

export interface TimerScene {
  readonly rig: VmRig;
  readonly timer: XenTimer;
  readonly hrtimer: Hrtimer;
}

/** A timer that was armed for E1 on CPU 1, while the thread of its vCPU is on CPU 0. */
export function timerScene(xenTimer: XenTimerDesign): TimerScene {
  const rig = xenRig([[], []], { params: { xenTimer } });
  const { host } = rig;
  const vcpu = only(rig);
  const { timer } = vcpu.xen!;
  setXenVcpuAttr(vcpu, { type: 'TIMER', port: VIRQ, priority: PRIO_2LEVEL, expiresNs: 0n });
  host.thisCpu = host.cpus[1]!;
  timer.set(E1);
  host.thisCpu = host.cpus[0]!;
  for (const cpu of host.cpus) cpu.now = BEFORE_E1;
  const hrtimer = host.hrtimers.find(({ kind, queued }) => kind === 'Xen timer' && queued)!;
  return { rig, timer, hrtimer };
}
