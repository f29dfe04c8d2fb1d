// The second stage: guest physical page -> page of the arena, nothing, or MMIO. A sparse radix table, consulted only when
// a TLB view is filled. It enforces; which page should be where is the hypervisor's business (memory slots).

import { MAXPHYADDR, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from '../../x86/names/paging.ts';
import type { Arena } from './arena.ts';

/** Low bits of an entry; the upper twenty are the page's byte address in linear memory. An entry of 0 is absent. */
export const STAGE = {
  PRESENT: 1 << 0,
  WRITABLE: 1 << 1,
  /** Writes to the page are logged: a clean page is in no write view. */
  LOGGED: 1 << 2,
  /** Belongs to a device: each access is an EPT misconfiguration exit. */
  MMIO: 1 << 3,
  /** Memory to read, a device to write: each write is an EPT misconfiguration exit, as on MMIO. */
  ROM: 1 << 4,
} as const;

/** Who caches translations. */
export interface StageObserver {
  /** What was known of `count` guest physical pages from `first` on no longer holds. */
  unmapped(first: number, count: number): void;
}

/** `rom`: with `writable` false, writes are handed to a device instead of being violations. */
export interface MapOptions {
  readonly writable: boolean;
  readonly logged?: boolean;
  readonly rom?: boolean;
}

/** Consecutive pages with one set of flags, and consecutive addresses if they are present. */
export interface StageRange {
  readonly first: number;
  count: number;
  readonly address: number;
  readonly flags: number;
}

const LEAF_BITS = 9;
const LEAF = 1 << LEAF_BITS;
const NODE_SPAN = LEAF * LEAF;
const PAGES = 2 ** (MAXPHYADDR - PAGE_SHIFT);

type Node = (Int32Array | undefined)[];

/** Guest physical pages are numbers (gpa >> 12, below 2^34). */
export class SecondStage {
  readonly #arena: Arena;
  readonly #root: (Node | undefined)[] = [];
  readonly #observers: StageObserver[] = [];
  /** Counts changes: what `lookup` said before the last is void. */
  generation = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  observe(observer: StageObserver): void {
    this.#observers.push(observer);
  }

  /** The entry of a page, as an i32: see STAGE. */
  lookup(page: number): number {
    const leaf = this.#leaf(page);
    return leaf === undefined ? 0 : leaf[page & (LEAF - 1)]!;
  }

  /** Maps `count` pages from `first` on to consecutive pages of linear memory from byte `address` on. */
  map(first: number, count: number, address: number, options: MapOptions): void {
    if ((address & PAGE_MASK) !== 0) throw new RangeError(`0x${address.toString(16)} is not the address of a page`);
    const writable = options.writable ? STAGE.WRITABLE : 0;
    const logged = options.logged === true ? STAGE.LOGGED : 0;
    const rom = options.rom === true ? STAGE.ROM : 0;
    this.#fill(first, count, address | STAGE.PRESENT | writable | logged | rom, PAGE_SIZE);
  }

  /** Accesses will exit with EPT_VIOLATION. */
  unmap(first: number, count: number): void {
    this.#check(first, count);
    this.generation++;
    let known = false;
    this.#visit(first, count, (leaf, index) => {
      leaf[index] = 0;
      known = true;
    });
    if (known) for (const observer of this.#observers) observer.unmapped(first, count);
  }

  /** Accesses will exit with EPT_MISCONFIG, each a fragment that the host serves. */
  markMmio(first: number, count: number): void {
    this.#fill(first, count, STAGE.MMIO, 0);
  }

  /** Allows or forbids writes to the present pages of a range. */
  protect(first: number, count: number, writable: boolean): void {
    this.#setFlag(first, count, STAGE.WRITABLE, writable);
  }

  /** Starts or ends logging of writes to the present pages of a range; which of them are clean, the arena knows. */
  setDirtyLogging(first: number, count: number, on: boolean): void {
    this.#setFlag(first, count, STAGE.LOGGED, on);
  }

  /** Everything that is not absent, as runs of like entries; addresses count from `base`. */
  ranges(base: number): StageRange[] {
    const found: StageRange[] = [];
    for (const [top, node] of this.#root.entries()) {
      for (const [middle, leaf] of node?.entries() ?? []) {
        for (const [index, entry] of leaf?.entries() ?? []) {
          if (entry === 0) continue;
          const page = top * NODE_SPAN + middle * LEAF + index;
          const flags = entry & PAGE_MASK;
          const address = (flags & STAGE.PRESENT) === 0 ? 0 : pageAddress(entry) - base;
          const last = found.at(-1);
          const step = (flags & STAGE.PRESENT) === 0 ? 0 : PAGE_SIZE;
          const follows = last?.flags === flags && last.first + last.count === page;
          if (follows && last.address + last.count * step === address) last.count++;
          else found.push({ first: page, count: 1, address, flags });
        }
      }
    }
    return found;
  }

  /** Makes the table what `ranges` said. */
  restore(base: number, ranges: readonly StageRange[]): void {
    this.#root.length = 0;
    this.generation++;
    for (const { first, count, address, flags } of ranges) {
      const present = (flags & STAGE.PRESENT) !== 0;
      this.#fill(first, count, flags | (present ? address + base : 0), present ? PAGE_SIZE : 0);
    }
  }

  #fill(first: number, count: number, entry: number, step: number): void {
    this.unmap(first, count);
    for (let i = 0; i < count; i++) {
      const page = first + i;
      const node = (this.#root[Math.floor(page / NODE_SPAN)] ??= []);
      const leaf = (node[(page >>> LEAF_BITS) & (LEAF - 1)] ??= new Int32Array(LEAF));
      leaf[page & (LEAF - 1)] = entry + i * step;
    }
  }

  #setFlag(first: number, count: number, flag: number, on: boolean): void {
    this.#check(first, count);
    this.generation++;
    this.#visit(first, count, (leaf, index) => {
      const entry = leaf[index]!;
      if ((entry & STAGE.PRESENT) === 0) return;
      leaf[index] = on ? entry | flag : entry & ~flag;
      this.#arena.writeProtect(pageAddress(entry));
    });
  }

  /** Calls for each entry of a range that is not absent. */
  #visit(first: number, count: number, visit: (leaf: Int32Array, index: number) => void): void {
    const end = first + count;
    for (let page = first; page < end; ) {
      const leafEnd = Math.min(end, (Math.floor(page / LEAF) + 1) * LEAF);
      const leaf = this.#leaf(page);
      if (leaf === undefined) page = leafEnd;
      else for (; page < leafEnd; page++) if (leaf[page & (LEAF - 1)] !== 0) visit(leaf, page & (LEAF - 1));
    }
  }

  #leaf(page: number): Int32Array | undefined {
    return this.#root[Math.floor(page / NODE_SPAN)]?.[(page >>> LEAF_BITS) & (LEAF - 1)];
  }

  #check(first: number, count: number): void {
    if (Number.isInteger(first) && first >= 0 && count >= 0 && first + count <= PAGES) return;
    throw new RangeError(
      `guest physical pages ${first} to ${first + count - 1} are not all below 2^${MAXPHYADDR - PAGE_SHIFT} (MAXPHYADDR is ${MAXPHYADDR})`,
    );
  }
}

/** Byte address in linear memory of the page that a present entry maps. */
export const pageAddress = (entry: number): number => (entry & ~PAGE_MASK) >>> 0;
