// What a vCPU is to a Xen guest: struct kvm_vcpu_xen. Its Xen number is the VMM's to say, and neither vcpu_id nor an index.

import type { HostFields } from '../../host/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import { GuestPageCache } from '../guestPageCache.ts';
import type { Vcpu } from '../vcpu.ts';
import { KVM_REQ } from '../requests.ts';
import { XenClocks } from './clocks.ts';
import { XenPoll } from './poll.ts';
import { XenRunstate } from './runstate.ts';
import { ShadowSel } from './shadowSel.ts';
import { XenTimer } from './timer.ts';

export class XenVcpu {
  /** Xen's number of this vCPU. */
  vcpuId: Cell<number>;
  /** HVMOP_set_evtchn_upcall_vector: a vector of its own, delivered by the LAPIC; 0: none. */
  upcallVector: Cell<number> = 0;
  /** vcpu_info_cache. */
  readonly vcpuInfo: GuestPageCache;
  readonly clocks: XenClocks;
  readonly shadow = new ShadowSel();
  readonly poll: XenPoll;
  readonly timer: XenTimer;
  readonly runstate: XenRunstate;
  /** Linear RIP of a hypercall that the VMM answers; null: there is none. */
  hypercallRip: Cell<bigint | null> = null;
  /** The VMM's answer, for RAX. */
  hypercallResult: Cell<bigint> = 0n;
  readonly #vcpu: Vcpu;

  constructor(vcpu: Vcpu) {
    this.#vcpu = vcpu;
    this.vcpuId = vcpu.id;
    this.vcpuInfo = new GuestPageCache(vcpu.vm.memslots);
    this.clocks = new XenClocks(vcpu, this.vcpuInfo);
    this.poll = new XenPoll(vcpu);
    this.timer = new XenTimer(vcpu);
    this.runstate = new XenRunstate(vcpu);
  }

  /** KVM_REQ_UNBLOCK and a kick: the vCPU looks at its events soon. */
  unblock(): void {
    this.#vcpu.requests.make(KVM_REQ.UNBLOCK);
    this.#vcpu.kick();
  }

  /** The machine has ended. */
  free(): void {
    this.poll.free();
    this.timer.free();
  }

  transfer(fields: HostFields): void {
    this.vcpuInfo.transfer(fields.part('vcpuInfo'));
    this.clocks.transfer(fields.part('clocks'));
    this.shadow.transfer(fields.part('shadow'));
    this.poll.transfer(fields.part('poll'));
    this.timer.transfer(fields.part('timer'));
    this.runstate.transfer(fields.part('runstate'));
    fields.own<XenVcpu>(this, 'vcpuId', 'upcallVector', 'hypercallResult');
    this.hypercallRip = fields.data('hypercallRip', this.hypercallRip);
  }
}
