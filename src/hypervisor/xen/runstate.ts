// The runstate of a Xen vCPU: what its time went to, in guest memory where the guest wants it (kvm_xen_update_runstate and
// kvm_xen_update_runstate_guest of Linux 6.16 arch/x86/kvm/xen.c; seed 001; the reader is Linux's drivers/xen/time.c).
//
// Theory: time since the last change is added to the state that ends. What the thread waited for a CPU is not time of a
// running vCPU but of a runnable one; it shows when the vCPU runs again. So `entryTime` is always the sum of the four times.
// The hypervisor changes to running before an entry, and to runnable when the thread loses its CPU and would have gone on;
// blocked and offline are the VMM's to say.
//
// The guest's copy has no lock. A guest that has asked for it by vm_assist finds bit 63 of the entry time set while the copy is
// being written, by a write of the one byte in which it lies: the structure has no alignment, may cross into the next page, and
// that byte is in one page or the other. It reads until the entry time is the same before and after, and bit 63 is clear.
//
// A thread that loses its CPU does so in the scheduler, with preemption and interrupts off, where nobody may sleep. An area
// whose page is not there is then left as it is: the account goes on, and the copy is right again at the next entry. The first
// code wrote it there as memory of a process, which sleeps when its page is out (design `sleeping`).

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell, Cells } from '../../host/cells.ts';
import { mightSleep } from '../../host/context.ts';
import type { Vcpu } from '../vcpu.ts';
import { RUNSTATE, XEN_RUNSTATE_UPDATE, XenError, type Runstate } from './names.ts';
import { RunstateArea } from './runstateArea.ts';

/** A runstate as a VMM reads and writes it: nanoseconds of guest system time. */
export interface RunstateData {
  readonly state: Runstate;
  readonly entryTime: bigint;
  /** By RUNSTATE. */
  readonly times: readonly [bigint, bigint, bigint, bigint];
}

const NS_PER_MS = 1_000_000n;
const WORD = 8;

export class XenRunstate {
  readonly area: RunstateArea;
  readonly #vcpu: Vcpu;
  /** KVM says running until the first change, which begins with offline as long as the entry time is 0: here a clock may be 0. */
  #state: Cell<Runstate> = RUNSTATE.OFFLINE;
  #entryTime: Cell<bigint> = 0n;
  readonly #times: Cells<bigint[]> = [0n, 0n, 0n, 0n];
  /** The thread's run delay at the last change. */
  #lastSteal: Cell<bigint> = 0n;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.area = new RunstateArea(vcpu.vm.memslots);
  }

  /** kvm_xen_runstate_set_running(): before an entry, once the thread has a CPU again. */
  setRunning(): void {
    this.change(RUNSTATE.RUNNING);
  }

  /** kvm_xen_runstate_set_preempted(): from the scheduler. */
  setPreempted(): void {
    this.change(RUNSTATE.RUNNABLE);
  }

  /** kvm_xen_update_runstate(); KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_CURRENT. */
  change(state: Runstate): void {
    const now = this.#vcpu.vm.clock.nanoseconds();
    let passed = now - this.#entryTime;
    const runDelay = this.#runDelay();
    if (this.#state === RUNSTATE.RUNNING) {
      const stolen = runDelay - this.#lastSteal;
      passed -= stolen;
      this.#add(RUNSTATE.RUNNABLE, stolen);
    }
    this.#lastSteal = runDelay;
    this.#add(this.#state, passed);
    this.#state = state;
    this.#entryTime = now;
    const written = this.area.active && this.#write(state === RUNSTATE.RUNNABLE);
    const { probes, id } = this.#vcpu;
    if (probes.active) probes.fire('kvm_xen_runstate', { vcpu: id, state, written }, this.#vcpu.now());
  }

  /** KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADDR: the guest's copy lies there; null: nowhere. Throws XenError (EFAULT). */
  placeAt(gpa: number | null): void {
    const layout = this.#vcpu.vm.xen!.layout;
    this.area.placeAt(gpa, layout.runstateSize);
    if (gpa !== null) this.#write(false);
  }

  /** RUNSTATE_CURRENT and _DATA, read. */
  get data(): RunstateData {
    const [running, runnable, blocked, offline] = [0, 1, 2, 3].map((state) => this.#times[state]!);
    return { state: this.#state, entryTime: this.#entryTime, times: [running!, runnable!, blocked!, offline!] };
  }

  /** KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_DATA: all of it. The guest's copy follows at the next change. Throws XenError (EINVAL). */
  setData({ state, entryTime, times }: RunstateData): void {
    this.#check(entryTime, times, entryTime);
    this.#state = state;
    this.#entryTime = entryTime;
    for (const [index, time] of times.entries()) this.#times[index] = BigInt.asUintN(64, time);
    this.#lastSteal = this.#runDelay();
  }

  /** KVM_XEN_VCPU_ATTR_TYPE_RUNSTATE_ADJUST: adds, and changes the state unless that is null. Throws XenError (EINVAL). */
  adjust(state: Runstate | null, entryTime: bigint, times: RunstateData['times']): void {
    this.#check(entryTime, times, this.#entryTime + entryTime);
    this.#entryTime += entryTime;
    for (const [index, time] of times.entries()) this.#add(index, time);
    if (state !== null) this.change(state);
    else if (this.area.active) this.#write(false);
  }

  transfer(fields: SavedFields): void {
    this.area.transfer(fields.part('area'));
    this.#state = fields.value('state', this.#state);
    this.#entryTime = fields.value('entryTime', this.#entryTime);
    this.#lastSteal = fields.value('lastSteal', this.#lastSteal);
    const times = fields.data('times', [0, 1, 2, 3].map((state) => this.#times[state]!)); // prettier-ignore
    if (!fields.restoring) return;
    for (const [index, time] of times.entries()) this.#times[index] = time;
  }

  /** Times are u64: what an adjustment takes from one may leave it below 0, which wraps. */
  #add(state: number, time: bigint): void {
    this.#times[state] = BigInt.asUintN(64, this.#times[state]! + time);
  }

  #check(entryTime: bigint, times: RunstateData['times'], until: bigint): void {
    const sum = times.reduce((total, time) => total + time, 0n);
    if (BigInt.asUintN(64, sum - entryTime) !== 0n)
      throw new XenError(
        'EINVAL',
        `the times of a runstate add up to ${sum} ns, not to the entry time of ${entryTime}`,
      );
    const now = this.#vcpu.vm.clock.nanoseconds();
    if (now < until) throw new XenError('EINVAL', `a runstate cannot begin at ${until} ns: it is ${now} now`);
  }

  /** sched_info.run_delay of the vCPU's thread, in nanoseconds. */
  #runDelay(): bigint {
    const { thread, vm } = this.#vcpu;
    return thread === null ? 0n : (BigInt(Math.floor(thread.runDelay)) * NS_PER_MS) / BigInt(vm.tscKhz);
  }

  /** kvm_xen_update_runstate_guest(): brings the guest's copy up to date; false: it could not be reached. */
  #write(preempted: boolean): boolean {
    const { area } = this;
    const { host, params } = this.#vcpu.vm;
    const layout = this.#vcpu.vm.xen!.layout;
    if (params.xenRunstate === 'sleeping' && host.thisCpu.thread !== null)
      mightSleep(host.thisCpu, 'the page of a runstate');
    const atomic = preempted && params.xenRunstate === 'atomic';
    if (!area.hold(layout.runstateSize, atomic)) return false;
    const updated = this.#vcpu.vm.xen!.runstateUpdateFlag;
    const lastByte = layout.entryTime + WORD - 1;
    const entryTime = this.#entryTime;
    const flagged = updated ? entryTime | XEN_RUNSTATE_UPDATE : entryTime;
    if (updated) area.write(lastByte, Uint8Array.of(Number(flagged >> 56n)));
    area.write(0, Uint8Array.of(this.#state, 0, 0, 0));
    area.write(layout.entryTime, new Uint8Array(BigUint64Array.of(flagged).buffer));
    for (let index = 0; index < this.#times.length; index++)
      area.write(layout.entryTime + WORD * (index + 1), new Uint8Array(BigUint64Array.of(this.#times[index]!).buffer));
    if (updated) area.write(lastByte, Uint8Array.of(Number(entryTime >> 56n)));
    area.release();
    return true;
  }
}
