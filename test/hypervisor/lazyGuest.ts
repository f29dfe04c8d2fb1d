// The guest's half of the lazy TSC deadline, step by step: a clock-event device as the RFC's Linux patch has it, without a
// Linux around it. Deadlines are guest TSCs.

import { LAZY_TSCDEADLINE } from '../../src/hypervisor/pv/lazyTscDeadline.ts';
import { X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { Rig, type RigOptions, type RigVcpu } from './lapicRig.ts';

export const GPA = 0x3040;
export const TIMER_VECTOR = 0xec;
const MASKED = 1 << 16;
const PERIODIC = 1 << 17;
const TSC_DEADLINE = 2 << 17;

export class LazyGuest {
  readonly rig: Rig;
  readonly vcpu: RigVcpu;
  /** WRMSRs of TSC_DEADLINE: what each costs is a VM exit. */
  traps = 0;

  constructor(options: RigOptions = {}) {
    this.rig = new Rig(options);
    this.vcpu = this.rig.vcpus[0]!;
    this.unmask();
  }

  get lazy() {
    return this.vcpu.lapic.timer.lazy;
  }
  get now(): bigint {
    return this.vcpu.guestTsc();
  }
  get armed(): bigint {
    return this.rig.memory.u64(GPA + LAZY_TSCDEADLINE.ARMED);
  }
  get pending(): bigint {
    return this.rig.memory.u64(GPA + LAZY_TSCDEADLINE.PENDING);
  }

  // The steps of which set_next_event is made
  storePending(deadline: bigint): void {
    this.rig.memory.setU64(GPA + LAZY_TSCDEADLINE.PENDING, deadline);
  }
  writeDeadline(deadline: bigint): void {
    this.traps++;
    this.vcpu.lapic.timer.setLapicTscdeadlineMsr(deadline);
  }
  /** The guest's whole decision, given the armed that it loaded. */
  decide(armed: bigint, deadline: bigint): void {
    if (armed === 0n || deadline < armed) this.writeDeadline(deadline);
  }

  /** set_next_event: pending first, then the look at armed. */
  setNextEvent(deadline: bigint): void {
    this.storePending(deadline);
    this.decide(this.armed, deadline);
  }

  /** CPU online: the words are zeroed, then the MSR is written. */
  online(): boolean {
    this.rig.memory.setU64(GPA + LAZY_TSCDEADLINE.ARMED, 0n);
    this.storePending(0n);
    return this.enable();
  }
  enable(gpa = GPA): boolean {
    return this.lazy.writeMsr(BigInt(gpa) | 1n);
  }
  offline(): boolean {
    return this.lazy.writeMsr(0n);
  }

  lvtt(bits: number): void {
    this.vcpu.write(X2APIC_MSR.LVT_TIMER, bits | TIMER_VECTOR);
  }
  mask(): void {
    this.lvtt(TSC_DEADLINE | MASKED);
  }
  unmask(): void {
    this.lvtt(TSC_DEADLINE);
  }
  periodic(): void {
    this.lvtt(PERIODIC);
  }

  /** Lets time pass up to a guest TSC, the run loop coming by after each expiry; returns when interrupts were taken. */
  runTo(tsc: bigint): bigint[] {
    const { vcpu, rig } = this;
    vcpu.taken.length = 0;
    rig.advanceTo(rig.time + Number(tsc - this.now), () => vcpu.runLoop());
    vcpu.runLoop();
    return vcpu.taken.map((t) => t.tsc);
  }
  /** ... without anybody looking at what expired. */
  passTo(tsc: bigint): void {
    this.rig.advanceTo(this.rig.time + Number(tsc - this.now));
  }
  /** Guest TSC at which the host's timer stands; null: none. */
  get hostTimer(): bigint | null {
    const { armedAt } = this.vcpu;
    return armedAt === null ? null : BigInt(armedAt - this.rig.time) + this.now;
  }
}
