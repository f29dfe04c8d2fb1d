// The singleshot timer of a Xen vCPU: set_singleshot_timer and set_timer_op, an event when it expires, and what a VMM reads and
// writes of it (xen_timer_callback, kvm_xen_start_timer, _stop_timer and _inject_timer_irqs of Linux 6.16 arch/x86/kvm/xen.c;
// seed 000).
//
// Theory: three fields and an hrtimer. `expires` is the guest time of the timer that is armed, 0 when none is; `pending`
// says that it has expired and that the vCPU is to deliver the event in its run loop. What is wanted is that `expires` is not 0
// exactly when the hrtimer is queued, or `pending` is set: whoever moves the guest reads `expires`, and an event that it
// misses is lost there.
//
// All but the hrtimer's callback runs under vcpu->mutex. As long as the callback only sets `pending` (design `slow`), that is all.
// A callback that raises the event by itself saves the guest the way through the run loop, and writes `expires` too, on
// another CPU at any moment. In v1, a vCPU that arms E2 while the callback of E1 stands between its event and `expires = 0`
// ends with the hrtimer armed for E2 and an `expires` of 0: moved then, the guest waits for E2 for ever. In v3 whoever
// changes or reads the timer cancels it first, which waits for a callback that runs. It need not when `expires` is 0: this
// write is the callback's last, behind the event. Who reads also delivers what is pending, so that it is in guest memory or
// in `expires`, and starts the hrtimer again; should it fire at once, the event is raised here and armed in the past
// there, which is one event, because the guest has not run. The draft of 2022 asked hrtimer_active() instead, which a
// deferred event is no longer, and was given up.
//
// Who leaves the event to an eventfd (Joao Martins's patches of 2019 had one for each VIRQ) is done once it is signalled:
// what lies behind may try on the spot, or have a worker.
//
// Only EWOULDBLOCK defers. A masked port, or one that does not exist, is an expiry like any other; and an event that the
// vCPU cannot raise, because shared_info lies nowhere, is dropped.

import type { Cell } from '../../host/cells.ts';
import { Hrtimer, type HrtimerOwner, type HrtimerRestart } from '../../host/hrtimer.ts';
import type { HostFields } from '../../host/savedFields.ts';
import type { ProbeEvents } from '../../trace/probes.ts';
import type { Vcpu } from '../vcpu.ts';
import { EVTCHN, setEvtchn, setEvtchnFast, type Evtchn } from './evtchn.ts';
import { PRIO_2LEVEL, XenError } from './names.ts';
import type { Eventfd } from './sendPorts.ts';

/** KVM_XEN_VCPU_ATTR_TYPE_TIMER. */
export interface XenTimerState {
  /** The port of VIRQ_TIMER; 0: the VMM handles timers. */
  readonly port: number;
  readonly priority: number;
  /** Guest system time, in nanoseconds; 0: not armed. */
  readonly expiresNs: bigint;
}

const NS_PER_MS = 1_000_000n;
/** Xen's "Linux workaround": a time that can only be an overflow is taken as 100 ms from now. */
const OVERFLOW_DELAY_NS = 100n * NS_PER_MS;
const FAR_AWAY_SHIFT = 50n;

/** What HYPERVISOR_set_timer_op makes of a timeout other than 0; all are nanoseconds of system time. */
export function timerOpDeadline(timeoutNs: bigint, now: bigint): bigint {
  const delta = BigInt.asIntN(64, timeoutNs - now);
  const overflow = BigInt.asIntN(64, timeoutNs) < 0n || (delta > 0n && delta >> FAR_AWAY_SHIFT !== 0n);
  return overflow ? now + OVERFLOW_DELAY_NS : timeoutNs;
}

export class XenTimer implements HrtimerOwner {
  readonly name: string;
  /** timer_virq. */
  #port: Cell<number> = 0;
  /** timer_expires. */
  #expires: Cell<bigint> = 0n;
  /** Signalled in place of an event; null: the event is raised here. */
  eventfd: Cell<Eventfd | null> = null;
  /** timer_pending: an expiry that the vCPU is to deliver. */
  #pending: Cell<number> = 0;
  readonly #vcpu: Vcpu;
  readonly #hrtimer: Hrtimer;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.name = vcpu.name;
    this.#hrtimer = new Hrtimer(vcpu.vm.host, this, 'Xen timer', 'hard', false);
  }

  /** kvm_xen_timer_enabled(): timers are handled here. */
  get enabled(): boolean {
    return this.#port !== 0;
  }

  /** timer_expires: guest system time in nanoseconds; 0: not armed. */
  get expires(): bigint {
    return this.#expires;
  }

  /** kvm_xen_has_pending_timer(). */
  hasPendingTimer(): boolean {
    return this.#pending > 0;
  }

  /** VCPUOP_set_singleshot_timer: at this guest time, which may have passed; 2^63 ns and more away is taken for the past. */
  set(timeoutNs: bigint): void {
    this.#start(timeoutNs, BigInt.asIntN(64, timeoutNs - this.#vcpu.vm.clock.nanoseconds()));
  }

  /** HYPERVISOR_set_timer_op. */
  setTimerOp(timeoutNs: bigint): void {
    const now = this.#vcpu.vm.clock.nanoseconds();
    const deadline = timerOpDeadline(timeoutNs, now);
    this.#start(deadline, BigInt.asIntN(64, deadline - now));
  }

  /** kvm_xen_stop_timer(). */
  stop(): void {
    if (this.#toCome()) this.#vcpu.vm.xen!.stat.timersStopped++;
    this.#hrtimer.cancel();
    this.#trace('stop');
    this.#expires = 0n;
    this.#pending = 0;
  }

  /** kvm_xen_inject_timer_irqs(): delivers an expiry that the callback could not, where the vCPU may sleep. */
  injectTimerIrqs(): void {
    if (this.#pending === 0) return;
    this.#trace('inject');
    setEvtchn(this.#vcpu.vm, this.#evtchn());
    this.#expires = 0n;
    this.#pending = 0;
  }

  /** xen_timer_callback(): in hard interrupt context, or in the vCPU's own when the timer has passed already. */
  onHrtimer(): HrtimerRestart {
    const { xenTimer } = this.#vcpu.vm.params;
    if (this.#pending > 0) return 'norestart';
    const eventfd = this.eventfd;
    if (eventfd !== null) {
      this.#trace('fire');
      this.#vcpu.vm.xen!.stat.timersSignalled++;
      eventfd.signal();
      this.#expires = 0n;
      return 'norestart';
    }
    if (xenTimer !== 'slow' && setEvtchnFast(this.#vcpu.vm, this.#evtchn()) !== EVTCHN.WOULD_BLOCK) {
      this.#trace('fire');
      this.#vcpu.vm.xen!.stat.timersFast++;
      if (xenTimer !== 'draft-2022') this.#expires = 0n;
      return 'norestart';
    }
    this.#trace('defer');
    this.#vcpu.vm.xen!.stat.timersDeferred++;
    this.#pending++;
    this.#vcpu.xen!.unblock();
    return 'norestart';
  }

  /** KVM_XEN_VCPU_ATTR_TYPE_TIMER, read. */
  getState(): XenTimerState {
    const { xenTimer } = this.#vcpu.vm.params;
    const careful = xenTimer === 'v3';
    if (careful && this.#expires !== 0n) {
      this.#hrtimer.cancel();
      this.injectTimerIrqs();
    }
    const armed = xenTimer !== 'draft-2022' || this.#hrtimer.active;
    const state = { port: this.#port, priority: PRIO_2LEVEL, expiresNs: armed ? this.#expires : 0n };
    if (careful && this.#expires !== 0n) this.#hrtimer.start(this.#hrtimer.expires);
    return state;
  }

  /** The same, written: whatever was armed is forgotten. Throws XenError. */
  setState({ port, priority, expiresNs }: XenTimerState): void {
    if (port !== 0 && priority !== PRIO_2LEVEL)
      throw new XenError('EINVAL', `there are 2-level event channels only, priority ${PRIO_2LEVEL}, not ${priority}`);
    this.stop();
    this.#port = port;
    if (port !== 0 && expiresNs !== 0n) this.set(expiresNs);
  }

  /** The machine has ended. */
  free(): void {
    this.#hrtimer.cancel();
  }

  /** What a snapshot keeps; the hrtimer is the host's. */
  transfer(fields: HostFields): void {
    this.#port = fields.value('port', this.#port);
    this.#expires = fields.value('expires', this.#expires);
    this.#pending = fields.value('pending', this.#pending);
  }

  /** kvm_xen_start_timer(). */
  #start(guestAbs: bigint, deltaNs: bigint): void {
    const { stat } = this.#vcpu.vm.xen!;
    if (this.#toCome()) stat.timersReplaced++;
    if (this.#vcpu.vm.params.xenTimer === 'v3' && this.#expires !== 0n) this.#hrtimer.cancel();
    this.#pending = 0;
    this.#expires = guestAbs;
    this.#trace('start');
    stat.timersArmed++;
    if (deltaNs <= 0n) {
      stat.timersPast++;
      this.onHrtimer();
    } else this.#hrtimer.start(this.#positionIn(deltaNs));
  }

  /** An event is to come, whatever `expires` says. */
  #toCome(): boolean {
    return this.#hrtimer.queued || this.#pending > 0;
  }

  /** The first host position at which that many nanoseconds are over. */
  #positionIn(ns: bigint): number {
    const { host, tscKhz } = this.#vcpu.vm;
    const cycles = (ns * BigInt(tscKhz) + NS_PER_MS - 1n) / NS_PER_MS;
    return Math.min(Math.ceil(host.thisCpu.now) + Number(cycles), Number.MAX_SAFE_INTEGER);
  }

  #evtchn(): Evtchn {
    return { port: this.#port, vcpu: this.#vcpu.id, priority: PRIO_2LEVEL };
  }

  #trace(op: ProbeEvents['kvm_xen_timer']['op']): void {
    const { probes, id } = this.#vcpu;
    if (probes.active) probes.fire('kvm_xen_timer', { vcpu: id, op, expires: this.#expires }, this.#vcpu.now());
  }
}
