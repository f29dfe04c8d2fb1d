// The piece of host code that the experiment preempts: a Xen singleshot timer as KVM has it (Linux 6.16 arch/x86/kvm/xen.c), with
// an hrtimer and the vCPU mutex around it. Written once, as production code would be, and never changed for the explorer.
import type { Atomic, Cell } from '../../../src/host/cells.ts';
import { block, relax, type Sleep } from '../../../src/host/sleep.ts';

export const WOULD_BLOCK = -11;

interface TimerOwner {
  /** Hard interrupt: must not sleep. */
  timerExpired(): void;
}

/** An hrtimer: start and cancel take the timer base's lock, so each is indivisible. */
export class HrTimer {
  readonly owner: TimerOwner;
  expires: Cell<number> = 0;
  queued: Cell<boolean> = false;
  running: Cell<boolean> = false;

  constructor(owner: TimerOwner) {
    this.owner = owner;
  }

  start(at: number): Atomic<void> {
    this.expires = at;
    this.queued = true;
  }

  tryToCancel(): Atomic<boolean> {
    if (this.running) return false;
    this.queued = false;
    return true;
  }

  /** Returns when the timer is neither queued nor running (hrtimer_cancel). */
  *cancel(): Sleep<void> {
    while (!this.tryToCancel()) yield* relax('hrtimer callback');
  }

  dequeue(): Atomic<boolean> {
    if (!this.queued) return false;
    this.queued = false;
    this.running = true;
    return true;
  }

  /** The timer interrupt on the timer's CPU. */
  interrupt(): void {
    if (!this.dequeue()) return;
    this.owner.timerExpired();
    this.running = false;
  }
}

export class Mutex {
  held: Cell<boolean> = false;

  tryLock(): Atomic<boolean> {
    if (this.held) return false;
    this.held = true;
    return true;
  }

  *lock(): Sleep<void> {
    while (!this.tryLock()) yield* block('vcpu mutex');
  }

  unlock(): void {
    this.held = false;
  }
}

export type Version = 'v1' | 'v3';

export class XenTimer implements TimerOwner {
  readonly version: Version;
  readonly hrtimer = new HrTimer(this);
  readonly mutex = new Mutex();
  /** Absolute guest time; 0 = inactive. */
  expires: Cell<number> = 0;
  pending: Cell<number> = 0;
  eventPending: Cell<boolean> = false;
  sharedInfoValid: Cell<boolean> = true;

  constructor(version: Version) {
    this.version = version;
  }

  testAndSetEvent(): Atomic<boolean> {
    const was = this.eventPending;
    this.eventPending = true;
    return was;
  }

  /** kvm_xen_set_evtchn_fast */
  deliverFast(): number {
    if (!this.sharedInfoValid) return WOULD_BLOCK;
    return this.testAndSetEvent() ? 0 : 1;
  }

  /** xen_timer_callback: hard interrupt. */
  timerExpired(): void {
    if (this.pending > 0) return;
    if (this.deliverFast() !== WOULD_BLOCK) {
      this.expires = 0;
      return;
    }
    this.pending++;
  }

  /** kvm_xen_start_timer; the caller holds the mutex. */
  *start(at: number): Sleep<void> {
    if (this.version === 'v3' && this.expires !== 0) yield* this.hrtimer.cancel();
    this.pending = 0;
    this.expires = at;
    this.hrtimer.start(at);
  }

  *stop(): Sleep<void> {
    yield* this.hrtimer.cancel();
    this.expires = 0;
    this.pending = 0;
  }

  /** kvm_xen_inject_timer_irqs */
  inject(): void {
    if (this.pending > 0) {
      this.testAndSetEvent();
      this.expires = 0;
      this.pending = 0;
    }
  }

  /** KVM_XEN_VCPU_ATTR_TYPE_TIMER */
  *getAttr(): Sleep<number> {
    if (this.version === 'v3' && this.expires !== 0) {
      yield* this.hrtimer.cancel();
      this.inject();
    }
    const { expires } = { expires: this.expires };
    if (this.version === 'v3' && expires !== 0) this.hrtimer.start(expires);
    return expires;
  }

  /** A hypercall on the vCPU thread. */
  *setTimer(at: number): Sleep<void> {
    yield* this.mutex.lock();
    try {
      yield* this.start(at);
    } finally {
      this.mutex.unlock();
    }
  }

  /** An ioctl on a VMM thread. */
  *readAttr(): Sleep<number> {
    yield* this.mutex.lock();
    try {
      return yield* this.getAttr();
    } finally {
      this.mutex.unlock();
    }
  }

  /** `expires` says an event is still to come exactly when something will bring it. */
  get consistent(): boolean {
    return (this.expires !== 0) === (this.hrtimer.queued || this.pending > 0);
  }
}
