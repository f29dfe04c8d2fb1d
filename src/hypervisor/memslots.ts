// Memory slots: which guest physical pages a VM has, and which pages of the arena are behind them. The semantics and the
// errors of KVM_SET_USER_MEMORY_REGION and the dirty-log ioctls (Linux virt/kvm/kvm_main.c, Documentation/virt/kvm/api.rst).

import type { Arena } from '../cpu/memory/arena.ts';
import type { SecondStage } from '../cpu/memory/secondStage.ts';
import type { SavedFields } from '../cpu/savedFields.ts';
import { MAXPHYADDR, PAGE_SIZE } from '../x86/names/paging.ts';

export interface MemoryRegion {
  /** Number of the slot; setting an existing one changes it. */
  readonly slot: number;
  /** First guest physical address: a whole page. */
  readonly gpa: number;
  /** Bytes, whole pages; 0 deletes the slot. */
  readonly size: number;
  /** userspace_addr: byte address in the arena of what is behind it. */
  readonly address: number;
  /** KVM_MEM_READONLY. */
  readonly readOnly?: boolean;
  /** KVM_MEM_LOG_DIRTY_PAGES. */
  readonly logDirty?: boolean;
}

/** A slot as it stands. Pages are numbers (gpa >> 12). */
export interface Memslot {
  readonly slot: number;
  readonly firstPage: number;
  readonly pages: number;
  readonly address: number;
  readonly readOnly: boolean;
  readonly logDirty: boolean;
}

/** Why a region was refused, with the errno of the ioctl. */
export class MemslotError extends Error {
  override readonly name = 'MemslotError';
  readonly code: 'EINVAL' | 'EEXIST' | 'ENOENT';

  constructor(code: 'EINVAL' | 'EEXIST' | 'ENOENT', message: string) {
    super(`${message} (${code})`);
    this.code = code;
  }
}

/** Who remembers where a guest page lies: told before a slot is deleted, moved or changed (the MMU notifier's start). */
export interface SlotObserver {
  invalidate(firstPage: number, pages: number): void;
}

/** KVM_USER_MEM_SLOTS. */
const MAX_SLOTS = 32764;
const hex = (value: number): string => `0x${value.toString(16)}`;

export class Memslots {
  readonly arena: Arena;
  readonly secondStage: SecondStage;
  /** Changes with every change of the slots: who remembers a translation compares it. */
  generation = 0;
  #slots: Memslot[] = [];
  readonly #observers: SlotObserver[] = [];

  constructor(arena: Arena, secondStage: SecondStage) {
    this.arena = arena;
    this.secondStage = secondStage;
  }

  observe(observer: SlotObserver): void {
    this.#observers.push(observer);
  }

  /** Every slot, by guest physical address. */
  get slots(): readonly Memslot[] {
    return this.#slots;
  }

  /** gfn_to_memslot(): the slot that holds a page. */
  at(page: number): Memslot | undefined {
    return this.#slots.find((s) => page >= s.firstPage && page < s.firstPage + s.pages);
  }

  /** KVM_SET_USER_MEMORY_REGION: creates, changes, moves or (size 0) deletes a slot. Throws MemslotError and changes nothing. */
  set(region: MemoryRegion): void {
    this.#checkRange(region);
    const old = this.#slots.find((s) => s.slot === region.slot);
    if (region.size === 0) {
      if (old === undefined)
        throw new MemslotError('EINVAL', `slot ${region.slot} cannot be deleted: it does not exist`);
      this.#replace(old, undefined);
      return;
    }
    const next: Memslot = {
      slot: region.slot,
      firstPage: region.gpa / PAGE_SIZE,
      pages: region.size / PAGE_SIZE,
      address: region.address,
      readOnly: region.readOnly ?? false,
      logDirty: region.logDirty ?? false,
    };
    if (old !== undefined) {
      checkChange(old, next);
      if (old.firstPage === next.firstPage) {
        if (old.logDirty !== next.logDirty) this.#setLogging(old, next);
        return;
      }
    }
    this.#checkOverlap(next);
    this.#replace(old, next);
  }

  /** Byte address in the arena of a page; -1 when there is none, or (with `write`) when it must not be written. */
  addressOf(page: number, write: boolean): number {
    const slot = this.at(page);
    if (slot === undefined || (write && slot.readOnly)) return -1;
    return slot.address + (page - slot.firstPage) * PAGE_SIZE;
  }

  /** KVM_GET_DIRTY_LOG: one bit for each page of the slot written since the last call; the log is then clean. */
  getDirtyLog(slot: number): Uint8Array {
    return this.#readLog(this.#logged(slot), (page) => this.arena.takeDirty(page));
  }

  /** The same under KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: the log stays as it is until `clearDirtyLog`. */
  peekDirtyLog(slot: number): Uint8Array {
    return this.#readLog(this.#logged(slot), (page) => this.arena.isDirty(page));
  }

  /** KVM_CLEAR_DIRTY_LOG: cleans the pages whose bit is set; bit 0 is page `first` of the slot. */
  clearDirtyLog(slot: number, first: number, bitmap: Uint8Array): void {
    const { address, pages } = this.#logged(slot);
    if (first < 0 || first + bitmap.length * 8 > Math.ceil(pages / 8) * 8) {
      throw new MemslotError(
        'EINVAL',
        `slot ${slot} has ${pages} pages: bits from ${first} on for ${bitmap.length * 8} pages go beyond it`,
      );
    }
    for (let bit = 0; bit < bitmap.length * 8 && first + bit < pages; bit++) {
      if ((bitmap[bit >> 3]! >> (bit & 7)) & 1) this.arena.takeDirty(address + (first + bit) * PAGE_SIZE);
    }
  }

  /**
   * What a snapshot keeps of the slots and of the second stage behind them. Pages themselves are saved apart. A slot that the
   * restored machine does not have is an error: what made it is not part of a machine.
   */
  transfer(fields: SavedFields): void {
    const { start } = this.arena;
    const saved = fields.data(
      'slots',
      this.#slots.map((slot) => ({ ...slot, address: slot.address - start })),
    );
    const stage = fields.data('pages', this.secondStage.ranges(start));
    const dirty = fields.data('dirty', this.arena.dirtyPages());
    this.generation = fields.value('generation', this.generation);
    if (!fields.restoring) return;
    const slots = saved.map((slot) => ({ ...slot, address: slot.address + start }));
    const same = (a: Memslot, b: Memslot): boolean =>
      a.slot === b.slot && a.pages === b.pages && a.address === b.address;
    if (slots.length !== this.#slots.length || !slots.every((slot, i) => same(slot, this.#slots[i]!)))
      throw new Error('the memory slots of the snapshot are not those of a machine with its options');
    this.#slots = slots;
    this.secondStage.restore(start, stage);
    this.arena.restoreDirty(dirty);
  }

  #readLog({ address, pages }: Memslot, dirty: (page: number) => boolean): Uint8Array {
    const bitmap = new Uint8Array(Math.ceil(pages / 8));
    for (let i = 0; i < pages; i++) {
      if (dirty(address + i * PAGE_SIZE)) bitmap[i >> 3] |= 1 << (i & 7);
    }
    return bitmap;
  }

  #logged(number: number): Memslot {
    const slot = this.#slots.find((s) => s.slot === number);
    if (slot === undefined) throw new MemslotError('ENOENT', `there is no slot ${number}`);
    if (!slot.logDirty)
      throw new MemslotError('ENOENT', `slot ${number} does not log dirty pages: set it with logDirty first`);
    return slot;
  }

  #checkRange({ slot, gpa, size, address }: MemoryRegion): void {
    if (!Number.isInteger(slot) || slot < 0 || slot >= MAX_SLOTS) {
      throw new MemslotError('EINVAL', `slot numbers are 0 to ${MAX_SLOTS - 1}, not ${slot}`);
    }
    for (const [what, value] of [
      ['guest physical address', gpa],
      ['size', size],
      ['address', address],
    ] as const) {
      if (!Number.isSafeInteger(value) || value < 0 || value % PAGE_SIZE !== 0) {
        throw new MemslotError(
          'EINVAL',
          `the ${what} of slot ${slot} is ${hex(value)}, not whole pages of ${PAGE_SIZE} bytes`,
        );
      }
    }
    if (gpa + size > 2 ** MAXPHYADDR) {
      throw new MemslotError(
        'EINVAL',
        `slot ${slot} ends at ${hex(gpa + size)}, beyond the ${MAXPHYADDR} bits of a guest physical address`,
      );
    }
    if (size > 0 && (address < this.arena.start || address + size > this.arena.end)) {
      throw new MemslotError(
        'EINVAL',
        `what is behind slot ${slot} (${hex(address)}, ${hex(size)} bytes) is not all inside the arena`,
      );
    }
  }

  #checkOverlap(next: Memslot): void {
    for (const other of this.#slots) {
      const apart = next.firstPage + next.pages <= other.firstPage || other.firstPage + other.pages <= next.firstPage;
      if (other.slot === next.slot || apart) continue;
      throw new MemslotError(
        'EEXIST',
        `slot ${next.slot} (${describe(next)}) overlaps slot ${other.slot} (${describe(other)})`,
      );
    }
  }

  #replace(old: Memslot | undefined, next: Memslot | undefined): void {
    if (old !== undefined) this.invalidate(old.firstPage, old.pages);
    this.generation++;
    const others = this.#slots.filter((s) => s !== old);
    this.#slots = (next === undefined ? others : [...others, next]).sort((a, b) => a.firstPage - b.firstPage);
    if (next === undefined) return;
    // What was known to be MMIO there is memory now.
    this.secondStage.unmap(next.firstPage, next.pages);
    if (next.logDirty) this.#clean(next);
  }

  #setLogging(old: Memslot, next: Memslot): void {
    this.generation++;
    this.#slots = this.#slots.map((s) => (s === old ? next : s));
    if (next.logDirty) this.#clean(next);
    this.secondStage.setDirtyLogging(next.firstPage, next.pages, next.logDirty);
  }

  /** mmu_notifier_invalidate_range_start(): the host takes pages away; whoever needs one finds it again. */
  invalidate(firstPage: number, pages: number): void {
    for (const observer of this.#observers) observer.invalidate(firstPage, pages);
    this.secondStage.unmap(firstPage, pages);
  }

  #clean({ address, pages }: Memslot): void {
    for (let i = 0; i < pages; i++) this.arena.takeDirty(address + i * PAGE_SIZE);
  }
}

function checkChange(old: Memslot, next: Memslot): void {
  if (old.pages !== next.pages) {
    throw new MemslotError(
      'EINVAL',
      `slot ${old.slot} has ${old.pages} pages and cannot have ${next.pages}: delete it first`,
    );
  }
  if (old.address !== next.address) {
    throw new MemslotError(
      'EINVAL',
      `slot ${old.slot} stands on ${hex(old.address)} and cannot stand on ${hex(next.address)}: delete it first`,
    );
  }
  if (old.readOnly !== next.readOnly) {
    throw new MemslotError(
      'EINVAL',
      `slot ${old.slot} cannot become ${next.readOnly ? 'read-only' : 'writable'}: delete it first`,
    );
  }
}

const describe = ({ firstPage, pages }: Memslot): string =>
  `guest physical ${hex(firstPage * PAGE_SIZE)} to ${hex((firstPage + pages) * PAGE_SIZE - 1)}`;

/** The page of a guest physical address. */
export const pageOf = (gpa: number): number => Math.floor(gpa / PAGE_SIZE);
