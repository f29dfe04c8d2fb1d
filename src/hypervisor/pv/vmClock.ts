// The VM's half of kvmclock: what its time is, who is told when that changes, and the date (Linux 6.16 arch/x86/kvm/x86.c:
// pvclock_update_vm_gtod_copy, kvm_gen_kvmclock_update, kvm_vm_ioctl_get_clock, kvm_write_wall_clock). The page that each
// vCPU reads is in pvclock.ts.
//
// Theory: kvmclock counts nanoseconds since the VM was made: the host's clock plus an offset, which a VMM sets when it
// restores a VM. A vCPU's page holds one point of that line, {TSC, ns}, and a slope. If each page had its own point, taken
// when it was written, rounding would let one vCPU read a time that another has passed. So as long as all TSCs are one clock
// there is a *master clock*: one point, taken once, for all pages, and TSC_STABLE_BIT tells the guest that times of
// different vCPUs may be compared. TSCs that a VMM has set apart end it, and so does a guest that registers by the old MSR,
// which knows nothing of that bit. The host's clock is its TSC here, and is never corrected: so there is no need to write the
// pages anew from time to time, which KVM does every 300 seconds.
//
// The wall clock is the date at which kvmclock was 0. It is written when the guest asks, once.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import { Hrtimer, type HrtimerOwner, type HrtimerRestart } from '../../host/hrtimer.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vcpu } from '../vcpu.ts';
import type { Vm } from '../vm.ts';

/** One point of the line: a host position, and the nanoseconds of the host's clock there. */
export interface ClockPoint {
  /** Host cycles. */
  readonly at: number;
  /** ktime_get_boottime_ns(). */
  readonly ns: bigint;
}

/** struct kvm_clock_data. */
export interface ClockData {
  /** Nanoseconds. */
  readonly clock: bigint;
  /** KVM_CLOCK_TSC_STABLE: read from the master clock. */
  readonly tscStable: boolean;
  /** KVM_CLOCK_REALTIME: the date at the same moment, in nanoseconds since 1970. */
  readonly realtime: bigint;
}

const NS_PER_S = 1_000_000_000n;
const NS_PER_MS = 1_000_000n;
/** KVMCLOCK_UPDATE_DELAY: after a vCPU has its page, the others get theirs. */
const UPDATE_DELAY_MS = 100;

/** struct pvclock_wall_clock: byte offsets. */
const WALL_CLOCK = { VERSION: 0, SEC: 4, NSEC: 8, SIZE: 12 } as const;

export class VmClock implements HrtimerOwner {
  readonly name = 'kvmclock';
  /** kvm->arch.use_master_clock. */
  useMasterClock: Cell<boolean> = true;
  readonly #vm: Vm;
  /** Seconds since 1970 at which the VM was made. */
  readonly #startTime: number;
  readonly #created: ClockPoint;
  #master: Cell<ClockPoint>;
  /** kvmclock_offset: kvmclock minus the host's clock. */
  #offset: Cell<bigint>;
  /** boot_vcpu_runs_old_kvmclock. */
  #oldMsr: Cell<boolean> = false;
  readonly #updateWork: Hrtimer;

  constructor(vm: Vm, startTime: number) {
    this.#vm = vm;
    this.#startTime = startTime;
    this.#created = this.#now();
    this.#master = this.#now();
    this.#offset = -this.#created.ns;
    this.#updateWork = new Hrtimer(vm.host, this, 'update', 'soft', false);
  }

  /** What a snapshot keeps; the hrtimer is the host's. */
  transfer(fields: SavedFields): void {
    fields.own<VmClock>(this, 'useMasterClock');
    this.#master = fields.data('master', this.#master);
    this.#offset = fields.value('offset', this.#offset);
    this.#oldMsr = fields.value('oldMsr', this.#oldMsr);
  }

  /** The point for a page that is written now, in kvmclock's nanoseconds. */
  point(): ClockPoint {
    const { at, ns } = this.useMasterClock ? this.#master : this.#now();
    return { at, ns: ns + this.#offset };
  }

  /** get_kvmclock_ns(). */
  nanoseconds(): bigint {
    return this.#now().ns + this.#offset;
  }

  /** ktime_get_real_ns(): the date, in nanoseconds since 1970. */
  realtime(): bigint {
    return BigInt(this.#startTime) * NS_PER_S + this.#now().ns - this.#created.ns;
  }

  /** KVM_GET_CLOCK. */
  getClock(): ClockData {
    return { clock: this.nanoseconds(), tscStable: this.useMasterClock, realtime: this.realtime() };
  }

  /** KVM_SET_CLOCK: kvmclock reads this now; every page follows before its vCPU runs again. */
  setClock(clock: bigint): void {
    this.#takeMasterPoint();
    this.#offset = clock - (this.useMasterClock ? this.#master.ns : this.#now().ns);
    this.#updatePages();
  }

  /** A guest has registered a vCPU's page, by the old MSR or the new one. */
  registered(vcpu: Vcpu, oldMsr: boolean, hostInitiated: boolean): void {
    if (vcpu.id === 0 && !hostInitiated) {
      if (this.#oldMsr !== oldMsr) vcpu.requests.make(KVM_REQ.MASTERCLOCK_UPDATE);
      this.#oldMsr = oldMsr;
    }
    vcpu.requests.make(KVM_REQ.GLOBAL_CLOCK_UPDATE);
  }

  /** kvm_track_tsc_matching(): a VMM has written a vCPU's TSC. */
  tscWritten(vcpu: Vcpu, newGeneration: boolean): void {
    const changed = this.#mayUseMasterClock() !== this.useMasterClock;
    if (changed || (this.useMasterClock && newGeneration)) vcpu.requests.make(KVM_REQ.MASTERCLOCK_UPDATE);
  }

  /** KVM_REQ_MASTERCLOCK_UPDATE: kvm_update_masterclock(). */
  updateMasterClock(): void {
    this.#takeMasterPoint();
    this.#updatePages();
  }

  /** KVM_REQ_GLOBAL_CLOCK_UPDATE: kvm_gen_kvmclock_update(). */
  updateGlobally(vcpu: Vcpu): void {
    vcpu.requests.make(KVM_REQ.CLOCK_UPDATE);
    const { host, tscKhz } = this.#vm;
    if (!this.#updateWork.queued) this.#updateWork.start(host.thisCpu.now + UPDATE_DELAY_MS * tscKhz);
  }

  /** kvmclock_update_fn(). */
  onHrtimer(): HrtimerRestart {
    this.#updatePages();
    return 'norestart';
  }

  /** kvm_write_wall_clock(): the date at kvmclock 0, for a guest that subtracts nothing. Without effect where no memory is. */
  writeWallClock(gpa: number): void {
    const { memory } = this.#vm;
    if (gpa === 0) return;
    const old = memory.read(gpa, WALL_CLOCK.SIZE);
    if (old === null) return;
    const page = new DataView(old.buffer);
    // An odd version is junk at first, or says that somebody writes.
    const before = page.getUint32(WALL_CLOCK.VERSION, true);
    const version = before + 1 + (before & 1);
    const epoch = this.realtime() - this.nanoseconds();
    page.setUint32(WALL_CLOCK.VERSION, version, true);
    memory.write(gpa, old);
    page.setUint32(WALL_CLOCK.SEC, Number(epoch / NS_PER_S), true);
    page.setUint32(WALL_CLOCK.NSEC, Number(epoch % NS_PER_S), true);
    memory.write(gpa, old);
    page.setUint32(WALL_CLOCK.VERSION, version + 1, true);
    memory.write(gpa, old);
  }

  /** The machine has ended. */
  free(): void {
    this.#updateWork.cancel();
  }

  /** pvclock_update_vm_gtod_copy(). */
  #takeMasterPoint(): void {
    this.useMasterClock = this.#mayUseMasterClock();
    this.#master = this.#now();
  }

  #mayUseMasterClock(): boolean {
    return !this.#oldMsr && this.#vm.tscSync.allMatch(this.#vm.vcpus);
  }

  #updatePages(): void {
    const { thisCpu } = this.#vm.host;
    for (const vcpu of this.#vm.vcpus) {
      if (!vcpu.pv.clock.inUse) continue;
      vcpu.requests.make(KVM_REQ.CLOCK_UPDATE);
      if (vcpu.cpu !== thisCpu) vcpu.kick();
    }
  }

  #now(): ClockPoint {
    const at = Math.floor(this.#vm.host.thisCpu.now);
    return { at, ns: (BigInt(at) * NS_PER_MS) / BigInt(this.#vm.tscKhz) };
  }
}
