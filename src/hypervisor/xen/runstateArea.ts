// Where the guest's copy of a runstate lies: anywhere, so perhaps in two pages, which are held together
// (vcpu->arch.xen.runstate_cache and runstate2_cache).

import type { SavedFields } from '../../cpu/savedFields.ts';
import { PAGE_SIZE } from '../../x86/names/paging.ts';
import { GuestPageCache } from '../guestPageCache.ts';
import type { Memslots } from '../memslots.ts';
import { XenError } from './names.ts';

export class RunstateArea {
  readonly #first: GuestPageCache;
  readonly #second: GuestPageCache;
  /** Both are held, and the area goes on in the second. */
  #crosses = false;

  constructor(slots: Memslots) {
    this.#first = new GuestPageCache(slots);
    this.#second = new GuestPageCache(slots);
  }

  get active(): boolean {
    return this.#first.active;
  }
  /** Where it lies; null: nowhere. */
  get gpa(): number | null {
    return this.#first.activeGpa;
  }

  /** The area lies at this address; null: nowhere. Throws XenError (EFAULT), and then it lies nowhere. */
  placeAt(gpa: number | null, size: number): void {
    this.#first.deactivate();
    this.#second.deactivate();
    if (gpa === null) return;
    const inFirst = PAGE_SIZE - (gpa % PAGE_SIZE);
    let there = this.#first.activate(BigInt(gpa), inFirst);
    if (there && inFirst < size) there = this.#second.activate(BigInt(gpa + inFirst), size - inFirst);
    if (there) return;
    this.#first.deactivate();
    this.#second.deactivate();
    throw new XenError('EFAULT', `a runstate of ${size} bytes cannot lie at 0x${gpa.toString(16)}: no writable slot`);
  }

  /** True when `size` bytes may be written until `release`. `atomic`: a page that is not there is not looked up again. */
  hold(size: number, atomic: boolean): boolean {
    const first = this.#first;
    const second = this.#second;
    const inFirst = PAGE_SIZE - (first.gpa % PAGE_SIZE);
    this.#crosses = inFirst < size;
    for (;;) {
      while (!first.hold()) if (atomic || !first.refresh()) return false;
      if (!this.#crosses || second.hold()) return true;
      first.release();
      // A guest that has become a 64-bit one may reach into the second page now.
      if (atomic || !second.activate(BigInt(first.gpa + inFirst), size - inFirst)) return false;
    }
  }

  release(): void {
    if (this.#crosses) this.#second.release();
    this.#first.release();
  }

  /** Writes bytes at an offset of the area, in the order of the pages. */
  write(offset: number, bytes: Uint8Array): void {
    const inFirst = PAGE_SIZE - (this.#first.gpa % PAGE_SIZE);
    const here = Math.max(0, Math.min(bytes.length, inFirst - offset));
    if (here > 0) this.#first.writeBytes(offset, bytes.subarray(0, here));
    if (here < bytes.length) this.#second.writeBytes(offset + here - inFirst, bytes.subarray(here));
  }

  transfer(fields: SavedFields): void {
    this.#first.transfer(fields.part('first'));
    this.#second.transfer(fields.part('second'));
  }
}
