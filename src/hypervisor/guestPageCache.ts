// A guest page that the hypervisor reads and writes again and again, looked up once: struct gfn_to_pfn_cache (Linux
// virt/kvm/pfncache.c). What is kept on the page is the user's affair.
//
// Theory: the cache is *active* while its user wants it and *valid* while the remembered address may be used. A slot that
// is deleted or moved invalidates it before the change takes effect; a generation that has moved on makes the next check
// fail. The user checks before every access; when that fails it refreshes, where it may sleep, or does without. An active
// cache whose page is gone stays active and invalid, and comes back by itself when a slot holds the page again.

import type { Cell } from '../host/cells.ts';
import { PAGE_SIZE } from '../x86/names/paging.ts';
import { pageOf, type Memslots, type SlotObserver } from './memslots.ts';

/** `EINVAL`: not active, or the range crosses a page; `EFAULT`: no writable slot holds the page. */
export type CacheError = 'EINVAL' | 'EFAULT';

export class GuestPageCache implements SlotObserver {
  active: Cell<boolean> = false;
  valid: Cell<boolean> = false;
  readonly #slots: Memslots;
  #gpa = 0;
  #address = 0;
  #generation = -1;

  constructor(slots: Memslots) {
    this.#slots = slots;
    slots.observe(this);
  }

  /** Guest physical address that the cache stands for. */
  get gpa(): number {
    return this.#gpa;
  }

  /** kvm_gpc_check(): whether `length` bytes from the cache's address may be accessed right now. */
  check(length: number): boolean {
    return (
      this.active &&
      this.valid &&
      this.#generation === this.#slots.generation &&
      (this.#gpa % PAGE_SIZE) + length <= PAGE_SIZE
    );
  }

  /** kvm_gpc_refresh(): looks the page up again. null when it may be used now. */
  refresh(length: number): CacheError | null {
    if (!this.active || (this.#gpa % PAGE_SIZE) + length > PAGE_SIZE) return 'EINVAL';
    if (this.check(length)) return null;
    this.valid = false;
    const page = this.#slots.addressOf(pageOf(this.#gpa), true);
    if (page < 0) return 'EFAULT';
    this.#address = page + (this.#gpa % PAGE_SIZE);
    this.#generation = this.#slots.generation;
    this.valid = true;
    return null;
  }

  /** kvm_gpc_activate(): stands for `gpa` from now on. On EFAULT it is active and not valid. */
  activate(gpa: number, length: number): CacheError | null {
    if ((gpa % PAGE_SIZE) + length > PAGE_SIZE) return 'EINVAL';
    this.#gpa = gpa;
    this.valid = false;
    this.active = true;
    return this.refresh(length);
  }

  /** kvm_gpc_deactivate(). */
  deactivate(): void {
    this.active = false;
    this.valid = false;
  }

  /** gfn_to_pfn_cache_invalidate_start(). */
  invalidate(firstPage: number, pages: number): void {
    const page = pageOf(this.#gpa);
    if (page >= firstPage && page < firstPage + pages) this.valid = false;
  }

  /** The u64 at `offset` bytes from the cache's address. Only after a successful check. */
  readU64(offset: number): bigint {
    this.#mustBeChecked(offset, 8);
    return this.#slots.arena.views.data.getBigUint64(this.#address + offset, true);
  }

  /** Writes a u64; the page becomes dirty. Only after a successful check. */
  writeU64(offset: number, value: bigint): void {
    this.#mustBeChecked(offset, 8);
    this.#slots.arena.views.data.setBigUint64(this.#address + offset, value, true);
    this.#slots.arena.wrote(this.#address + offset, 8);
  }

  #mustBeChecked(offset: number, length: number): void {
    if (this.check(offset + length)) return;
    throw new Error(
      `the guest page at 0x${this.#gpa.toString(16)} was accessed through a cache that is not valid: check() and refresh() come first`,
    );
  }
}
