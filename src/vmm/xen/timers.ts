// The timers of a domain's vCPUs, as far as KVM does not keep them: the singleshot timer while VIRQ_TIMER is bound to no port, or
// when its events are to come by userspace, and the periodic timer (Xen common/sched/core.c and common/domain.c; QEMU
// target/i386/kvm/xen-emu.c).
//
// Theory: a timer is armed whether VIRQ_TIMER is bound or not; that is looked at when it expires, and an event without a port is
// lost. So a singleshot timer that is armed here moves to KVM when the port is bound, and back when it is closed.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import { getXenVcpuAttr, setXenVcpuAttr } from '../../hypervisor/xen/attributes.ts';
import { PRIO_2LEVEL } from '../../hypervisor/xen/names.ts';
import type { Eventfd } from '../../hypervisor/xen/sendPorts.ts';
import type { DeviceTimer, MainLoop, TimerOwner } from '../mainLoop.ts';

const NS_PER_MS = 1_000_000n;

class VcpuTimers implements TimerOwner {
  readonly name: string;
  /** The port of VIRQ_TIMER; 0: none. */
  port = 0;
  /** Guest system time at which the singleshot timer expires; 0: it is not armed, or KVM keeps it. */
  singleshotNs = 0n;
  /** 0: there is no periodic timer; and when it sent its last event. */
  periodNs = 0n;
  lastNs = 0n;
  readonly #vm: Vm;
  readonly #loop: MainLoop;
  readonly #singleshot: DeviceTimer;
  readonly #periodic: DeviceTimer;
  readonly #raise: (port: number) => void;

  constructor(vm: Vm, loop: MainLoop, vcpu: number, raise: (port: number) => void) {
    this.#vm = vm;
    this.#loop = loop;
    this.name = `Xen timers of vCPU ${vcpu}`;
    this.#singleshot = loop.timer(this, 'singleshot');
    this.#periodic = loop.timer(this, 'periodic');
    this.#raise = raise;
  }

  onTimer(timer: DeviceTimer): void {
    if (timer === this.#singleshot) this.singleshotNs = 0n;
    else this.startPeriod();
    this.expire();
  }

  /** send_timer_event(). */
  expire(): void {
    if (this.port !== 0) this.#raise(this.port);
  }

  set(timeoutNs: bigint): void {
    this.singleshotNs = timeoutNs;
    if (timeoutNs === 0n) this.#singleshot.cancel();
    else this.#singleshot.start(this.#positionAt(timeoutNs));
  }

  /** From now on; no event if `periodNs` is 0. */
  startPeriod(): void {
    this.lastNs = this.#vm.clock.nanoseconds();
    if (this.periodNs === 0n) this.#periodic.cancel();
    else this.#periodic.start(this.#positionAt(this.lastNs + this.periodNs));
  }

  transfer(fields: SavedFields): void {
    fields.own<VcpuTimers>(this, 'port', 'singleshotNs', 'periodNs', 'lastNs');
  }

  /** The first position at which that guest time is over. */
  #positionAt(ns: bigint): number {
    const { clock, tscKhz } = this.#vm;
    const delta = ns - clock.nanoseconds();
    const cycles = (delta * BigInt(tscKhz) + NS_PER_MS - 1n) / NS_PER_MS;
    return Math.min(Math.ceil(this.#loop.now) + Math.max(Number(cycles), 0), Number.MAX_SAFE_INTEGER);
  }
}

export class Timers {
  readonly #vm: Vm;
  readonly #timers: readonly VcpuTimers[];

  /** `raise`: sends the guest an event. */
  constructor(vm: Vm, loop: MainLoop, raise: (port: number) => void) {
    this.#vm = vm;
    this.#timers = vm.vcpus.map(({ id }) => new VcpuTimers(vm, loop, id, raise));
  }

  /** VIRQ_TIMER of a vCPU is bound. `inKvm`: it keeps the singleshot timer from now on. */
  bind(vcpu: number, port: number, inKvm: boolean): void {
    const timers = this.#timers[vcpu]!;
    timers.port = port;
    if (!inKvm) return;
    const expiresNs = timers.singleshotNs;
    timers.set(0n);
    this.#tellKvm(vcpu, port, expiresNs);
  }

  /** The port is closed. A timer that is armed stays so. */
  unbind(vcpu: number): void {
    const timers = this.#timers[vcpu]!;
    timers.port = 0;
    const { port, expiresNs } = getXenVcpuAttr(this.#vm.vcpus[vcpu]!, 'TIMER');
    if (port === 0) return;
    this.#tellKvm(vcpu, 0, 0n);
    this.signals(vcpu, null);
    timers.set(expiresNs);
  }

  /** What KVM's timer signals in place of an event. */
  signals(vcpu: number, eventfd: Eventfd | null): void {
    setXenVcpuAttr(this.#vm.vcpus[vcpu]!, { type: 'TIMER_EVENTFD', eventfd });
  }

  /** VCPUOP_set_singleshot_timer; a time that has passed is an event at once. */
  setSingleshot(vcpu: number, timeoutNs: bigint): void {
    const timers = this.#timers[vcpu]!;
    if (timeoutNs > this.#vm.clock.nanoseconds()) {
      timers.set(timeoutNs);
      return;
    }
    timers.set(0n);
    timers.expire();
  }

  stopSingleshot(vcpu: number): void {
    this.#timers[vcpu]!.set(0n);
  }

  /** VCPUOP_set_periodic_timer, and _stop_periodic_timer with 0. */
  setPeriodic(vcpu: number, periodNs: bigint): void {
    this.#timers[vcpu]!.periodNs = periodNs;
    this.#timers[vcpu]!.startPeriod();
  }

  transfer(fields: SavedFields): void {
    for (const [vcpu, timers] of this.#timers.entries()) timers.transfer(fields.part(`vCPU ${vcpu}`));
  }

  #tellKvm(vcpu: number, port: number, expiresNs: bigint): void {
    setXenVcpuAttr(this.#vm.vcpus[vcpu]!, { type: 'TIMER', port, priority: PRIO_2LEVEL, expiresNs });
  }
}
