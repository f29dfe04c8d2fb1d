// vCPUs without a hypervisor around their virtual timers: a test says when each is loaded, put, entered, blocked and what its
// guest does, in any order. The guest behaves as ARM's do: it acknowledges, programs the timer and deactivates.

import { Hrtimer, type HrtimerOwner } from '../../src/host/hrtimer.ts';
import type { Host } from '../../src/host/host.ts';
import { CNTV_CTL } from '../../src/host/genericTimer.ts';
import type { PhysicalCpu } from '../../src/host/cpu.ts';
import type { ArchTimer } from '../../src/hypervisor/vtimer/archTimer.ts';
import type { Operation } from '../../src/hypervisor/vtimer/accesses.ts';
import { ACCESSES } from '../../src/hypervisor/vtimer/accesses.ts';
import type { VtimerOwner, VtimerParams } from '../../src/hypervisor/vtimer/owner.ts';
import { Probes } from '../../src/trace/probes.ts';
import { unitHost } from '../host/scripts.ts';

export const VECTOR = 40;
const MASK = 0xffff_ffff_ffff_ffffn;
const START = 1000;

type TimerClass<T extends ArchTimer> = new (owner: VtimerOwner, params: VtimerParams) => T;

export class RigVcpu<T extends ArchTimer = ArchTimer> implements VtimerOwner {
  readonly probes = new Probes();
  readonly host: Host;
  readonly id: number;
  readonly timer: T;
  cpu: PhysicalCpu;
  isLoaded = false;
  blocked = false;
  /** The guest has the interrupt masked in its LVT. */
  masked = false;
  /** Interrupts that reached the guest's controller, and those that it took back or saw ended by the hardware. */
  raised = 0;
  withdrawn = 0;
  endedByHardware = 0;
  wakeUps = 0;
  /** Guest count less host count. */
  offset: bigint;

  constructor(host: Host, id: number, timer: TimerClass<T>, params: VtimerParams, offset: bigint) {
    this.host = host;
    this.id = id;
    this.offset = offset;
    this.cpu = host.cpus[0]!;
    this.timer = new timer(this, params);
  }

  raise(): number | null {
    if (this.masked) return null;
    this.raised++;
    return VECTOR;
  }
  withdraw(): void {
    this.withdrawn++;
  }
  ended(): void {
    this.endedByHardware++;
  }
  now(): number {
    return this.host.thisCpu.now;
  }
  guestTsc(): bigint {
    return (BigInt(this.host.thisCpu.now) + this.offset) & MASK;
  }
  cntvoff(): bigint {
    return -this.offset & MASK;
  }
  hrtimer(owner: HrtimerOwner, kind: string): Hrtimer {
    return new Hrtimer(this.host, owner, kind);
  }
  wakeUp(): boolean {
    this.wakeUps++;
    return true;
  }

  // What the host does with it

  load(cpu: PhysicalCpu = this.cpu): void {
    this.cpu = this.host.thisCpu = cpu;
    this.isLoaded = true;
    this.timer.load();
  }
  put(): void {
    this.host.thisCpu = this.cpu;
    this.timer.put();
    this.isLoaded = false;
  }
  schedule(): void {
    this.host.thisCpu = this.cpu;
    this.blocked = true;
    this.timer.schedule();
  }
  unschedule(): void {
    this.host.thisCpu = this.cpu;
    this.timer.unschedule();
    this.blocked = false;
  }

  /** One entry: the guest does something and runs for `cycles`, or until an interrupt of the host ends it. */
  enter(act: (guest: Guest) => void = () => {}, cycles = 0): void {
    const { cpu, timer } = this;
    this.host.thisCpu = cpu;
    cpu.now++; // an entry takes time, whatever its timer costs
    timer.flushHwstate();
    cpu.disableInterrupts();
    timer.enter();
    if (!cpu.interruptPending) {
      act(new Guest(this));
      cpu.now = Math.max(cpu.now, Math.min(cpu.now + cycles, cpu.events.next));
    }
    timer.exit();
    cpu.enableInterrupts();
  }
  /** Entries one after the other until `cycles` have passed. */
  run(cycles: number): void {
    const end = this.cpu.now + cycles;
    while (this.cpu.now < end) this.enter(undefined, end - this.cpu.now);
  }

  /** Accesses of an operation so far, those that are not 0. */
  accesses(operation: Operation): Record<string, number> {
    const counts = ACCESSES.map((access) => [access, this.timer.accesses.of(operation, access)] as const);
    return Object.fromEntries(counts.filter(([, count]) => count > 0));
  }
}

/** What guest code does by itself, without an exit. */
export class Guest {
  readonly #vcpu: RigVcpu;
  constructor(vcpu: RigVcpu) {
    this.#vcpu = vcpu;
  }
  /** Arms the timer `cycles` ahead. */
  arm(cycles: number): void {
    const { vtimer } = this.#vcpu.cpu;
    vtimer.cval = vtimer.count + BigInt(cycles);
    vtimer.ctl = CNTV_CTL.ENABLE;
    vtimer.synchronise();
  }
  disable(): void {
    this.#vcpu.cpu.vtimer.ctl = 0;
    this.#vcpu.cpu.vtimer.synchronise();
  }
  acknowledge(): void {
    this.#vcpu.cpu.gic.acknowledgeVirtual(VECTOR);
  }
  deactivate(): void {
    this.#vcpu.cpu.gic.deactivateVirtual(VECTOR);
  }
}

export interface VtimerRig<T extends ArchTimer> {
  readonly host: Host;
  readonly vcpus: readonly RigVcpu<T>[];
}

/** Two CPUs at the same position, and vCPUs whose counters differ from the host's and from each other. */
export function vtimerRig<T extends ArchTimer>(
  timer: TimerClass<T>,
  { vhe = true, irqchip = 'kernel', vcpus = 1 }: Partial<VtimerParams> & { readonly vcpus?: number } = {},
): VtimerRig<T> {
  const host = unitHost(2);
  for (const cpu of host.cpus) cpu.now = START;
  const offsets = [5_000_000n, -700n];
  return {
    host,
    vcpus: Array.from({ length: vcpus }, (_, id) => new RigVcpu(host, id, timer, { vhe, irqchip }, offsets[id]!)),
  };
}

/** Time passes on a CPU in the host, with interrupts on. */
export function pass(host: Host, cpu: PhysicalCpu, cycles: number): void {
  host.thisCpu = cpu;
  cpu.now += cycles;
  if (cpu.interruptPending) cpu.takeInterrupts();
}
