// A guest page that the hypervisor reads and writes again and again, looked up once: struct gfn_to_pfn_cache (Linux
// virt/kvm/pfncache.c). What is kept on the page is the user's affair.
//
// Theory: the cache is *active* while its user wants it and *valid* while the remembered address may be used. A slot that
// is deleted or moved invalidates it before the change takes effect; a generation that has moved on makes the next check
// fail. The user checks before every access; when that fails it refreshes, where it may sleep, or does without. An active
// cache whose page is gone stays active and invalid, and comes back by itself when a slot holds the page again.

import type { SavedFields } from '../cpu/savedFields.ts';
import type { Cell } from '../host/cells.ts';
import { PAGE_SIZE } from '../x86/names/paging.ts';
import { pageOf, type Memslots, type SlotObserver } from './memslots.ts';

export class GuestPageCache implements SlotObserver {
  active: Cell<boolean> = false;
  #valid: Cell<boolean> = false;
  readonly #slots: Memslots;
  #gpa = 0;
  #length = 0;
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

  /** kvm_gpc_check(): whether the range may be accessed right now. */
  valid(): boolean {
    return this.active && this.#valid && this.#generation === this.#slots.generation;
  }

  /** kvm_gpc_refresh(): looks the page up again. False (EINVAL, EFAULT): not active, or no writable slot holds the page. */
  refresh(): boolean {
    if (!this.active) return false;
    if (this.valid()) return true;
    this.#valid = false;
    const page = this.#slots.addressOf(pageOf(this.#gpa), true);
    if (page < 0) return false;
    this.#address = page + (this.#gpa % PAGE_SIZE);
    this.#generation = this.#slots.generation;
    this.#valid = true;
    return true;
  }

  /**
   * kvm_gpc_activate(): stands for `length` bytes at `gpa` from now on. False: the range crosses a page, and the cache is as
   * before (EINVAL); or there is no memory behind it (EFAULT), and the cache is active without being valid.
   */
  activate(gpa: bigint, length: number): boolean {
    const start = Number(gpa);
    if ((start % PAGE_SIZE) + length > PAGE_SIZE) return false;
    this.#gpa = start;
    this.#length = length;
    this.#valid = false;
    this.active = true;
    return this.refresh();
  }

  /** kvm_gpc_deactivate(). */
  deactivate(): void {
    this.active = false;
    this.#valid = false;
  }

  /** What a snapshot keeps; where the page lies is looked up again, as memory may lie elsewhere. */
  transfer(fields: SavedFields): void {
    const valid = fields.value('valid', this.valid());
    fields.own<GuestPageCache>(this, 'active');
    this.#gpa = fields.value('gpa', this.#gpa);
    this.#length = fields.value('length', this.#length);
    if (!fields.restoring) return;
    this.#valid = false;
    if (valid) this.refresh();
  }

  /** gfn_to_pfn_cache_invalidate_start(). */
  invalidate(firstPage: number, pages: number): void {
    const page = pageOf(this.#gpa);
    if (page >= firstPage && page < firstPage + pages) this.#valid = false;
  }

  /** The u64 at `offset` bytes from the cache's address. Only after a successful check. */
  readU64(offset: number): bigint {
    this.#mustBeChecked(offset, 8);
    return this.#slots.arena.views.data.getBigUint64(this.#address + offset, true);
  }

  readU32(offset: number): number {
    this.#mustBeChecked(offset, 4);
    return this.#slots.arena.views.data.getUint32(this.#address + offset, true);
  }

  readU8(offset: number): number {
    this.#mustBeChecked(offset, 1);
    return this.#slots.arena.views.data.getUint8(this.#address + offset);
  }

  writeU32(offset: number, value: number): void {
    this.#mustBeChecked(offset, 4);
    this.#slots.arena.views.data.setUint32(this.#address + offset, value, true);
    this.#slots.arena.wrote(this.#address + offset, 4);
  }

  writeU8(offset: number, value: number): void {
    this.#mustBeChecked(offset, 1);
    this.#slots.arena.views.data.setUint8(this.#address + offset, value);
    this.#slots.arena.wrote(this.#address + offset, 1);
  }

  /** Writes a u64; the page becomes dirty. Only after a successful check. */
  writeU64(offset: number, value: bigint): void {
    this.#mustBeChecked(offset, 8);
    this.#slots.arena.views.data.setBigUint64(this.#address + offset, value, true);
    this.#slots.arena.wrote(this.#address + offset, 8);
  }

  #mustBeChecked(offset: number, length: number): void {
    if (this.valid() && offset + length <= this.#length) return;
    throw new Error(
      `the guest page at 0x${this.#gpa.toString(16)} was accessed through a cache that is not valid, or beyond its ${this.#length} bytes: valid() and refresh() come first`,
    );
  }
}
