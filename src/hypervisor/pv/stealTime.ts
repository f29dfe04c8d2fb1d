// Steal time: how long a vCPU wanted to run and could not, and whether it runs just now (record_steal_time and
// kvm_steal_time_set_preempted of Linux 6.16 arch/x86/kvm/x86.c; the readers are Linux's kvm_steal_clock, vcpu_is_preempted
// and kvm_flush_tlb_multi).
//
// Theory: `steal` grows by what the vCPU's thread has waited in a run queue; sleeping, as in a halt, is not waiting. It is
// written under a `version` that is odd meanwhile, whenever the thread has got a CPU again. `preempted` is set when the
// thread is taken its CPU, so that other vCPUs do not spin for a lock that it holds. A vCPU that wants that one's TLB flushed
// need not send it an IPI either: it changes PREEMPTED to PREEMPTED|FLUSH_TLB by a compare-and-exchange, and the host flushes
// before it enters, when it exchanges the byte for 0. For that to be right, a vCPU that is marked must not use translations
// any more: it stands between two instructions, not in one that the host emulates.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import { GuestPageCache } from '../guestPageCache.ts';
import type { Vcpu } from '../vcpu.ts';
import { guestPvHas } from './features.ts';

/** struct kvm_steal_time: byte offsets. */
export const STEAL_TIME = { STEAL: 0, VERSION: 8, FLAGS: 12, PREEMPTED: 16, SIZE: 64 } as const;
/** Bits of `preempted`. */
export const KVM_VCPU = { PREEMPTED: 1, FLUSH_TLB: 2 } as const;

const ENABLED = 1n;
/** KVM_STEAL_RESERVED_MASK: the page is aligned to 64 bytes. */
const RESERVED = 0x3en;
const NS_PER_MS = 1_000_000n;

export class StealTime {
  readonly #vcpu: Vcpu;
  readonly #page: GuestPageCache;
  msrVal: Cell<bigint> = 0n;
  /** st.preempted: the page says so already. */
  #marked: Cell<boolean> = false;
  /** The thread's run delay at the last update, in cycles. */
  #lastDelay = 0;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.#page = new GuestPageCache(vcpu.vm.memslots);
  }

  get enabled(): boolean {
    return (this.msrVal & ENABLED) !== 0n;
  }

  /** WRMSR of MSR_KVM_STEAL_TIME; false is #GP. The caller makes the request. */
  writeMsr(value: bigint): boolean {
    if ((value & RESERVED) !== 0n) return false;
    this.msrVal = value;
    if ((value & ENABLED) === 0n) this.#page.deactivate();
    else this.#page.activate(value & ~ENABLED, STEAL_TIME.SIZE);
    return true;
  }

  /** KVM_REQ_STEAL_UPDATE: record_steal_time(). */
  record(): void {
    const page = this.#page;
    if (!this.enabled || !this.#mapped()) return;
    this.#clearPreempted();
    let version = page.readU32(STEAL_TIME.VERSION);
    // The first time there may be junk.
    version = (version + (version & 1) + 1) >>> 0;
    page.writeU32(STEAL_TIME.VERSION, version);
    const { runDelay } = this.#vcpu.thread!;
    const cycles = BigInt(Math.floor(runDelay - this.#lastDelay));
    this.#lastDelay = runDelay;
    const steal = page.readU64(STEAL_TIME.STEAL) + (cycles * NS_PER_MS) / BigInt(this.#vcpu.vm.tscKhz);
    page.writeU64(STEAL_TIME.STEAL, BigInt.asUintN(64, steal));
    page.writeU32(STEAL_TIME.VERSION, version + 1);
  }

  /** kvm_steal_time_set_preempted(): the thread loses its CPU although it wants to run. */
  setPreempted(): void {
    const { stat } = this.#vcpu;
    if (!this.#vcpu.atInstructionBoundary) {
      stat.preemptionOther++;
      return;
    }
    stat.preemptionReported++;
    // In atomic context: a mapping that is not current is not looked up.
    if (!this.enabled || this.#marked || !this.#page.valid()) return;
    this.#page.writeU8(STEAL_TIME.PREEMPTED, KVM_VCPU.PREEMPTED);
    this.#marked = true;
  }

  transfer(fields: SavedFields): void {
    this.#page.transfer(fields.part('page'));
    fields.own<StealTime>(this, 'msrVal');
    this.#marked = fields.value('marked', this.#marked);
    this.#lastDelay = fields.value('lastDelay', this.#lastDelay);
  }

  reset(): void {
    this.msrVal = 0n;
    this.#page.deactivate();
  }

  #clearPreempted(): void {
    const vcpu = this.#vcpu;
    const preempted = this.#page.readU8(STEAL_TIME.PREEMPTED);
    this.#page.writeU8(STEAL_TIME.PREEMPTED, 0);
    this.#marked = false;
    if (!guestPvHas(vcpu.vm, 'kvm-pv-tlb-flush')) return;
    const needFlush = (preempted & KVM_VCPU.FLUSH_TLB) !== 0;
    if (vcpu.probes.active) vcpu.probes.fire('kvm_pv_tlb_flush', { vcpu: vcpu.id, needFlush }, vcpu.now());
    if (needFlush) vcpu.guest.flushTlb();
  }

  #mapped(): boolean {
    return this.#page.valid() || this.#page.refresh();
  }
}
