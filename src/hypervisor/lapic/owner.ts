// What a local APIC needs of its vCPU, its VM and the host: the seam along which KVM divides lapic.c from x86.c. The vCPU
// and the VM implement these; tests put small fakes in their place.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import type { HrtimerOwner } from '../../host/hrtimer.ts';
import type { Probes } from '../../trace/probes.ts';
import type { KvmParams } from '../params.ts';
import type { Requests } from '../requests.ts';
import type { ApicMap } from './apicMap.ts';
import type { Lapic } from './lapic.ts';
import type { LapicQuirks } from './quirks.ts';

/** The part of an hrtimer that a LAPIC timer uses. Times are host cycles. */
export interface LapicHrtimer {
  /** Absolute expiry; a callback that answers `restart` has moved it forward. */
  expires: Cell<number>;
  readonly queued: boolean;
  /** Replaces an earlier start. An expiry that has passed fires at once. */
  start(expires: number): void;
  /** hrtimer_cancel(): afterwards it is neither queued nor running. */
  cancel(): boolean;
}

/** The processor's own timer that ends guest mode: kvm_x86_ops.set_hv_timer. Deadlines are guest TSCs. */
export interface HvTimer {
  /** Null: it cannot carry a deadline so far away. */
  set(deadline: bigint, advance: number): { readonly expired: boolean } | null;
  cancel(): void;
}

/** APIC virtualisation, where the processor has it and it is used: kvm_x86_ops.sync_pir_to_irr and its kin. */
export interface Apicv {
  /** apic->apicv_active: the processor delivers interrupts by itself. */
  readonly active: boolean;
  /** kvm_can_post_timer_interrupt(): the timer need not be on the vCPU's own CPU, and the preemption timer is not used. */
  readonly canPostTimerInterrupt: boolean;
  /** kvm_use_posted_timer_interrupt(): that, and the guest runs just now. */
  readonly usePostedTimerInterrupt: boolean;
  /** Posts a vector from any physical CPU. */
  deliverPostedInterrupt(vector: number): void;
  /** Moves what was posted to IRR. */
  syncPirToIrr(): void;
  /** ISR was changed by the hypervisor. */
  hwapicIsrUpdate(): void;
  /** The register page has other contents: what was posted before is forgotten. */
  stateRestored(): void;
}

/** A timer that the guest programs without the LAPIC (vtimer/archTimer.ts). Its deadline is a guest TSC. */
export interface DirectDeadline {
  readonly deadline: bigint;
  setDeadline(value: bigint): void;
  /** The guest's TSC was moved against host time. */
  counterMoved(): void;
  /** The guest takes an interrupt, or ends one by way of the host. */
  acknowledge(vector: number): void;
  endOfInterrupt(vector: number): void;
  /** The LAPIC was restored, with the timer's vector requested or in service, or neither. */
  restored(vector: number, requested: boolean, inService: boolean): void;
  reset(): void;
  free(): void;
}

/** A range of guest memory, inside one page, that the host reads and writes by itself: what the lazy deadline needs of it. */
export interface GuestPage {
  /** False for a range without memory behind it. */
  activate(gpa: bigint, length: number): boolean;
  deactivate(): void;
  /** The mapping is current: nothing moved or removed the memory since activate or refresh. */
  valid(): boolean;
  /** Maps again; false while there is no memory at the address. */
  refresh(): boolean;
  /** u64 at a byte offset of the range; only while valid. */
  readU64(offset: number): bigint;
  writeU64(offset: number, value: bigint): void;
  transfer(fields: SavedFields): void;
}

/** KVM_MP_STATE_*, by name. */
export type MpState = 'runnable' | 'uninitialized' | 'init-received' | 'halted';

/** struct kvm_vcpu, as its LAPIC sees it. */
export interface LapicOwner {
  /** vcpu_id: the initial APIC id. */
  readonly id: number;
  readonly vm: LapicVm;
  readonly requests: Requests;
  readonly probes: Probes;
  readonly features: LapicFeatures;
  /** Null where the processor has none, or it may not be used. */
  readonly hvTimer: HvTimer | null;
  /** Null where the processor has none, or it may not be used. */
  readonly apicv: Apicv | null;
  /** What carries the deadline in TSC-deadline mode, where that is none of the LAPIC's business. */
  readonly directDeadline: DirectDeadline | null;
  mpState: Cell<MpState>;

  /** ktime_get(): position of the calling physical CPU, in host cycles. */
  now(): number;
  /** kvm_read_l1_tsc(): the guest's TSC at that position. */
  guestTsc(): bigint;
  /** Cycles until the guest's TSC reaches a deadline; below 0: since then. Rounded beyond 2^53. */
  cyclesUntil(deadline: bigint): number;
  /** hrtimer_init(): a timer on the host, told apart by its kind. */
  hrtimer(owner: HrtimerOwner, kind: string): LapicHrtimer;
  /** A cache of one guest page (gfn_to_pfn_cache), inactive. */
  guestPage(): GuestPage;

  /** ndelay(), on the calling physical CPU, in cycles. */
  delay(cycles: number): void;
  /** kvm_vcpu_kick(): wakes a blocked vCPU, or makes a running one leave guest mode. */
  kick(): void;
  /** kvm_inject_nmi(): queues an NMI and makes KVM_REQ_NMI. */
  injectNmi(): void;
  /** Remote-read delivery is KVM's paravirtual "unhalt" kick (pv.pv_unhalted). */
  pvUnhalt(): void;
  /** kvm_vcpu_reset(): `init` for INIT, false for power-on. Calls Lapic.reset in its course, as KVM's does. */
  reset(init: boolean): void;
  /** vcpu_deliver_sipi_vector(): CS.selector = vector << 8, CS.base = vector << 12, RIP = 0. */
  deliverSipi(vector: number): void;
  /** INIT is not blocked by SMM or VMX root mode: kvm_apic_init_sipi_allowed(). */
  initSipiAllowed(): boolean;
  /** SPIV was written, and the LAPIC is software-enabled: what waits for that may come now (apic_set_spiv). */
  lapicEnabled(): void;
  /** IA32_APIC_BASE changed: CPUID.1:EDX.APIC and whatever else mirrors it follow. */
  apicBaseChanged(value: bigint): void;
}

/** struct kvm, as its LAPICs see it. */
export interface LapicVm {
  /** The LAPIC of every vCPU, in the order in which the vCPUs were created. */
  readonly lapics: readonly Lapic[];
  readonly apicMap: ApicMap;
  readonly quirks: LapicQuirks;
  readonly params: KvmParams;
  /** Nominal TSC frequency of host cycles and guest, kHz. */
  readonly tscKhz: number;
  /** KVM_CAP_X86_APIC_BUS_CYCLES_NS: nanoseconds of one cycle of the APIC bus; KVM's default is 1. */
  readonly apicBusCycleNs: number;
  /** vcpu_id of the bootstrap processor (KVM_SET_BOOT_CPU_ID). */
  readonly bspId: number;
  /** kvm_ioapic_send_eoi(): an interrupt was ended and the LAPIC broadcasts it. */
  ioapicEoi(lapic: Lapic, vector: number, levelTriggered: boolean): void;
}

/** What CPUID offers the guest, as far as the LAPIC looks: follows every change of the table. */
export interface LapicFeatures {
  /** CPUID.1:ECX.X2APIC[21]. */
  readonly x2apic: boolean;
  /** CPUID.1:ECX.TSC_DEADLINE[24]. */
  readonly tscDeadline: boolean;
  /** MAXPHYADDR: bits of a guest physical address. */
  readonly physicalAddressBits: number;
  /** MCG_CAP.CMCI_P: a seventh LVT entry. */
  readonly cmci: boolean;
}
