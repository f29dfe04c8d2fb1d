// Where a VMM says that a structure of the guest lies: kvm_gpc_activate() and kvm_gpc_activate_hva(), with their errors.

import { PAGE_SIZE } from '../../x86/names/paging.ts';
import type { GuestPageCache } from '../guestPageCache.ts';
import { XenError } from './names.ts';

const hex = (value: number): string => `0x${value.toString(16)}`;

/** The structure lies at a guest physical address; null: nowhere. Throws XenError. */
export function place(page: GuestPageCache, what: string, gpa: number | null, size: number): void {
  if (gpa === null) {
    page.deactivate();
    return;
  }
  if ((gpa % PAGE_SIZE) + size > PAGE_SIZE)
    throw new XenError('EINVAL', `${what} has ${size} bytes, and at ${hex(gpa)} crosses into the next page`);
  if (!page.activate(BigInt(gpa), size))
    throw new XenError('EFAULT', `${what} cannot lie at ${hex(gpa)}: no writable slot holds that page`);
}

/** It lies at an address of the arena, whatever guest page that is; 0: nowhere. Throws XenError. */
export function placeAtAddress(page: GuestPageCache, what: string, address: number, size: number): void {
  if (address === 0) page.deactivate();
  else if (!page.activateAddress(address, size))
    throw new XenError('EINVAL', `${what} cannot lie at address ${hex(address)}: not within one page of the arena`);
}
