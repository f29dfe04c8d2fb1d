// Lazy TSC deadline: a page shared with the guest that makes most writes of IA32_TSC_DEADLINE exitless (RFC of July 2023,
// V1 to V3, never merged upstream). This is the host's half; the guest's is a clock-event device.
//
// Theory. Guests re-arm their timer far more often than it expires, and each WRMSR is a VM exit. The page holds two words:
//
//   armed    written by the host only: the deadline that it has a timer for; 0: none
//   pending  written by the guest only, at every set_next_event: the deadline that it wants
//
// The guest stores pending, then loads armed, and writes the MSR only when armed == 0 or its deadline is earlier. Otherwise
// the timer fires at `armed`, the host finds the later `pending`, and arms that instead: the interrupt comes when it is
// wanted, and any number of postponements cost one timer. States: D disabled, I idle (armed 0), A armed (pending == armed),
// L extended (pending > armed).
//
//   D -> I  init     MSR = address | 1: the page is mapped            * -> D  exit   MSR = 0, INIT, reset: forgotten
//   I -> A  update   WRMSR TSC_DEADLINE arms, in A and L too          A -> L         the guest alone
//   L -> A  kick     fired, pending lies ahead: armed = pending       A -> I  kick   fired: interrupt, armed = 0
//   * -> I  clear    armed = 0: expired while being armed, LVTT masked, mode changed, disabled, or written 0
//
// What must never happen is that armed stays non-zero without a timer behind it: the guest would wait for ever. Hence every
// way by which a timer ends passes `clear` or `kick`. Both words race only if the host acts while the guest runs (a Dekker
// pattern: guest store pending, load armed; host store armed, load pending). It does not: the timer's callback only
// counts the expiry and kicks; kick() runs in the vCPU's own context, before the next entry, and before any interrupt is
// injected. So the guest's handler never sees an armed that has passed, and the interrupt of an extended deadline is not
// raised early on any path. V2 and V3 came by elsewhere: lazyProtocol.ts has what they did, for whoever wants to see it.
//
// Further than they: the mapping follows memory slots. While the page cannot be written, cachedArmed is the truth; the page
// is brought up to date before the next entry (`stale`, `refresh`), and a deadline that fires meanwhile is an ordinary one.
// Enabling publishes a deadline that is armed already, so that a restored vCPU may get its two MSRs in any order. A guest's
// WRMSR whose value is not in `pending` did not come from set_next_event (a kernel before or after this one, say): what
// pending holds then is no extension of it, and must not put it off.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import type { GuestPage } from '../lapic/owner.ts';
import { KVM_REQ } from '../requests.ts';
import type { ApicTimer } from '../timer.ts';
import { LAZY_PROTOCOLS, type LazyProtocol } from './lazyProtocol.ts';

/** struct kvm_lazy_tscdeadline: byte offsets; u32 flags at 16 and padding follow. */
export const LAZY_TSCDEADLINE = { ARMED: 0, PENDING: 8, SIZE: 64, ALIGNMENT: 64 } as const;

/** KVM_MSR_ENABLED: bit 0 of the MSR. */
const ENABLED = 1n;
const MISALIGNED = BigInt(LAZY_TSCDEADLINE.ALIGNMENT - 1);

/** Why armed became 0. `fired`: an ordinary expiry; `expired`: past while being armed; `disarmed`: the guest wrote 0. */
export type ClearCause = 'fired' | 'expired' | 'disarmed' | 'masked' | 'mode' | 'disabled';

export interface LazyCounters {
  /** Deadlines published: by the guest's WRMSR, and one for each re-arm. */
  updates: number;
  /** Armed deadlines that fired. */
  kicks: number;
  /** ... and were armed anew for a later pending one. */
  rearms: number;
  clears: Record<ClearCause, number>;
  /** Interrupts at `armed` although the guest had postponed, or the page could not be read. */
  spurious: number;
}

type LazyOp = 'init' | 'exit' | 'update' | 'kick' | 'rearm' | 'clear' | 'refresh';

export class LazyTscDeadline {
  readonly #timer: ApicTimer;
  readonly #page: GuestPage;
  readonly #protocol: LazyProtocol;
  /** The page is mapped. */
  enabled: Cell<boolean> = false;
  /** Address | 1; 0: none. What RDMSR answers. */
  msrVal: Cell<bigint> = 0n;
  /** The host's trusted copy of armed: what the page says, or will say once it can be written. */
  cachedArmed: Cell<bigint> = 0n;
  readonly counters: LazyCounters = {
    updates: 0,
    kicks: 0,
    rearms: 0,
    clears: { fired: 0, expired: 0, disarmed: 0, masked: 0, mode: 0, disabled: 0 },
    spurious: 0,
  };
  /** The page does not say cachedArmed, because it could not be written. */
  #unpublished: Cell<boolean> = false;
  /** The word found in pending when the MSR was written with something else; 0: none. It extends nothing. */
  #unrelated: Cell<bigint> = 0n;

  constructor(timer: ApicTimer, page: GuestPage) {
    this.#timer = timer;
    this.#page = page;
    this.#protocol = LAZY_PROTOCOLS[timer.lapic.owner.vm.params.lazyTscdeadline];
  }

  transfer(fields: SavedFields): void {
    fields.own<LazyTscDeadline>(this, 'enabled', 'msrVal', 'cachedArmed');
    this.#unpublished = fields.value('unpublished', this.#unpublished);
    this.#unrelated = fields.value('unrelated', this.#unrelated);
    fields.numbers('counters', this.counters);
    fields.numbers('clears', this.counters.clears);
    this.#page.transfer(fields.part('page'));
  }

  /** RDMSR of MSR_KVM_LAZY_TSCDEADLINE. */
  readMsr(): bigint {
    return this.msrVal;
  }

  /** WRMSR of MSR_KVM_LAZY_TSCDEADLINE; false is #GP: misaligned, or no memory there. */
  writeMsr(value: bigint): boolean {
    if ((value & ENABLED) !== 0n) return this.init(value);
    this.clear('disabled');
    this.exit();
    return true;
  }

  /** Maps the page and publishes what is armed. A page that was mapped before is let go first. */
  init(value: bigint): boolean {
    this.exit();
    this.msrVal = 0n;
    const gpa = value - ENABLED;
    if ((gpa & MISALIGNED) !== 0n) return false;
    if (!this.#page.activate(gpa, LAZY_TSCDEADLINE.SIZE)) {
      this.#page.deactivate();
      return false;
    }
    this.enabled = true;
    this.msrVal = value;
    if (this.#protocol.publishesOnInit) this.#publish(this.#timer.getLapicTscdeadlineMsr());
    this.#trace('init');
    return true;
  }

  /** Forgets the page without a last word to it: after INIT or reset the memory may be anything. */
  exit(): void {
    if (!this.enabled) return;
    this.#trace('exit');
    this.#page.deactivate();
    this.enabled = false;
    if (!this.#protocol.keepsAddress) this.msrVal = 0n;
    this.cachedArmed = 0n;
    this.#unpublished = false;
    this.#unrelated = 0n;
  }

  /**
   * IA32_TSC_DEADLINE was written, by the guest, by the VMM that restores one, or by kick(): called before the timer is
   * started. A restored deadline may be extended already.
   */
  update(deadline: bigint, hostInitiated = false): void {
    if (!this.enabled) return;
    if (deadline === 0n) {
      this.clear('disarmed');
      return;
    }
    this.counters.updates++;
    this.#publish(deadline);
    const pending = this.#pending();
    const related = hostInitiated || pending === deadline || !this.#protocol.sparesUnrelated;
    this.#unrelated = related ? 0n : pending;
    this.#trace('update');
  }

  /** kvm_lapic_expired_hv_timer(), before the expiry. True: the guest wanted a later deadline, and nothing has expired. */
  replacesHvExpiry(): boolean {
    return this.#protocol.hvTimer === 'before' && this.kick();
  }

  /** ... and behind the expiry. */
  hvTimerExpired(): void {
    if (this.#protocol.hvTimer !== 'behind') return;
    // An expiry that is not injected yet is forgotten when the later deadline is armed.
    const swallowed = this.#timer.pending > 0;
    if (this.kick() && !swallowed) this.counters.spurious++;
  }

  /** apic_timer_fn(), behind the expiry and the kick. */
  timerFnExpired(): void {
    if (this.#protocol.timerFnRequests && this.enabled) this.#timer.lapic.owner.requests.make(KVM_REQ.LAZY_TSCDEADLINE);
  }

  /** KVM_REQ_LAZY_TSCDEADLINE, before an entry: the interrupt has been raised. */
  requested(): void {
    if (this.kick()) this.counters.spurious++;
  }

  /** Whether an expiry has to become an interrupt where it can be judged: in kvm_inject_apic_timer_irqs(). */
  get judgesExpiries(): boolean {
    return this.enabled && this.#protocol.atInjection;
  }

  /** kvm_inject_apic_timer_irqs(). True: the guest wanted a later deadline, and that has not passed. */
  replacesInterrupt(): boolean {
    return this.judgesExpiries && this.kick() && this.#timer.pending === 0;
  }

  /**
   * The armed deadline has fired. True: the guest wanted a later one, which is armed now (or has passed as well; then an
   * expiry is pending again). False: the interrupt is due.
   */
  kick(): boolean {
    if (this.cachedArmed === 0n) return false;
    this.counters.kicks++;
    this.#trace('kick');
    if (!this.#page.valid() && !this.refresh()) {
      this.counters.spurious++;
      this.clear('fired');
      return false;
    }
    const fired = this.#protocol.compares === 'copy' ? this.cachedArmed : this.#page.readU64(LAZY_TSCDEADLINE.ARMED);
    const pending = this.#pending();
    if (pending <= fired || pending === this.#unrelated) {
      this.clear('fired');
      return false;
    }
    this.counters.rearms++;
    this.#timer.setLapicTscdeadlineMsr(pending);
    this.#trace('rearm');
    return true;
  }

  /** The armed deadline had passed when it was handed from one timer to another. */
  passedBeforeStart(): void {
    if (this.judgesExpiries || this.cachedArmed === 0n) return;
    if (this.#pending() > this.cachedArmed) this.counters.spurious++;
    this.clear('expired');
  }

  /** What the page says, and where it is; the words are null while it cannot be read. Null: it is not mapped. */
  words(): { readonly gpa: bigint; readonly pending: bigint | null; readonly armed: bigint | null } | null {
    if (!this.enabled) return null;
    const gpa = this.msrVal - ENABLED;
    if (!this.#page.valid()) return { gpa, pending: null, armed: null };
    const [pending, armed] = [LAZY_TSCDEADLINE.PENDING, LAZY_TSCDEADLINE.ARMED].map((at) => this.#page.readU64(at));
    return { gpa, pending: pending!, armed: armed! };
  }

  /** debugfs: "force to kick the timer, to rescue the vCPU". On the vCPU's CPU, in interrupt context. */
  forceKick(): void {
    if (!this.enabled) return;
    if (this.judgesExpiries) {
      this.#publish(this.cachedArmed); // whatever the page says by now
      this.#timer.expireNow();
      return;
    }
    this.#timer.lapic.owner.requests.make(KVM_REQ.LAZY_TSCDEADLINE);
    this.#timer.lapic.owner.kick();
  }

  /** No timer is behind armed any more, so the next set_next_event must trap. */
  clear(cause: ClearCause): void {
    if (this.cachedArmed === 0n) return;
    this.counters.clears[cause]++;
    this.#publish(0n);
    this.#trace('clear');
  }

  /** The page must be brought up to date before the guest runs: it moved, or could not be written. */
  get stale(): boolean {
    return this.enabled && (this.#unpublished || !this.#page.valid());
  }

  /** Maps the page again and says what is armed; false while there is no memory at its address. */
  refresh(): boolean {
    if (!this.enabled || !this.#page.refresh()) return false;
    this.#publish(this.cachedArmed);
    this.#trace('refresh');
    return true;
  }

  #publish(armed: bigint): void {
    this.cachedArmed = armed;
    this.#unpublished = !this.#page.valid() && !this.#page.refresh();
    if (!this.#unpublished) this.#page.writeU64(LAZY_TSCDEADLINE.ARMED, armed);
  }

  /** The guest's word, read once; it may be anything. 0 when the page cannot be read. */
  #pending(): bigint {
    return this.#page.valid() ? this.#page.readU64(LAZY_TSCDEADLINE.PENDING) : 0n;
  }

  #trace(op: LazyOp): void {
    const { owner } = this.#timer.lapic;
    if (!owner.probes.active) return;
    owner.probes.fire(
      'kvm_lazy_tsc',
      { vcpu: owner.id, op, armed: this.cachedArmed, pending: this.#pending() },
      owner.now(),
    );
  }
}
