// What a vCPU is to a Xen guest: struct kvm_vcpu_xen. Its Xen number is the VMM's to say, and neither vcpu_id nor an index.

import type { HostFields } from '../../host/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import { GuestPageCache } from '../guestPageCache.ts';
import type { Vcpu } from '../vcpu.ts';
import { XenClocks } from './clocks.ts';

export class XenVcpu {
  /** Xen's number of this vCPU. */
  vcpuId: Cell<number>;
  /** HVMOP_set_evtchn_upcall_vector: a vector of its own, delivered by the LAPIC; 0: none. */
  upcallVector: Cell<number> = 0;
  /** vcpu_info_cache. */
  readonly vcpuInfo: GuestPageCache;
  readonly clocks: XenClocks;

  constructor(vcpu: Vcpu) {
    this.vcpuId = vcpu.id;
    this.vcpuInfo = new GuestPageCache(vcpu.vm.memslots);
    this.clocks = new XenClocks(vcpu, this.vcpuInfo);
  }

  transfer(fields: HostFields): void {
    this.vcpuInfo.transfer(fields.part('vcpuInfo'));
    this.clocks.transfer(fields.part('clocks'));
    fields.own<XenVcpu>(this, 'vcpuId', 'upcallVector');
  }
}
