// Local APICs without vCPUs around them: a small VM whose host is a list of timers and whose guest memory is one buffer, so
// that a test says when time passes, when the vCPU's run loop comes by, and what memory is there.

import type { HrtimerOwner } from '../../src/host/hrtimer.ts';
import { ApicMap } from '../../src/hypervisor/lapic/apicMap.ts';
import { Lapic } from '../../src/hypervisor/lapic/lapic.ts';
import type {
  GuestPage,
  LapicFeatures,
  LapicHrtimer,
  LapicOwner,
  LapicVm,
  MpState,
} from '../../src/hypervisor/lapic/owner.ts';
import { NONE } from '../../src/hypervisor/lapic/priority.ts';
import { KVM_QUIRKS, type LapicQuirks } from '../../src/hypervisor/lapic/quirks.ts';
import { KVM_PARAMS, type KvmParams } from '../../src/hypervisor/params.ts';
import { KVM_REQ, Requests } from '../../src/hypervisor/requests.ts';
import { Probes, type ProbeName } from '../../src/trace/probes.ts';
import { APIC_BASE, X2APIC_MSR } from '../../src/x86/names/msrs.ts';

/** Guest TSC minus host cycles: not 0, so that a mix-up shows. */
export const TSC_OFFSET = 1_000_000_000n;
export const TSC_KHZ = 2_500_000;
const PAGE = 4096;

class RigTimer implements LapicHrtimer {
  expires = 0;
  queued = false;
  readonly owner: HrtimerOwner;
  constructor(owner: HrtimerOwner) {
    this.owner = owner;
  }
  start(expires: number): void {
    this.expires = expires;
    this.queued = true;
  }
  cancel(): boolean {
    const was = this.queued;
    this.queued = false;
    return was;
  }
}

/** Guest memory with a hole that can be opened: what a moved or deleted slot does to a page cache. */
export class RigMemory {
  readonly bytes = new DataView(new ArrayBuffer(16 * PAGE));
  present = true;
  generation = 0;

  /** A memory slot went away or came back. */
  setPresent(present: boolean): void {
    this.present = present;
    this.generation++;
  }
  u64(address: number): bigint {
    return this.bytes.getBigUint64(address, true);
  }
  setU64(address: number, value: bigint): void {
    this.bytes.setBigUint64(address, value, true);
  }
}

class RigPage implements GuestPage {
  transfer(): void {}
  readonly #memory: RigMemory;
  #gpa: number | null = null;
  #generation = -1;
  constructor(memory: RigMemory) {
    this.#memory = memory;
  }
  activate(gpa: bigint, length: number): boolean {
    this.#gpa = Number(gpa);
    return gpa + BigInt(length) <= BigInt(this.#memory.bytes.byteLength) && this.refresh();
  }
  deactivate(): void {
    this.#gpa = null;
  }
  valid(): boolean {
    return this.#gpa !== null && this.#generation === this.#memory.generation && this.#memory.present;
  }
  refresh(): boolean {
    if (this.#gpa === null || !this.#memory.present) return false;
    this.#generation = this.#memory.generation;
    return true;
  }
  readU64(offset: number): bigint {
    return this.#memory.u64(this.#checked() + offset);
  }
  writeU64(offset: number, value: bigint): void {
    this.#memory.setU64(this.#checked() + offset, value);
  }
  #checked(): number {
    if (!this.valid()) throw new Error('a page cache was used that is not valid');
    return this.#gpa!;
  }
}

export class RigVcpu implements LapicOwner {
  readonly id: number;
  readonly vm: Rig;
  readonly requests = new Requests();
  readonly probes: Probes;
  readonly timer: RigTimer[] = [];
  readonly hvTimer = null;
  readonly apicv = null;
  readonly directDeadline = null;
  features: LapicFeatures;
  mpState: MpState;
  readonly lapic: Lapic;
  /** What reached the vCPU beyond its registers, in order. */
  readonly log: string[] = [];
  kicks = 0;
  initSipiBlocked = false;
  /** Interrupts that the guest took, with the guest TSC at which it did. */
  readonly taken: { vector: number; tsc: bigint }[] = [];

  constructor(vm: Rig, id: number, features: LapicFeatures) {
    this.vm = vm;
    this.id = id;
    this.probes = vm.probes;
    this.features = features;
    this.mpState = id === vm.bspId ? 'runnable' : 'uninitialized';
    this.lapic = new Lapic(this);
  }
  now(): number {
    return this.vm.time;
  }
  cyclesUntil(deadline: bigint): number {
    return Number(deadline - this.guestTsc());
  }
  guestTsc(): bigint {
    return BigInt(this.vm.time) + this.tscOffset;
  }
  tscOffset = TSC_OFFSET;
  hrtimer(owner: HrtimerOwner): LapicHrtimer {
    const timer = new RigTimer(owner);
    this.timer.push(timer);
    return timer;
  }
  guestPage(): GuestPage {
    return new RigPage(this.vm.memory);
  }
  delay(): void {}
  kick(): void {
    this.kicks++;
    this.onKick();
  }
  /** What a vCPU on another CPU does as soon as it is kicked, before the kicker goes on. */
  onKick: () => void = () => {};
  injectNmi(): void {
    this.log.push('nmi');
  }
  pvUnhalt(): void {
    this.log.push('unhalt');
  }
  reset(init: boolean): void {
    this.log.push(init ? 'init' : 'reset');
    this.lapic.reset(init);
  }
  deliverSipi(vector: number): void {
    this.log.push(`sipi ${vector}`);
  }
  initSipiAllowed(): boolean {
    return !this.initSipiBlocked;
  }
  lapicEnabled(): void {}
  apicBaseChanged(): void {}

  /** The part of vcpu_run that concerns the LAPIC, before the next entry; takes what is deliverable and ends it. */
  runLoop(eoi = true): void {
    this.requests.clear(KVM_REQ.UNBLOCK);
    this.lapic.timer.injectApicTimerIrqs();
    if (this.requests.check(KVM_REQ.LAZY_TSCDEADLINE)) this.lapic.timer.lazy.requested();
    if (this.lapic.timer.lazy.stale) this.lapic.timer.lazy.refresh();
    for (let v = this.lapic.pendingInterrupt(); v !== NONE; v = this.lapic.pendingInterrupt()) {
      this.lapic.acknowledge(v);
      this.taken.push({ vector: v, tsc: this.guestTsc() });
      if (eoi) this.write(X2APIC_MSR.EOI, 0n);
    }
  }
  read(msr: number): bigint | null {
    return this.lapic.readMsr(msr);
  }
  write(msr: number, value: bigint | number): boolean {
    return this.lapic.writeMsr(msr, BigInt(value));
  }
  /** Expiry of the LAPIC timer's hrtimer; null when it is not queued. */
  get armedAt(): number | null {
    const timer = this.timer[0]!;
    return timer.queued ? timer.expires : null;
  }
}

export interface RigOptions {
  vcpus?: number;
  quirks?: Partial<LapicQuirks>;
  params?: Partial<KvmParams>;
  features?: Partial<LapicFeatures>;
  /** vcpu_ids when they are not 0, 1, 2, ... */
  ids?: number[];
  busNs?: number;
  /** Leaves the APICs as after power-on: xAPIC mode, disabled by software. */
  raw?: boolean;
}

export class Rig implements LapicVm {
  time = 10_000;
  readonly probes = new Probes();
  readonly memory = new RigMemory();
  readonly apicMap = new ApicMap();
  readonly quirks: LapicQuirks;
  /** Timers fire when they are due, unless a test wants them early (timerAdvance.test.ts). */
  readonly params: KvmParams;
  readonly tscKhz = TSC_KHZ;
  readonly apicBusCycleNs: number;
  readonly bspId: number;
  readonly vcpus: RigVcpu[] = [];
  readonly lapics: Lapic[] = [];
  readonly eois: string[] = [];

  constructor({ vcpus = 1, quirks = {}, params = {}, features = {}, ids, busNs = 1, raw = false }: RigOptions = {}) {
    this.quirks = { ...KVM_QUIRKS, ...quirks };
    this.params = { ...KVM_PARAMS, lapicTimerAdvance: false, ...params };
    this.apicBusCycleNs = busNs;
    const vcpuIds = ids ?? Array.from({ length: vcpus }, (_, i) => i);
    this.bspId = vcpuIds[0]!;
    const offered = { x2apic: true, tscDeadline: true, physicalAddressBits: 46, cmci: false, ...features };
    for (const id of vcpuIds) {
      const vcpu = new RigVcpu(this, id, offered);
      this.vcpus.push(vcpu);
      this.lapics.push(vcpu.lapic);
      vcpu.lapic.reset(false);
      if (raw) continue;
      enableX2apic(vcpu);
      vcpu.write(X2APIC_MSR.SIVR, 0x1ff);
    }
  }
  ioapicEoi(lapic: Lapic, vector: number, levelTriggered: boolean): void {
    this.eois.push(`${lapic.owner.id}: ${vector} ${levelTriggered ? 'level' : 'edge'}`);
  }

  /** Lets time pass up to `time`, firing hrtimers on the way, in order; `after` runs after each. */
  advanceTo(time: number, after: () => void = () => {}): void {
    for (;;) {
      const timers = this.vcpus.flatMap((v) => v.timer).filter((t) => t.queued && t.expires <= time);
      const next = timers.sort((a, b) => a.expires - b.expires)[0];
      if (next === undefined) break;
      this.time = Math.max(this.time, next.expires);
      next.queued = false;
      if (next.owner.onHrtimer(next as never) === 'restart') next.queued = true;
      after();
    }
    this.time = Math.max(this.time, time);
  }

  /** Names of the probes that fire while `act` runs. */
  probesOf(act: () => void): ProbeName[] {
    const names: ProbeName[] = [];
    const stop = this.probes.subscribe((name) => names.push(name));
    act();
    stop();
    return names;
  }
}

export function enableX2apic(vcpu: RigVcpu): void {
  if (!vcpu.lapic.writeBase(vcpu.lapic.base | APIC_BASE.EXTD)) throw new Error('the APIC did not go to x2APIC mode');
}
