// kvmclock: the page by which a vCPU's guest turns its TSC into nanoseconds without an exit (kvm_guest_time_update and
// kvm_setup_guest_pvclock of Linux 6.16 arch/x86/kvm/x86.c; the reader is Linux's pvclock_clocksource_read). What time it is,
// and when pages are written anew, is in vmClock.ts.
//
// Theory: struct pvclock_vcpu_time_info is one point of a line and its slope:
//
//   time = system_time + ((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul >> 32
//
// `version` is a sequence lock: odd while the host writes. The guest reads it, then the rest and the TSC, then it again, and
// starts over when it was odd or has changed. The page is the vCPU's own, and the host writes it in that vCPU's context, so
// only another vCPU that looks at it can ever see an odd one. Flags: TSC_STABLE, times of all vCPUs are one clock;
// GUEST_STOPPED, the VMM had paused the guest, whose watchdogs should not be alarmed: it stays until the guest clears it.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import { GuestPageCache } from '../guestPageCache.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vcpu } from '../vcpu.ts';
import { timeScale, type TimeScale } from './timeScale.ts';

/* prettier-ignore */
/** struct pvclock_vcpu_time_info: byte offsets. */
export const PVCLOCK = { VERSION: 0, TSC_TIMESTAMP: 8, SYSTEM_TIME: 16, MUL: 24, SHIFT: 28, FLAGS: 29, SIZE: 32 } as const;
export const PVCLOCK_FLAG = { TSC_STABLE: 1, GUEST_STOPPED: 2 } as const;

/** The line that a page holds: a guest TSC, the nanoseconds there, and the slope. */
export interface PvclockLine {
  readonly timestamp: bigint;
  readonly ns: bigint;
  readonly scale: TimeScale;
}

/** kvm_setup_guest_pvclock(): writes a page at `offset` under its version, which is returned. Only after a successful check. */
export function writePvclock(page: GuestPageCache, offset: number, line: PvclockLine, flags: number): number {
  const version = (page.readU32(offset + PVCLOCK.VERSION) + 1) | 1;
  page.writeU32(offset + PVCLOCK.VERSION, version);
  page.writeU64(offset + PVCLOCK.TSC_TIMESTAMP, line.timestamp);
  page.writeU64(offset + PVCLOCK.SYSTEM_TIME, line.ns);
  page.writeU32(offset + PVCLOCK.MUL, line.scale.multiplier);
  page.writeU8(offset + PVCLOCK.SHIFT, line.scale.shift);
  page.writeU8(offset + PVCLOCK.FLAGS, flags);
  page.writeU32(offset + PVCLOCK.VERSION, version + 1);
  return version + 1;
}

/** Bit 0 of the MSR. */
const ENABLED = 1n;
const NS_PER_S = 1_000_000_000n;

export class Pvclock {
  readonly #vcpu: Vcpu;
  readonly #page: GuestPageCache;
  readonly #scale: TimeScale;
  /** vcpu->arch.time: what RDMSR answers. */
  msrVal: Cell<bigint> = 0n;
  /** pvclock_set_guest_stopped_request. */
  #stoppedRequest: Cell<boolean> = false;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.#page = new GuestPageCache(vcpu.vm.memslots);
    this.#scale = timeScale(NS_PER_S, BigInt(vcpu.vm.tscKhz) * 1000n);
  }

  /** The guest reads its page. */
  get enabled(): boolean {
    return this.#page.active;
  }

  /** There is a page to keep current: this one, or Xen's. */
  get inUse(): boolean {
    return this.enabled || (this.#vcpu.xen !== null && this.#vcpu.xen.clocks.inUse);
  }

  /** WRMSR of MSR_KVM_SYSTEM_TIME or _NEW: kvm_write_system_time(). A page that crosses into the next is not written. */
  writeMsr(value: bigint, oldMsr: boolean, hostInitiated: boolean): boolean {
    if ((value & ENABLED) !== 0n || this.enabled) this.#vcpu.vm.clock.registered(this.#vcpu, oldMsr, hostInitiated);
    this.msrVal = value;
    this.#page.deactivate();
    if ((value & ENABLED) !== 0n) this.#page.activate(value & ~ENABLED, PVCLOCK.SIZE);
    return true;
  }

  transfer(fields: SavedFields): void {
    this.#page.transfer(fields.part('page'));
    fields.own<Pvclock>(this, 'msrVal');
    this.#stoppedRequest = fields.value('stoppedRequest', this.#stoppedRequest);
  }

  /** KVM_KVMCLOCK_CTRL: the VMM has paused the guest. False (EINVAL): the guest has no page. */
  setGuestStopped(): boolean {
    if (!this.enabled) return false;
    this.#stoppedRequest = true;
    this.#vcpu.requests.make(KVM_REQ.CLOCK_UPDATE);
    return true;
  }

  /** KVM_REQ_CLOCK_UPDATE: kvm_guest_time_update(). */
  update(): void {
    const { vm, tsc } = this.#vcpu;
    const { at, ns } = vm.clock.point();
    const line = { timestamp: tsc.at(at), ns, scale: this.#scale };
    const stable = vm.clock.useMasterClock;
    const page = this.#page;
    if (page.valid() || page.refresh()) this.#write(line, stable ? PVCLOCK_FLAG.TSC_STABLE : 0);
    if (this.#vcpu.xen !== null) this.#vcpu.xen.clocks.write(line, stable);
  }

  #write(line: PvclockLine, stable: number): void {
    let flags = stable;
    if (this.#stoppedRequest) flags |= PVCLOCK_FLAG.GUEST_STOPPED;
    this.#stoppedRequest = false;
    flags |= this.#page.readU8(PVCLOCK.FLAGS) & PVCLOCK_FLAG.GUEST_STOPPED;
    const version = writePvclock(this.#page, 0, line, flags);
    this.#trace(version, line.timestamp, line.ns, flags);
  }

  /** kvmclock_reset(). */
  reset(): void {
    this.#page.deactivate();
    this.msrVal = 0n;
  }

  #trace(version: number, tscTimestamp: bigint, systemTime: bigint, flags: number): void {
    const { probes, id } = this.#vcpu;
    if (!probes.active) return;
    const { multiplier, shift } = this.#scale;
    const event = { vcpu: id, version: version >>> 0, tscTimestamp, systemTime, multiplier, shift, flags };
    probes.fire('kvm_pvclock_update', event, this.#vcpu.now());
  }
}
