// Xen's clock of a vCPU: the same lines as kvmclock's (pv/pvclock.ts), inside vcpu_info and, where the guest has registered one,
// in a vcpu_time_info of its own (kvm_guest_time_update). Xen has no GUEST_STOPPED.

import type { SavedFields } from '../../cpu/savedFields.ts';
import { GuestPageCache } from '../guestPageCache.ts';
import { PVCLOCK, PVCLOCK_FLAG, type PvclockLine, writePvclock } from '../pv/pvclock.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vcpu } from '../vcpu.ts';
import { VCPU_INFO } from './layout.ts';
import { XEN_CONFIG } from './names.ts';
import { place } from './place.ts';

export class XenClocks {
  /** vcpu_time_info_cache. */
  readonly timeInfo: GuestPageCache;
  readonly #vcpu: Vcpu;
  readonly #vcpuInfo: GuestPageCache;

  constructor(vcpu: Vcpu, vcpuInfo: GuestPageCache) {
    this.#vcpu = vcpu;
    this.#vcpuInfo = vcpuInfo;
    this.timeInfo = new GuestPageCache(vcpu.vm.memslots);
  }

  get inUse(): boolean {
    return this.#vcpuInfo.active || this.timeInfo.active;
  }

  /** KVM_XEN_VCPU_ATTR_TYPE_VCPU_TIME_INFO: a page of its own at this address; null: none. */
  placeAt(gpa: number | null): void {
    place(this.timeInfo, 'vcpu_time_info', gpa, PVCLOCK.SIZE);
    if (gpa !== null) this.#vcpu.requests.make(KVM_REQ.CLOCK_UPDATE);
  }

  /** Brings every page up to date. `stable`: times of different vCPUs may be compared. */
  write(line: PvclockLine, stable: boolean): void {
    const unstable = (this.#vcpu.vm.xen!.config.flags & XEN_CONFIG.PVCLOCK_TSC_UNSTABLE) !== 0;
    const flags = stable && !unstable ? PVCLOCK_FLAG.TSC_STABLE : 0;
    writeTo(this.#vcpuInfo, VCPU_INFO.TIME, line, flags);
    writeTo(this.timeInfo, 0, line, flags);
  }

  transfer(fields: SavedFields): void {
    this.timeInfo.transfer(fields.part('timeInfo'));
  }
}

function writeTo(page: GuestPageCache, offset: number, line: PvclockLine, flags: number): void {
  if (!page.active || (!page.valid() && !page.refresh()) || !page.hold()) return;
  writePvclock(page, offset, line, flags);
  page.release();
}
