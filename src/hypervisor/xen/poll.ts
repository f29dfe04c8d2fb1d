// SCHEDOP_poll: a vCPU waits for one of some ports to become pending, masked or not, without an interrupt
// (kvm_xen_schedop_poll and kvm_xen_check_poller of Linux 6.16 arch/x86/kvm/xen.c).
//
// Theory: the vCPU first says that it polls, and then looks at its ports: whoever sets one sets its bit and then looks who
// polls, so one of both sees the other. It then waits as a halted vCPU does, until its port comes, an interrupt, or the
// time is over; the call answers 0 in any case, and the guest looks again. The answer is in RAX before the wait: nobody sees
// the difference, and the wait is the run loop's own. Two KVM-isms: the timeout counts from now, where Xen's is an absolute
// time, and it ends with a tick of the host.

import type { HostFields } from '../../host/savedFields.ts';
import type { Atomic, Cell } from '../../host/cells.ts';
import { Hrtimer, type HrtimerOwner, type HrtimerRestart } from '../../host/hrtimer.ts';
import type { Vcpu } from '../vcpu.ts';

/** poll_evtchn: no port, or several. */
const NO_PORT = 0;
const SEVERAL = -1;
/** 1 / HZ. */
const JIFFY_NS = 1_000_000n;
const JIFFIES_PER_S = 1000;

export class XenPoll implements HrtimerOwner {
  readonly name: string;
  /** The wait has begun; its end makes the vCPU runnable. */
  waiting: Cell<boolean> = false;
  /** This vCPU's bit of poll_mask: it looks at ports, or waits for one. */
  #polling: Cell<boolean> = false;
  #port: Cell<number> = NO_PORT;
  readonly #vcpu: Vcpu;
  readonly #timer: Hrtimer;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.name = vcpu.name;
    this.#timer = new Hrtimer(vcpu.vm.host, this, 'Xen poll', 'soft', false);
  }

  /** Waits for one of the ports, at most so many nanoseconds (0: for ever). The vCPU is halted afterwards, unless one is pending. */
  begin(ports: readonly number[], timeoutNs: bigint): void {
    this.#port = ports.length === 1 ? ports[0]! : SEVERAL;
    this.#polling = true;
    if (this.#anyPending(ports)) {
      this.#stop();
      return;
    }
    this.#vcpu.vm.xen!.stat.polls++;
    this.waiting = true;
    this.#vcpu.mpState = 'halted';
    if (timeoutNs !== 0n) this.#timer.start(this.#tickIn(timeoutNs));
  }

  /** The wait, if there is one, is over, whatever ended it. */
  end(): void {
    if (!this.waiting) return;
    this.waiting = false;
    this.#timer.cancel();
    this.#vcpu.mpState = 'runnable';
    this.#stop();
  }

  /** What was waited for has come, or the time is over. */
  get over(): boolean {
    return this.waiting && !this.#polling;
  }

  /** kvm_xen_check_poller(): test_and_clear_bit(poll_mask), if it is this port that is waited for. */
  wokenBy(port: number): boolean {
    if ((this.#port !== port && this.#port !== SEVERAL) || !this.#testAndClear()) return false;
    this.#vcpu.vm.xen!.stat.pollWakeUps++;
    return true;
  }

  /** cancel_evtchn_poll(). */
  onHrtimer(): HrtimerRestart {
    if (this.#testAndClear()) this.#vcpu.vm.xen!.stat.pollTimeouts++;
    this.#vcpu.xen!.unblock();
    return 'norestart';
  }

  /** The machine has ended. */
  free(): void {
    this.#timer.cancel();
  }

  transfer(fields: HostFields): void {
    fields.own<XenPoll>(this, 'waiting');
    this.#polling = fields.value('polling', this.#polling);
    this.#port = fields.value('port', this.#port);
  }

  #testAndClear(): Atomic<boolean> {
    const was = this.#polling;
    this.#polling = false;
    return was;
  }

  #stop(): void {
    this.#port = NO_PORT;
    this.#testAndClear();
  }

  /** wait_pending_event(). Without shared_info the guest is to look itself. */
  #anyPending(ports: readonly number[]): boolean {
    const xen = this.#vcpu.vm.xen!;
    const layout = xen.layout;
    const { page } = xen.sharedInfo;
    if (!page.hold()) return true;
    const found = ports.some((port) => page.testBit(layout.pending, port));
    page.release();
    return found;
  }

  /** The position of jiffies + nsecs_to_jiffies(). */
  #tickIn(ns: bigint): number {
    const { host, tscKhz } = this.#vcpu.vm;
    const cyclesOfTick = (tscKhz * 1000) / JIFFIES_PER_S;
    const ticks = Math.floor(host.thisCpu.now / cyclesOfTick) + Number(ns / JIFFY_NS);
    return Math.min(Math.ceil(ticks * cyclesOfTick), Number.MAX_SAFE_INTEGER);
  }
}
