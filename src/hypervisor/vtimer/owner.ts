// What a vCPU's ARM timer needs of its vCPU, and what the vCPU's other parts need of the timer. Tests put small fakes in
// the owner's place.

import type { PhysicalCpu } from '../../host/cpu.ts';
import type { HrtimerOwner } from '../../host/hrtimer.ts';
import type { Probes } from '../../trace/probes.ts';
import type { LapicHrtimer } from '../lapic/owner.ts';

/** Who owns the timer's registers when (archTimer.ts has the theory). */
export const TIMER_POLICIES = ['load-put', 'entry-exit'] as const;
export type TimerPolicy = (typeof TIMER_POLICIES)[number];

export interface VtimerParams {
  /** The host runs at EL2 (Virtualization Host Extensions): no access has to go there first. */
  readonly vhe: boolean;
  /** The interrupt controller of the guest: in the kernel, or userspace's, which is told the timer's level. */
  readonly irqchip: 'kernel' | 'userspace';
}

/** The virtual interrupt of the timer, at whatever interrupt controller the guest has. */
export interface VirtualInterrupt {
  /** Makes it pending; the vector, or null when the guest has masked it and it is lost. */
  raise(): number | null;
  /** Takes it back before the guest has acknowledged it. */
  withdraw(vector: number): void;
  /** The guest has deactivated it by itself. */
  ended(vector: number): void;
}

/** struct kvm_vcpu, as its virtual timer sees it. */
export interface VtimerOwner extends VirtualInterrupt {
  readonly id: number;
  readonly probes: Probes;
  /** The physical CPU that it is loaded on, or was last. */
  readonly cpu: PhysicalCpu;
  /** Position of the calling physical CPU. */
  now(): number;
  /** CNTVCT: the guest's counter there. */
  guestTsc(): bigint;
  /** CNTVOFF: host count less guest count, modulo 2^64. */
  cntvoff(): bigint;
  hrtimer(owner: HrtimerOwner, kind: string): LapicHrtimer;
  /** kvm_vcpu_wake_up(). */
  wakeUp(): boolean;
}
