// The local APIC's timer: countdown and TSC-deadline modes, who carries the deadline, and what happens when it passes
// (struct kvm_timer and its functions in Linux arch/x86/kvm/lapic.c).
//
// Theory: a deadline is carried by exactly one of {hrtimer queued, preemption timer in use, nothing}. When it passes,
// `pending` counts up and the vCPU is asked to stop blocking or to leave guest mode; the vCPU itself then turns `pending`
// into an interrupt, in its run loop before the next entry. So whatever an expiry means (is the entry masked, did the guest
// extend a lazy deadline) is decided in the vCPU's own context, never while its guest runs. An expiry while one is pending
// is lost: ticks coalesce. With APIC virtualisation an expiry in the vCPU's context is an interrupt at once, and one on
// another CPU may be posted to a guest that runs; a lazy deadline takes the longer way even then. Times: `tscdeadline` is a
// guest TSC, exact; targets and periods are host cycles.

import type { SavedFields } from '../cpu/savedFields.ts';
import type { Cell } from '../host/cells.ts';
import type { Hrtimer, HrtimerOwner, HrtimerRestart } from '../host/hrtimer.ts';
import { Countdown } from './lapic/countdown.ts';
import type { Lapic } from './lapic/lapic.ts';
import { localDeliver, timerModeMask } from './lapic/lvt.ts';
import type { Apicv, LapicHrtimer } from './lapic/owner.ts';
import { testVector } from './lapic/priority.ts';
import { APIC, LVT } from './lapic/registers.ts';
import { LazyTscDeadline } from './pv/lazyTscDeadline.ts';
import { KVM_REQ } from './requests.ts';
import { TimerAdvance } from './timerAdvance.ts';
import { HV_TIMER_GRAIN } from './vmx/hvTimer.ts';

export class ApicTimer implements HrtimerOwner {
  readonly lapic: Lapic;
  /** The paravirtual extension of TSC-deadline mode; inert until the guest enables it. */
  readonly lazy: LazyTscDeadline;
  /** LVTT bits 18:17, in place. */
  timerMode: Cell<number> = LVT.TIMER_ONESHOT;
  /** Expired and not yet turned into an interrupt. */
  pending: Cell<number> = 0;
  /** Guest TSC at which the timer fires; 0: not armed. Countdown modes keep the equivalent of their target here. */
  tscdeadline: Cell<bigint> = 0n;
  /** The deadline that passed last: what a vCPU that is entered too early waits for. */
  expiredTscdeadline: Cell<bigint> = 0n;
  /** One-shot and periodic mode: what is counted. */
  readonly countdown: Countdown;
  readonly advance: TimerAdvance;
  hvTimerInUse: Cell<boolean> = false;
  readonly #hrtimer: LapicHrtimer;

  constructor(lapic: Lapic) {
    this.lapic = lapic;
    this.countdown = new Countdown(lapic);
    this.lazy = new LazyTscDeadline(this, lapic.owner.guestPage());
    this.#hrtimer = lapic.owner.hrtimer(this, 'lapic timer');
    const { params, tscKhz } = lapic.owner.vm;
    this.advance = new TimerAdvance(params.lapicTimerAdvance, tscKhz);
  }

  /** Name of the hrtimer's owner. */
  get name(): string {
    return `vcpu ${this.lapic.owner.id}`;
  }

  #oneshot(): boolean {
    return this.timerMode === LVT.TIMER_ONESHOT;
  }
  #periodic(): boolean {
    return this.timerMode === LVT.TIMER_PERIODIC;
  }
  get tscDeadlineMode(): boolean {
    return this.timerMode === LVT.TIMER_TSCDEADLINE;
  }

  /**
   * WRMSR of IA32_TSC_DEADLINE: ignored outside TSC-deadline mode. 0 disarms; a past deadline expires at once.
   * `hostInitiated`: the VMM restores a vCPU.
   */
  setLapicTscdeadlineMsr(value: bigint, hostInitiated = false): void {
    if (!this.lapic.hardwareEnabled || !this.tscDeadlineMode) return;
    const { directDeadline } = this.lapic.owner;
    if (directDeadline !== null) {
      directDeadline.setDeadline(value);
      return;
    }
    this.#hrtimer.cancel();
    this.tscdeadline = value;
    this.lazy.update(value, hostInitiated);
    this.startApicTimer();
    if (this.pending > 0) this.lazy.clear('expired');
  }

  /** RDMSR of IA32_TSC_DEADLINE. */
  getLapicTscdeadlineMsr(): bigint {
    if (!this.lapic.hardwareEnabled || !this.tscDeadlineMode) return 0n;
    return this.lapic.owner.directDeadline?.deadline ?? this.tscdeadline;
  }

  /** What a snapshot keeps; the hrtimer is the host's. */
  transfer(fields: SavedFields): void {
    fields.own<ApicTimer>(this, 'timerMode', 'pending', 'tscdeadline', 'expiredTscdeadline', 'hvTimerInUse');
    this.countdown.transfer(fields.part('countdown'));
    this.advance.transfer(fields.part('advance'));
    this.lazy.transfer(fields.part('lazy'));
  }

  /** LVTT was written: apic_update_lvtt(). Into or out of TSC-deadline mode everything is disarmed; a countdown goes on. */
  updateLvtt(): void {
    const entry = this.lapic.register(APIC.LVTT);
    const mode = entry & timerModeMask(this.lapic);
    if (mode !== this.timerMode) {
      if (this.tscDeadlineMode !== (mode === LVT.TIMER_TSCDEADLINE)) {
        this.#cancelApicTimer();
        this.lapic.setRegister(APIC.TMICT, 0);
        this.countdown.stop();
        this.tscdeadline = 0n;
        this.lazy.clear('mode');
      }
      this.timerMode = mode;
      this.countdown.limitFrequency(this.#periodic());
    }
    if ((entry & LVT.MASKED) !== 0) this.lazy.clear('masked');
  }

  /** TMICT: starts a countdown anew, or stops it with 0. Ignored in TSC-deadline mode. */
  writeInitialCount(count: number): void {
    if (this.tscDeadlineMode) return;
    this.#cancelApicTimer();
    this.lapic.setRegister(APIC.TMICT, count);
    this.startApicTimer();
  }

  /** TMCCT: apic_get_tmcct(). */
  currentCount(): number {
    return this.countdown.currentCount;
  }

  /** TDCR was written. */
  updateDivide(): void {
    if (!this.countdown.updateDivide(this.#periodic())) return;
    this.#hrtimer.cancel();
    this.#aimAtCountdown();
    this.restartApicTimer();
  }

  /** start_apic_timer(): forgets an expiry that was not injected yet, and arms what the registers say. */
  startApicTimer(countRegister: number = APIC.TMICT): void {
    this.pending = 0;
    if (this.#oneshot() || this.#periodic()) {
      const counts = this.countdown.start(countRegister, this.#periodic());
      this.tscdeadline = 0n;
      if (!counts) return;
      this.#aimAtCountdown();
    }
    this.restartApicTimer();
  }

  /** The guest's TSC was moved against host time: a deadline, which is a TSC, now lies elsewhere. A countdown does not. */
  tscMoved(): void {
    this.lapic.owner.directDeadline?.counterMoved();
    if (!this.tscDeadlineMode || this.pending > 0) return;
    this.#hrtimer.cancel();
    this.restartApicTimer();
  }

  /** restart_apic_timer(): hands the deadline to whoever may carry it now. */
  restartApicTimer(): void {
    if (!this.#periodic() && this.pending > 0) return;
    if (!this.startHvTimer()) this.startSwTimer();
  }

  /** kvm_can_use_hv_timer(): there is one, and no timer interrupts are posted. */
  get canUseHvTimer(): boolean {
    const { hvTimer, apicv } = this.lapic.owner;
    return hvTimer !== null && !(apicv !== null && apicv.canPostTimerInterrupt);
  }

  /**
   * start_hv_timer(): the preemption timer carries the deadline. False where there is none, nothing is armed, or the deadline
   * is too far away for it. A periodic one stays there even if it has passed: its exit computes the next.
   */
  startHvTimer(): boolean {
    const { hvTimer } = this.lapic.owner;
    if (hvTimer === null || this.tscdeadline === 0n || !this.canUseHvTimer) return false;
    const set = hvTimer.set(this.tscdeadline, this.advance.cycles);
    if (set === null) return false;
    this.hvTimerInUse = true;
    this.#hrtimer.cancel();
    if (!this.#periodic()) {
      if (this.pending > 0) this.#cancelHvTimer();
      else if (set.expired) {
        this.#expireAtOnce();
        this.#cancelHvTimer();
      }
    }
    this.#traceHvTimer();
    return true;
  }

  /** kvm_lapic_expired_hv_timer(): the preemption timer ended guest mode. In the vCPU's context. */
  expiredHvTimer(): void {
    if (!this.hvTimerInUse || this.lazy.replacesHvExpiry()) return;
    this.apicTimerExpired(false);
    this.#cancelHvTimer();
    this.lazy.hvTimerExpired();
    if (!this.#periodic() || this.countdown.period === 0) return;
    this.#advancePeriodicTargetExpiration();
    this.restartApicTimer();
  }

  /** kvm_lapic_restart_hv_timer(): the vCPU was loaded on another CPU, whose counter stands elsewhere. */
  restartHvTimer(): void {
    if (this.hvTimerInUse) this.restartApicTimer();
  }

  #cancelHvTimer(): void {
    this.lapic.owner.hvTimer?.cancel();
    this.hvTimerInUse = false;
  }

  /**
   * Whether an expiry is an interrupt at once, and then makes it one: in the vCPU's own context, where IRR is all that is
   * needed, or posted to a guest that runs. A lazy deadline is judged first, in the outer loop.
   */
  #injectAtOnce(apicv: Apicv, fromTimerFn: boolean): boolean {
    if (this.lazy.judgesExpiries) return false;
    if (fromTimerFn || !apicv.active) {
      if (!apicv.usePostedTimerInterrupt) return false;
      this.#waitUntilExpired();
    }
    this.#injectPendingTimerIrqs();
    return true;
  }

  /** A posted interrupt reaches a guest that runs without an entry to wait at: who posts it waits for the deadline. */
  #waitUntilExpired(): void {
    if (this.expiredTscdeadline === 0n || this.advance.ns === 0) return;
    this.lapic.owner.delay(this.waitLapicExpire(this.vector));
  }

  /** A deadline that has passed when it is handed to a timer. */
  #expireAtOnce(): void {
    this.apicTimerExpired(false);
    this.lazy.passedBeforeStart();
  }

  #traceHvTimer(): void {
    const { probes, id } = this.lapic.owner;
    if (!probes.active) return;
    probes.fire('kvm_hv_timer_state', { vcpu: id, hvTimer: this.hvTimerInUse }, this.lapic.owner.now());
  }

  /** start_sw_timer(): an hrtimer carries the deadline, or it has passed already. */
  startSwTimer(): void {
    if (this.hvTimerInUse) this.#cancelHvTimer();
    if (!this.#periodic() && this.pending > 0) return;
    if (this.#oneshot() || this.#periodic()) this.#startSwPeriod();
    else if (this.tscDeadlineMode) this.#startSwTscdeadline();
    this.#traceHvTimer();
  }

  #startSwTscdeadline(): void {
    if (this.tscdeadline === 0n) return;
    const { owner } = this.lapic;
    // Far in the future this is rounded; the sum is then beyond what any hrtimer waits for.
    const remaining = owner.cyclesUntil(this.tscdeadline);
    const advance = this.advance.cycles;
    if (remaining > advance) {
      this.#hrtimer.start(Math.min(owner.now() + remaining - advance, Number.MAX_SAFE_INTEGER));
      return;
    }
    this.#expireAtOnce();
  }

  #startSwPeriod(): void {
    if (this.countdown.period === 0) return;
    if (this.lapic.owner.now() > this.countdown.end) {
      this.apicTimerExpired(false);
      if (this.#oneshot()) return;
      this.#advancePeriodicTargetExpiration();
    }
    this.#hrtimer.start(this.countdown.end);
  }

  /** vcpu_block: a deadline on the preemption timer, which counts in guest mode only, moves to the hrtimer. */
  switchToSwTimer(): void {
    if (this.hvTimerInUse) this.startSwTimer();
  }
  /** ... and back before the next entry. */
  switchToHvTimer(): void {
    this.restartApicTimer();
  }

  /** KVM_REQ_MIGRATE_TIMER: a queued hrtimer follows the vCPU to the calling physical CPU. */
  migrate(): void {
    const { apicv } = this.lapic.owner;
    // Wherever it is, it posts.
    if (apicv !== null && apicv.canPostTimerInterrupt) return;
    const expires = this.#hrtimer.expires;
    if (this.#hrtimer.cancel()) this.#hrtimer.start(expires);
  }

  /** cancel_apic_timer(). */
  #cancelApicTimer(): void {
    this.#hrtimer.cancel();
    if (this.hvTimerInUse) this.#cancelHvTimer();
    this.pending = 0;
  }

  /** apic_timer_fn(): the hrtimer's callback, in hard interrupt context on the physical CPU that started it. */
  onHrtimer(timer: Hrtimer | LapicHrtimer): HrtimerRestart {
    this.apicTimerExpired(true);
    this.lazy.timerFnExpired();
    if (!this.#periodic() || this.countdown.period === 0) return 'norestart';
    this.#advancePeriodicTargetExpiration();
    timer.expires = this.countdown.end;
    return 'restart';
  }

  /** apic_timer_expired(): the deadline has passed. `fromTimerFn`: not in the vCPU's context, so it must be kicked. */
  apicTimerExpired(fromTimerFn: boolean): void {
    if (this.pending > 0) return;
    if (this.tscDeadlineMode || this.hvTimerInUse) this.expiredTscdeadline = this.tscdeadline;
    const { apicv } = this.lapic.owner;
    if (apicv !== null && this.#injectAtOnce(apicv, fromTimerFn)) return;
    this.pending++;
    this.lapic.owner.requests.make(KVM_REQ.UNBLOCK);
    if (fromTimerFn) this.lapic.owner.kick();
  }

  /** Expires now, whatever the deadline: what a debugger asks for. */
  expireNow(): void {
    this.#hrtimer.cancel();
    if (this.hvTimerInUse) this.#cancelHvTimer();
    this.apicTimerExpired(true);
    // Nobody is to wait for a deadline that was not waited for.
    this.expiredTscdeadline = 0n;
  }

  /** A deadline has passed, and no entry with the timer's interrupt has waited for it. */
  get hasExpired(): boolean {
    return this.expiredTscdeadline !== 0n;
  }
  /** The vector in LVTT. */
  get vector(): number {
    return this.lapic.register(APIC.LVTT) & LVT.VECTOR;
  }
  /** That vector is in IRR: how lapic_timer_int_injected() asks with APIC virtualisation. */
  get isRequested(): boolean {
    return testVector(this.lapic.regs, APIC.IRR, this.vector);
  }

  /**
   * __kvm_wait_lapic_expire(): cycles that an entry with the timer's interrupt still has to wait for its deadline, at most as
   * many as the timer can have been early. KVM waits for the corrected advance at most, and not for what the preemption
   * timer's grain adds; here no interrupt is early.
   */
  waitLapicExpire(vector: number): number {
    if (vector !== this.vector) return 0;
    const { owner } = this.lapic;
    const delta = -owner.cyclesUntil(this.expiredTscdeadline);
    this.expiredTscdeadline = 0n;
    const wait = Math.min(Math.max(-delta, 0), this.advance.cycles + HV_TIMER_GRAIN);
    if (this.advance.ns > 0) {
      if (owner.probes.active) owner.probes.fire('kvm_wait_lapic_expire', { vcpu: owner.id, delta }, owner.now());
      this.advance.adjust(delta);
    }
    return wait;
  }

  /**
   * apic_has_pending_timer(): an expiry waits for the vCPU. KVM asks for an unmasked entry too, and so keeps an expiry that
   * happened while masked for the next unmasking; silicon and this timer drop it (in injectApicTimerIrqs).
   */
  hasPendingTimer(): boolean {
    return this.pending > 0;
  }

  /** kvm_inject_apic_timer_irqs(): turns an expiry into an interrupt, in the vCPU's context, before entry or while it blocks. */
  injectApicTimerIrqs(): void {
    if (this.pending === 0) return;
    if (this.lazy.replacesInterrupt()) return;
    this.#injectPendingTimerIrqs();
    this.pending = 0;
  }

  /** kvm_apic_inject_pending_timer_irqs(). */
  #injectPendingTimerIrqs(): void {
    localDeliver(this.lapic, APIC.LVTT);
    if (this.#periodic()) return;
    this.tscdeadline = 0n;
    this.countdown.end = 0;
  }

  /** Power-on or INIT: stopped, one-shot, and the guest's lazy page is forgotten. The registers are reset already. */
  reset(): void {
    this.#cancelApicTimer();
    this.lapic.owner.directDeadline?.reset();
    this.lazy.exit();
    this.timerMode = LVT.TIMER_ONESHOT;
    this.tscdeadline = 0n;
    this.expiredTscdeadline = 0n;
    this.countdown.stop();
    this.countdown.readDivide();
  }

  /** kvm_free_lapic(): the VM is gone; its registers still say what they said, but nothing fires any more. */
  free(): void {
    this.lapic.owner.directDeadline?.free();
    this.#hrtimer.cancel();
    this.#cancelHvTimer();
  }

  /** The register page was replaced: a countdown goes on from its TMCCT. */
  restored(): void {
    this.#cancelApicTimer();
    this.expiredTscdeadline = 0n;
    const restored = this.lapic.register(APIC.TMICT);
    this.updateLvtt();
    this.lapic.setRegister(APIC.TMICT, restored);
    this.countdown.readDivide();
    this.startApicTimer(APIC.TMCCT);
    this.lapic.setRegister(APIC.TMCCT, 0);
    const { regs, owner } = this.lapic;
    const { vector } = this;
    owner.directDeadline?.restored(vector, testVector(regs, APIC.IRR, vector), testVector(regs, APIC.ISR, vector));
  }

  /** advance_periodic_target_expiration(). */
  #advancePeriodicTargetExpiration(): void {
    this.countdown.nextRound();
    this.#aimAtCountdown();
  }

  /** The deadline at which the countdown ends, for the preemption timer. */
  #aimAtCountdown(): void {
    this.tscdeadline = this.lapic.owner.guestTsc() + BigInt(this.countdown.remaining);
  }
}
