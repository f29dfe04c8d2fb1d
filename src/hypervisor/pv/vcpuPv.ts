// The paravirtual half of a vCPU: what its guest has switched on by KVM's MSRs.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import type { Vcpu } from '../vcpu.ts';
import { AsyncPf } from './asyncPf.ts';
import { PvEoi } from './eoi.ts';
import { Pvclock } from './pvclock.ts';
import { StealTime } from './stealTime.ts';

/** The guest lets the host poll while it is halted. */
const POLL = 1n;

export class VcpuPv {
  readonly clock: Pvclock;
  readonly eoi: PvEoi;
  readonly stealTime: StealTime;
  readonly asyncPf: AsyncPf;
  /** msr_kvm_poll_control. */
  pollControl: Cell<bigint> = POLL;

  constructor(vcpu: Vcpu) {
    this.clock = new Pvclock(vcpu);
    this.eoi = new PvEoi(vcpu);
    this.stealTime = new StealTime(vcpu);
    this.asyncPf = new AsyncPf(vcpu);
  }

  transfer(fields: SavedFields): void {
    this.clock.transfer(fields.part('clock'));
    this.eoi.transfer(fields.part('eoi'));
    this.stealTime.transfer(fields.part('stealTime'));
    this.asyncPf.transfer(fields.part('asyncPf'));
    fields.own<VcpuPv>(this, 'pollControl');
  }

  /** !kvm_arch_no_poll(). */
  get mayPoll(): boolean {
    return (this.pollControl & POLL) !== 0n;
  }

  /** kvm_vcpu_reset(), INIT included. */
  reset(): void {
    this.clock.reset();
    this.eoi.reset();
    this.stealTime.reset();
    this.asyncPf.reset();
  }
}
