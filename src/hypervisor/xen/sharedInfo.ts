// shared_info: the page that all vCPUs of a domain share, with the event bitmaps and the wall clock (struct shared_info;
// kvm_xen_shared_info_init). What the bitmaps mean is in evtchn.ts.
//
// Theory: the VMM knows where the guest has put the page, the hypervisor reaches it through a cache. The page is not pinned:
// who wants it looks whether the cache is valid, where it may sleep looks the page up again, and elsewhere says EWOULDBLOCK.
// What the hypervisor writes there is not logged as dirty, as events would make it dirty all the time: a VMM that moves the
// guest copies the page last (api.rst). The wall clock is the date at which the guest's system time was 0, under a version
// that is odd while it is written.

import type { SavedFields } from '../../cpu/savedFields.ts';
import { PAGE_SIZE } from '../../x86/names/paging.ts';
import { GuestPageCache } from '../guestPageCache.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vm } from '../vm.ts';
import { XEN_WALL_CLOCK, type XenLayout } from './layout.ts';
import { XenError } from './names.ts';
import { place, placeAtAddress } from './place.ts';

const NS_PER_S = 1_000_000_000n;

export class SharedInfo {
  readonly page: GuestPageCache;
  readonly #vm: Vm;

  constructor(vm: Vm) {
    this.#vm = vm;
    this.page = new GuestPageCache(vm.memslots, false);
  }

  /** KVM_XEN_ATTR_TYPE_SHARED_INFO: the page lies at this frame; null: nowhere. */
  placeAt(gfn: number | null, layout: XenLayout): void {
    place(this.page, 'shared_info', gfn === null ? null : gfn * PAGE_SIZE, PAGE_SIZE);
    if (gfn !== null) this.writeWallClock(layout);
  }

  /** KVM_XEN_ATTR_TYPE_SHARED_INFO_HVA: at an address of the arena, whatever guest page that is; 0: nowhere. */
  placeAtAddress(address: number, layout: XenLayout): void {
    placeAtAddress(this.page, 'shared_info', address, PAGE_SIZE);
    if (address !== 0) this.writeWallClock(layout);
  }

  /** kvm_xen_shared_info_init(): the wall clock, where this layout has it. Throws XenError (EFAULT) when the page is gone. */
  writeWallClock({ wallClock, wallClockHigh }: XenLayout): void {
    const { page } = this;
    const { clock, vcpus } = this.#vm;
    if (!page.valid() && !page.refresh()) throw new XenError('EFAULT', 'no writable slot has the page of shared_info');
    if (!page.hold()) return;
    const epoch = clock.realtime() - clock.nanoseconds();
    const seconds = epoch / NS_PER_S;
    const version = (page.readU32(wallClock + XEN_WALL_CLOCK.VERSION) + 1) | 1;
    page.writeU32(wallClock + XEN_WALL_CLOCK.VERSION, version);
    page.writeU32(wallClock + XEN_WALL_CLOCK.NSEC, Number(epoch % NS_PER_S));
    page.writeU32(wallClock + XEN_WALL_CLOCK.SEC, Number(seconds & 0xffff_ffffn));
    page.writeU32(wallClockHigh, Number(seconds >> 32n));
    page.writeU32(wallClock + XEN_WALL_CLOCK.VERSION, version + 1);
    page.release();
    for (const vcpu of vcpus) {
      vcpu.requests.make(KVM_REQ.MASTERCLOCK_UPDATE);
      vcpu.kick();
    }
  }

  transfer(fields: SavedFields): void {
    this.page.transfer(fields.part('page'));
  }
}
