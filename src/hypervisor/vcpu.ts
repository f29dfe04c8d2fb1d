// A virtual CPU as the hypervisor owns it: struct kvm_vcpu. What it does is in run.ts, inject.ts and exits/; here is its
// state, its clock and the kick protocol.

import { EXIT } from '../cpu/exit.ts';
import type { SavedFields } from '../cpu/savedFields.ts';
import { OFFSET, type CpuState } from '../cpu/state.ts';
import type { Atomic, Cell } from '../host/cells.ts';
import { COST } from '../host/costs.ts';
import type { PhysicalCpu } from '../host/cpu.ts';
import { Hrtimer, type HrtimerOwner } from '../host/hrtimer.ts';
import type { HostFields } from '../host/savedFields.ts';
import type { Thread } from '../host/thread.ts';
import type { Probes } from '../trace/probes.ts';
import { APIC_BASE, X2APIC_FIRST, X2APIC_LAST } from '../x86/names/msrs.ts';
import type { CpuidAsker } from './cpuid.ts';
import type { GuestCpu } from './guestCpu.ts';
import { GuestPageCache } from './guestPageCache.ts';
import { GuestTsc } from './guestTsc.ts';
import { QueuedEvents, queueNmi } from './inject.ts';
import { IoapicVectors } from './irqchip/ioapicVectors.ts';
import { VcpuLoad } from './load.ts';
import { EXCEPTION_BITMAP } from './exits/exception.ts';
import { Lapic } from './lapic/lapic.ts';
import { VcpuPv } from './pv/vcpuPv.ts';
import type { DirectDeadline, LapicFeatures, LapicOwner, MpState } from './lapic/owner.ts';
import { Recurrence } from './recurrence.ts';
import { KVM_REQ, Requests } from './requests.ts';
import { RunPlace } from './runPoint.ts';
import { resetVcpu, startAtSipi } from './reset.ts';
import type { UserspaceExit } from './userspace.ts';
import type { Vm } from './vm.ts';
import { VmxApicv } from './vmx/apicv.ts';
import { VmxHvTimer } from './vmx/hvTimer.ts';
import { DirectTimer } from './vtimer/directTimer.ts';
import { upcallOfEnabledLapic } from './xen/evtchn.ts';
import { XenVcpu } from './xen/xenVcpu.ts';

/**
 * Where a vCPU stands with respect to its guest (vcpu->mode). A sender sets its request, then reads the mode; the vCPU sets
 * the mode, then reads its requests: so one of both sees the other.
 */
export const VCPU_MODE = { OUTSIDE_GUEST: 0, IN_GUEST: 1, EXITING_GUEST: 2 } as const;
export type VcpuMode = (typeof VCPU_MODE)[keyof typeof VCPU_MODE];

/** No guest physical page. */
export const NO_PAGE = -1;

/** One more than the largest basic exit reason. */
const REASONS = 1 + Math.max(...Object.values(EXIT));

interface MsrCount {
  readonly index: number;
  count: number;
}

/** A count for each MSR index; those of the LAPIC, the most frequent, are counted without a look-up. */
export class MsrCounts implements Iterable<[index: number, count: number]> {
  readonly #x2apic = new Uint32Array(X2APIC_LAST - X2APIC_FIRST + 1);
  readonly #others = new Map<number, MsrCount>();
  /** The one of these that was counted last. */
  #last: MsrCount = { index: -1, count: 0 };

  add(index: number, times = 1): void {
    if (index >= X2APIC_FIRST && index <= X2APIC_LAST) this.#x2apic[index - X2APIC_FIRST]! += times;
    else if (index === this.#last.index) this.#last.count += times;
    else this.#addOther(index, times);
  }

  #addOther(index: number, times: number): void {
    let counted = this.#others.get(index);
    if (counted === undefined) this.#others.set(index, (counted = { index, count: 0 }));
    counted.count += times;
    this.#last = counted;
  }

  transfer(fields: SavedFields): void {
    fields.elements('x2apic', this.#x2apic);
    const others = fields.data('others', this.#countedOthers());
    if (!fields.restoring) return;
    this.#others.clear();
    for (const [index, count] of others) this.#addOther(index, count);
  }

  /** Each index that was counted, the LAPIC's first. */
  *[Symbol.iterator](): Iterator<[index: number, count: number]> {
    for (const [offset, count] of this.#x2apic.entries()) if (count > 0) yield [X2APIC_FIRST + offset, count];
    yield* this.#countedOthers();
  }

  #countedOthers(): [index: number, count: number][] {
    return Array.from(this.#others.values(), ({ index, count }) => [index, count]);
  }
}

/** Per-vCPU statistics in the sense of KVM's struct kvm_vcpu_stat. */
export class VcpuStat {
  exits = 0;
  /** Exits by basic reason. */
  readonly byReason = new Uint32Array(REASONS);
  /** Exits of WRMSR. */
  readonly msrWrites = new MsrCounts();
  haltExits = 0;
  haltWakeup = 0;
  haltAttemptedPoll = 0;
  haltSuccessfulPoll = 0;
  irqExits = 0;
  irqWindowExits = 0;
  nmiWindowExits = 0;
  ioExits = 0;
  mmioExits = 0;
  irqInjections = 0;
  reqEvent = 0;
  hypercalls = 0;
  /** Loads on another physical CPU than the last. */
  migrations = 0;
  signalExits = 0;
  pfTaken = 0;
  /** Preemptions of which the guest was told, and those within an instruction, of which it was not. */
  preemptionReported = 0;
  preemptionOther = 0;
  directedYieldAttempted = 0;
  directedYieldSuccessful = 0;
  invlpg = 0;

  transfer(fields: SavedFields): void {
    fields.numbers('counts', this);
    fields.elements('byReason', this.byReason);
    this.msrWrites.transfer(fields.part('msrWrites'));
  }
}

export type Count = { [K in keyof VcpuStat]: VcpuStat[K] extends number ? K : never }[keyof VcpuStat];

/** The statistics that are single numbers. */
export const COUNTS = Object.entries(new VcpuStat()).flatMap(([name, value]) =>
  typeof value === 'number' ? [name as Count] : [],
);

export class Vcpu implements LapicOwner {
  readonly vm: Vm;
  /** vcpu_id, and the APIC id. */
  readonly id: number;
  readonly name: string;
  readonly guest: GuestCpu;
  readonly probes: Probes;
  readonly features: LapicFeatures;
  readonly events = new QueuedEvents();
  readonly requests = new Requests();
  readonly stat = new VcpuStat();
  /** ioapic_handled_vectors. */
  readonly ioapicVectors = new IoapicVectors();
  readonly tsc = new GuestTsc();
  /** IA32_TSC_ADJUST. */
  tscAdjust = 0n;
  /** this_tsc_generation (tscSync.ts). */
  tscGeneration: Cell<number> = 0;
  /** MSRs that are kept and have no effect, or little: by index, where they are not as after reset. */
  readonly keptMsrs = new Map<number, bigint>();
  /** What the guest has switched on by KVM's MSRs. */
  readonly pv: VcpuPv;
  /** The guest was left between two instructions, and nothing of one is being emulated. */
  atInstructionBoundary: Cell<boolean> = false;
  /** A page that the thread has to bring in before the guest goes on; NO_PAGE: none. */
  awaitsPage: Cell<number> = NO_PAGE;
  /** IA32_UMWAIT_CONTROL. */
  umwaitControl = 0n;
  /** Whether SVM runs it, and not VMX. */
  readonly svm: boolean;
  readonly hvTimer: VmxHvTimer | null;
  /** The timer of seed 003; null where there is none. */
  readonly directTimer: DirectTimer | null;
  /** Null where the guest is not Xen's. */
  readonly xen: XenVcpu | null;
  readonly lapic: Lapic;
  readonly apicv: VmxApicv | null;
  mode: Cell<VcpuMode> = VCPU_MODE.OUTSIDE_GUEST;
  mpState: Cell<MpState>;
  /** The physical CPU that it is loaded on, or was last. */
  cpu: PhysicalCpu;
  readonly load: VcpuLoad;
  /** What CPUID depends on. */
  readonly cpuidAsker: CpuidAsker;
  /** The thread that runs it; null until it is started. */
  thread: Thread | null = null;
  /** signal_pending(current): KVM_RUN returns with INTR as soon as no instruction stands half way. */
  signalPending: Cell<boolean> = false;
  /** Userspace's service of an access within the vCPU's run; false: the machine has ended. Null: it wants KVM_RUN to return. */
  serveAccess: ((exit: UserspaceExit) => boolean) | null = null;
  /** Why KVM_RUN returns to userspace (struct kvm_run); null while it does not. */
  userspace: UserspaceExit | null = null;
  /** What userspace answered to it (the data page of struct kvm_run). */
  userspaceAnswer = 0n;
  /** What the last exit handler did, for a person; filled only while probes are active. */
  action = '';
  readonly recurrence: Recurrence;
  /** Where its thread stands while it has given up its CPU. */
  readonly place = new RunPlace();
  /** Where its physical CPU stood when the guest was left last. */
  leftGuestAt = 0;
  /** vcpu->halt_poll_ns: how long the next halt polls. */
  haltPollNs = 0;
  /** vcpu->fast_vmexit of the IPI fast path's first version: this exit is done. */
  fastVmexit = false;

  constructor(vm: Vm, id: number, guest: GuestCpu, cpu: PhysicalCpu) {
    this.vm = vm;
    this.id = id;
    this.mpState = id === vm.bspId ? 'runnable' : 'uninitialized';
    this.name = `vCPU ${id}`;
    this.guest = guest;
    this.cpuidAsker = asker(id, guest.state);
    this.probes = vm.probes;
    this.cpu = cpu;
    this.recurrence = new Recurrence(this);
    this.load = new VcpuLoad(this);
    this.load.created(cpu);
    this.features = vm.lapicFeatures;
    this.mpState = id === vm.bspId ? 'runnable' : 'uninitialized';
    const { module, preemptionTimer } = vm.params;
    this.svm = module === 'kvm_amd';
    this.hvTimer = preemptionTimer && !this.svm ? new VmxHvTimer(this) : null;
    this.guest.controls.hltExiting = !vm.params.hltInGuest;
    this.guest.controls.exceptionBitmap = EXCEPTION_BITMAP;
    this.lapic = new Lapic(this);
    this.pv = new VcpuPv(this);
    this.apicv = vm.params.apicv && !this.svm ? new VmxApicv(this) : null;
    this.xen = vm.xen === null ? null : new XenVcpu(this);
    const { timerOwnership, vhe } = vm.params;
    this.directTimer = timerOwnership === 'off' ? null : new DirectTimer(this, timerOwnership, vhe);
  }

  /** Position of the calling physical CPU, in cycles: ktime_get(). */
  now(): number {
    return this.vm.host.thisCpu.now;
  }

  /** Guest TSC at that position: kvm_read_l1_tsc(vcpu, rdtsc()). */
  guestTsc(): bigint {
    return this.tsc.at(this.vm.host.thisCpu.now);
  }

  /** Cycles until the guest's TSC reaches a deadline; below 0: since then. */
  cyclesUntil(deadline: bigint): number {
    return this.tsc.cyclesUntil(deadline, this.vm.host.thisCpu.now);
  }

  /** last_guest_tsc. */
  get lastGuestTsc(): bigint {
    return this.tsc.at(this.leftGuestAt);
  }

  /** Brings the TSC that guest code sees to the position of its CPU. */
  syncTsc(): void {
    const { state } = this.guest;
    this.tsc.store(this.cpu.now, state.views.u32, (state.base + OFFSET.tsc) >>> 2);
  }

  /** kvm_vcpu_write_tsc_offset(): guest TSC minus host cycles. An armed deadline, which is a guest TSC, moves along. */
  setTscOffset(offset: bigint): void {
    this.tsc.offset = offset;
    this.syncTsc();
    this.lapic.timer.tscMoved();
  }

  hrtimer(owner: HrtimerOwner, kind: string): Hrtimer {
    return new Hrtimer(this.vm.host, owner, kind, 'hard', false);
  }

  guestPage(): GuestPageCache {
    return new GuestPageCache(this.vm.memslots);
  }

  delay(cycles: number): void {
    this.vm.host.thisCpu.now += cycles;
  }

  get directDeadline(): DirectDeadline | null {
    return this.directTimer === null ? null : this.directTimer.timer;
  }

  /** kvm_vcpu_wake_up(): true when the vCPU was blocked. */
  wakeUp(): boolean {
    if (this.thread === null || !this.vm.host.wakeUp(this.thread)) return false;
    this.stat.haltWakeup++;
    return true;
  }

  /** kvm_vcpu_kick(): makes the vCPU look at its requests soon, whether it is blocked or in guest mode. */
  kick(): void {
    if (this.wakeUp()) return;
    const { thisCpu } = this.vm.host;
    thisCpu.charge(COST.barrier);
    if (!this.#exitingGuestMode()) return;
    // On its own CPU the vCPU sees the mode before it enters again.
    if (thisCpu !== this.cpu) this.vm.host.sendReschedule(this.cpu);
  }

  /** kvm_vcpu_exiting_guest_mode(), one cmpxchg: true when it was in guest mode. */
  #exitingGuestMode(): Atomic<boolean> {
    if (this.mode !== VCPU_MODE.IN_GUEST) return false;
    this.mode = VCPU_MODE.EXITING_GUEST;
    return true;
  }

  /** pthread_kill() from the VMM: whether it blocks or runs its guest, its thread returns from KVM_RUN soon. */
  signal(): void {
    this.signalPending = true;
    if (this.thread !== null && this.vm.host.wakeUp(this.thread)) return;
    if (this.#exitingGuestMode()) this.endGuestModeAt(this.cpu.now);
  }

  /** smp_send_reschedule(vcpu->cpu): guest mode ends when its CPU has come to this position. */
  endGuestModeAt(position: number): void {
    this.vm.host.rescheduleAt(this.cpu, position);
  }

  /** Userspace has served the access that KVM_RUN returned with: `value` is what a read yields. */
  complete(value: bigint | number): void {
    this.userspaceAnswer = BigInt(value);
    this.guest.complete(value);
  }

  injectNmi(): void {
    queueNmi(this);
    this.requests.make(KVM_REQ.NMI);
  }

  /** kvm_pv_kick_cpu_op() reached this vCPU: a halted one becomes runnable. */
  pvUnhalt(): void {
    this.pvUnhalted = true;
    this.requests.make(KVM_REQ.EVENT);
    this.kick();
  }
  /** pv.pv_unhalted: ends the next block; lost when the vCPU runs. */
  pvUnhalted: Cell<boolean> = false;

  /** What a snapshot keeps, but for the processor's own state (cpu/savedState.ts), which comes before. */
  transfer(fields: HostFields): void {
    this.cpu = fields.cpu('cpu', this.cpu);
    fields.own<Vcpu>(this, 'mode', 'mpState', 'tscAdjust', 'umwaitControl', 'signalPending', 'pvUnhalted');
    fields.own<Vcpu>(this, 'tscGeneration', 'atInstructionBoundary', 'awaitsPage');
    fields.own<Vcpu>(this, 'userspaceAnswer', 'leftGuestAt', 'haltPollNs', 'fastVmexit');
    this.userspace = fields.data('userspace', this.userspace);
    const keptMsrs = fields.data('keptMsrs', [...this.keptMsrs]);
    if (fields.restoring) {
      this.keptMsrs.clear();
      for (const [index, value] of keptMsrs) this.keptMsrs.set(index, value);
    }
    this.pv.transfer(fields.part('pv'));
    this.place.transfer(fields.part('place'));
    this.load.transfer(fields.part('load'));
    this.tsc.transfer(fields.part('tsc'));
    this.requests.transfer(fields.part('requests'));
    this.events.transfer(fields.part('events'));
    this.ioapicVectors.transfer(fields.part('ioapicVectors'));
    this.stat.transfer(fields.part('stat'));
    this.hvTimer?.transfer(fields.part('hvTimer'));
    this.lapic.transfer(fields.part('lapic'));
    this.apicv?.transfer(fields.part('apicv'));
    this.xen?.transfer(fields.part('xen'));
  }

  reset(init: boolean): void {
    resetVcpu(this, init);
  }

  deliverSipi(vector: number): void {
    startAtSipi(this, vector);
  }

  /** No SMM and no nested virtualisation here that would block it. */
  initSipiAllowed(): boolean {
    return true;
  }

  lapicEnabled(): void {
    this.requests.make(KVM_REQ.APF_READY);
    if (this.xen !== null) upcallOfEnabledLapic(this);
  }

  apicBaseChanged(value: bigint): void {
    this.guest.state.apicBase = value;
    this.apicv?.refresh();
  }
}

/** What CPUID depends on, looked up when it is asked for: most leaves depend on nothing. */
const asker = (id: number, state: CpuState): CpuidAsker => ({
  id,
  get apicEnabled() {
    return (state.apicBase & APIC_BASE.EN) !== 0n;
  },
  get cr4() {
    return state.cr4;
  },
});
