// A guest page that the hypervisor reads and writes again and again, looked up once: struct gfn_to_pfn_cache (Linux
// virt/kvm/pfncache.c). What is kept on the page is the user's affair.
//
// Theory: the cache is *active* while its user wants it and *valid* while the remembered address may be used. A slot that
// is deleted or moved invalidates it before the change takes effect; a generation that has moved on makes the next check
// fail. The user checks before every access; when that fails it refreshes, where it may sleep, or does without. An active
// cache whose page is gone stays active and invalid, and comes back by itself when a slot holds the page again. Who makes
// several accesses that belong together holds the cache meanwhile (its rwlock, for reading): whoever takes the page away
// would have to wait. A cache may stand for a host address instead of a guest's, and then outlives changes of the slots.

import type { SavedFields } from '../cpu/savedFields.ts';
import type { Atomic, Cell } from '../host/cells.ts';
import { PAGE_SIZE } from '../x86/names/paging.ts';
import { pageOf, type Memslots, type SlotObserver } from './memslots.ts';

const hex = (value: number): string => `0x${value.toString(16)}`;

export class GuestPageCache implements SlotObserver {
  active: Cell<boolean> = false;
  #valid: Cell<boolean> = false;
  readonly #slots: Memslots;
  /** Whether what is written is logged as dirty. */
  readonly #logged: boolean;
  #gpa = 0;
  #length = 0;
  #address = 0;
  #generation = -1;
  /** It stands for #address, whatever guest page that is. */
  #byAddress = false;
  /** Who holds it. */
  #readers: Cell<number> = 0;

  constructor(slots: Memslots, logged = true) {
    this.#slots = slots;
    this.#logged = logged;
    slots.observe(this);
  }

  /** Guest physical address that the cache stands for. */
  get gpa(): number {
    return this.#gpa;
  }
  /** kvm_gpc_is_gpa_active(): that address; null: it stands for none. */
  get activeGpa(): number | null {
    return this.active && !this.#byAddress ? this.#gpa : null;
  }
  /** kvm_gpc_is_hva_active(): the address in the arena that it stands for; null: none. */
  get activeAddress(): number | null {
    return this.active && this.#byAddress ? this.#address : null;
  }

  /** kvm_gpc_check(): whether the range may be accessed right now. */
  valid(): boolean {
    return this.active && this.#valid && (this.#byAddress || this.#generation === this.#slots.generation);
  }

  /** read_lock() and kvm_gpc_check(): true when the range may be accessed, and then until `release`. */
  hold(): Atomic<boolean> {
    if (!this.valid()) return false;
    this.#readers++;
    return true;
  }

  /** read_unlock(). */
  release(): void {
    this.#readers--;
  }

  /** kvm_gpc_refresh(): looks the page up again. False (EINVAL, EFAULT): not active, or no writable slot holds the page. */
  refresh(): boolean {
    if (!this.active) return false;
    if (this.valid()) return true;
    if (this.#byAddress) {
      this.#valid = true;
      return true;
    }
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
    this.#byAddress = false;
    this.#length = length;
    this.#valid = false;
    this.active = true;
    return this.refresh();
  }

  /** kvm_gpc_activate_hva(): stands for `length` bytes of the arena. False (EINVAL): they cross a page, or are none of its. */
  activateAddress(address: number, length: number): boolean {
    const { start, end } = this.#slots.arena;
    if ((address % PAGE_SIZE) + length > PAGE_SIZE || address < start || address + length > end) return false;
    this.#address = address;
    this.#byAddress = true;
    this.#length = length;
    this.active = this.#valid = true;
    return true;
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
    const { start } = this.#slots.arena;
    const address = fields.data('address', this.#byAddress ? this.#address - start : null);
    if (!fields.restoring) return;
    this.#byAddress = address !== null;
    if (address !== null) this.#address = address + start;
    this.#valid = false;
    if (valid) this.refresh();
  }

  /** gfn_to_pfn_cache_invalidate_start(). */
  invalidate(firstPage: number, pages: number): void {
    const page = pageOf(this.#gpa);
    if (this.#byAddress || page < firstPage || page >= firstPage + pages) return;
    if (this.#readers > 0)
      throw new Error(
        `the guest page at ${hex(this.#gpa)} is taken away while somebody holds it, and would have to wait`,
      );
    this.#valid = false;
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
    this.#wrote(offset, 4);
  }

  writeU8(offset: number, value: number): void {
    this.#mustBeChecked(offset, 1);
    this.#slots.arena.views.data.setUint8(this.#address + offset, value);
    this.#wrote(offset, 1);
  }

  /** Writes a u64; the page becomes dirty. Only after a successful check. */
  writeU64(offset: number, value: bigint): void {
    this.#mustBeChecked(offset, 8);
    this.#slots.arena.views.data.setBigUint64(this.#address + offset, value, true);
    this.#wrote(offset, 8);
  }

  /** Writes bytes, which need not be aligned. */
  writeBytes(offset: number, bytes: Uint8Array): void {
    this.#mustBeChecked(offset, bytes.length);
    this.#slots.arena.views.u8.set(bytes, this.#address + offset);
    this.#wrote(offset, bytes.length);
  }

  /** test_bit(): bit `bit` of the bitmap at `offset`, counted through its bytes. */
  testBit(offset: number, bit: number): Atomic<boolean> {
    return ((this.readU8(offset + (bit >> 3)) >> (bit & 7)) & 1) !== 0;
  }

  /** test_and_set_bit(): what the bit was. */
  testAndSetBit(offset: number, bit: number): Atomic<boolean> {
    if (this.testBit(offset, bit)) return true;
    this.writeU8(offset + (bit >> 3), this.readU8(offset + (bit >> 3)) | (1 << (bit & 7)));
    return false;
  }

  #wrote(offset: number, length: number): void {
    const { arena } = this.#slots;
    if (this.#logged) arena.wrote(this.#address + offset, length);
    else arena.invalidateCode(this.#address + offset, length);
  }

  #mustBeChecked(offset: number, length: number): void {
    if ((this.#readers > 0 || this.valid()) && offset + length <= this.#length) return;
    throw new Error(
      `the guest page at ${hex(this.#gpa)} was accessed through a cache that is not valid, or beyond its ${this.#length} bytes: valid() and refresh() come first`,
    );
  }
}
