// The derived half of a CPU's TLB: views, fetch views and jump caches, which generated code compares addresses with. All
// of it can be dropped at any moment without a guest noticing; tlb.ts holds what a guest may notice.
//
// Theory. A data view entry is {tagRead u64 @0, tagWrite u64 @8, tagCode u64 @16, addend i32 @24}, indexed by the low bits
// of the page number. An access of n bytes at `ea` is direct when ((ea + n - 1) & ~0xfff) equals the tag: the last byte
// lies in the tagged page, and if the first did not, the entry would stand at another index. Its host address is the low
// half of ea, plus addend.
//   tagRead   the mode may read the page
//   tagWrite  the mode may write it and nobody needs to know: D is set, it is not logged as clean, it holds no code
//   tagCode   as tagWrite, but the page holds code: the store is direct if its line of the code bitmap is clear
// Most pages of a guest have the same addend, `usualAddend`: an access that guesses it does not wait for the entry to be loaded.
// A fetch view entry is {tag u64 @0, arenaPage u32 @8}, a jump cache entry {tag u64 @0, block i32 @8}. An empty tag is
// -1, which no compare can match because its low bits are set; an empty rip is not canonical.

import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from '../../x86/names/paging.ts';
import { ACCESS, type Mode } from './access.ts';
import { IndexSet } from '../indexSet.ts';
import {
  FETCH_ENTRIES,
  FETCH_ENTRY_SIZE,
  JUMP_ENTRIES,
  JUMP_ENTRY_SIZE,
  LEGACY_JUMP,
  VIEW_ENTRIES,
  VIEW_ENTRY_SIZE,
  type CpuState,
  type FieldName,
} from '../state.ts';
import { highWord } from '../words.ts';

/** Word offsets in a data view entry. */
const VIEW = { READ: 0, WRITE: 2, CODE: 4, ADDEND: 6 } as const;
const VIEW_WORDS = VIEW_ENTRY_SIZE / 4;
const FETCH = { TAG: 0, PAGE: 2 } as const;
const FETCH_WORDS = FETCH_ENTRY_SIZE / 4;
const JUMP_WORDS = JUMP_ENTRY_SIZE / 4;
const EMPTY = 0xffffffff;
const EMPTY_RIP = 1n << 63n;
const LEGACY_TAG = highWord(LEGACY_JUMP);
/** The usual addend is ahead by so many votes at most, so that another one can become it. */
const MOST_VOTES = 16;
/** With more entries in use than this, filling a view is cheaper than walking the list. */
const WORTH_LISTING = VIEW_ENTRIES / 8;
const JUMPS_WORTH_LISTING = JUMP_ENTRIES / 8;

/** Which tags of a view entry are filled. */
export const TAGS = { READ: 1, WRITE: 2, CODE: 4 } as const;

const DATA_VIEWS: readonly FieldName[] = ['userView', 'supervisorView', 'supervisorAcView'];
const FETCH_VIEWS: readonly FieldName[] = ['supervisorFetch', 'userFetch'];
const JUMP_CACHES: readonly FieldName[] = ['supervisorJumps', 'userJumps'];

/** Index of a page in the data views. */
export const viewIndex = (low: number): number => (low >>> PAGE_SHIFT) & (VIEW_ENTRIES - 1);
/** Index of a page in the fetch views. */
export const fetchIndex = (low: number): number => (low >>> PAGE_SHIFT) & (FETCH_ENTRIES - 1);

export class DerivedViews {
  readonly #u32: Uint32Array;
  readonly #i32: Int32Array;
  readonly #u64: BigUint64Array;
  /** Word index of the first entry of each view: data views by mode; fetch views and jump caches by supervisor, user. */
  readonly #data: readonly number[];
  readonly #fetch: readonly number[];
  readonly #jumps: readonly number[];
  /** Word index of the usual addend, and how many votes it is ahead. */
  readonly #usualAddend: number;
  #votes = 0;
  /** Word indices of the fields that say which of them generated code uses. */
  readonly #dataView: number;
  readonly #systemView: number;
  readonly #fetchView: number;
  readonly #jumpCache: number;
  /** Entries that may hold a tag, in any of the views. */
  readonly #dataUsed = new IndexSet(VIEW_ENTRIES);
  /** Bit n: the data view of mode n may hold one. */
  #modesUsed = 0;
  readonly #fetchUsed = new IndexSet(FETCH_ENTRIES);
  readonly #jumpsUsed = new IndexSet(JUMP_ENTRIES);

  constructor(state: CpuState) {
    const words = (name: FieldName): number => state.at(name) >>> 2;
    this.#u32 = state.views.u32;
    this.#i32 = state.views.i32;
    this.#u64 = state.views.u64;
    this.#usualAddend = words('usualAddend');
    this.#dataView = words('dataView');
    this.#systemView = words('systemView');
    this.#fetchView = words('fetchView');
    this.#jumpCache = words('jumpCache');
    this.#data = DATA_VIEWS.map(words);
    this.#fetch = FETCH_VIEWS.map(words);
    this.#jumps = JUMP_CACHES.map(words);
    this.#emptyData();
    for (const view of this.#fetch) this.#u32.fill(EMPTY, view, view + FETCH_ENTRIES * FETCH_WORDS);
    for (const cache of this.#jumps) this.#emptyJumps(cache);
  }

  /** Points generated code at the views of its modes. */
  select(data: Mode, system: Mode, user: boolean): void {
    const side = user ? 1 : 0;
    this.#i32[this.#dataView] = this.#data[data]! << 2;
    this.#i32[this.#systemView] = this.#data[system]! << 2;
    this.#i32[this.#fetchView] = this.#fetch[side]! << 2;
    this.#i32[this.#jumpCache] = this.#jumps[side]! << 2;
  }

  /** Fills the entry of a page in the view of a mode; `page` is its byte address in linear memory. */
  fillData(mode: Mode, low: number, high: number, page: number, tags: number): void {
    const u32 = this.#u32;
    const index = viewIndex(low);
    const at = this.#data[mode]! + index * VIEW_WORDS;
    const tag = low & ~PAGE_MASK;
    this.#tag(at + VIEW.READ, (tags & TAGS.READ) !== 0, tag, high);
    this.#tag(at + VIEW.WRITE, (tags & TAGS.WRITE) !== 0, tag, high);
    this.#tag(at + VIEW.CODE, (tags & TAGS.CODE) !== 0, tag, high);
    u32[at + VIEW.ADDEND] = page - tag;
    this.#countAddend((page - tag) >>> 0);
    this.#dataUsed.add(index);
    this.#modesUsed |= 1 << mode;
  }

  /** Keeps what most pages add: where a guest maps memory in one piece, they all do. A vote by majority, in one pass (Boyer and Moore). */
  #countAddend(addend: number): void {
    const u32 = this.#u32;
    if (u32[this.#usualAddend] === addend) this.#votes = Math.min(this.#votes + 1, MOST_VOTES);
    else if (--this.#votes < 0) {
      u32[this.#usualAddend] = addend;
      this.#votes = 0;
    }
  }

  /** Byte address in linear memory of a page that an access in this mode may use as it is; -1: ask the TLB. */
  dataPage(mode: Mode, low: number, high: number, write: boolean): number {
    const u32 = this.#u32;
    const at = this.#data[mode]! + viewIndex(low) * VIEW_WORDS;
    const tag = (low & ~PAGE_MASK) >>> 0;
    const entry = at + (write ? VIEW.WRITE : VIEW.READ);
    return u32[entry] === tag && u32[entry + 1] === high >>> 0 ? (u32[at + VIEW.ADDEND]! + tag) >>> 0 : -1;
  }

  /**
   * Index among 32-bit words of aligned bytes of one page that generated code would access at once, through the view in use; else 0.
   * `access`: a number of bytes up to 255, and of WRITE and SYSTEM what it is (access.ts).
   */
  atHand(low: number, high: number, access: number): number {
    const i32 = this.#i32;
    const view = i32[(access & ACCESS.SYSTEM) !== 0 ? this.#systemView : this.#dataView]! >>> 2;
    const at = view + viewIndex(low) * VIEW_WORDS;
    const tag = at + ((access & ACCESS.WRITE) !== 0 ? VIEW.WRITE : VIEW.READ);
    const hits = i32[tag] === (low & ~PAGE_MASK) && i32[tag + 1] === (high | 0);
    if (!hits || (low & 3) !== 0 || (low & PAGE_MASK) + (access & ACCESS.SIZE) > PAGE_SIZE) return 0;
    return (i32[at + VIEW.ADDEND]! + low) >>> 2;
  }

  fillFetch(user: boolean, low: number, high: number, page: number): void {
    const index = fetchIndex(low);
    const at = this.#fetch[user ? 1 : 0]! + index * FETCH_WORDS;
    this.#tag(at + FETCH.TAG, true, low & ~PAGE_MASK, high);
    this.#u32[at + FETCH.PAGE] = page;
    this.#fetchUsed.add(index);
  }

  /** Forgets what was derived from the data translation of a page. */
  dropPage(low: number): void {
    const index = viewIndex(low);
    for (const view of this.#data) this.#clearData(view + index * VIEW_WORDS);
  }

  /** Forgets what was derived from the fetch translation of a page, jumps into it included. */
  dropFetchPage(low: number, high: number): void {
    const index = fetchIndex(low);
    for (const view of this.#fetch) this.#tag(view + index * FETCH_WORDS + FETCH.TAG, false, 0, 0);
    for (const cache of this.#jumps) this.#dropJumpsTo(cache, low & ~PAGE_MASK, high | 0);
  }

  /** Forgets the data views: rights changed, translations did not. */
  dropData(): void {
    const used = this.#dataUsed;
    if (used.size > WORTH_LISTING) this.#emptyData();
    else {
      for (let mode = 0; mode < this.#data.length; mode++) {
        if (((this.#modesUsed >> mode) & 1) === 0) continue;
        for (let i = 0; i < used.size; i++) this.#clearData(this.#data[mode]! + used.at(i) * VIEW_WORDS);
      }
    }
    used.clear();
    this.#modesUsed = 0;
  }

  /** Forgets everything. */
  drop(): void {
    this.dropData();
    const used = this.#fetchUsed;
    if (used.size === 0) return;
    for (let i = 0; i < used.size; i++) {
      const offset = used.at(i) * FETCH_WORDS;
      for (const view of this.#fetch) this.#tag(view + offset + FETCH.TAG, false, 0, 0);
    }
    used.clear();
    this.dropJumps();
  }

  /** Forgets which addresses may write a page of linear memory. */
  writeProtect(page: number): void {
    const u32 = this.#u32;
    const used = this.#dataUsed;
    for (let i = 0; i < used.size; i++) {
      for (const view of this.#data) {
        const at = view + used.at(i) * VIEW_WORDS;
        if (((u32[at + VIEW.READ]! + u32[at + VIEW.ADDEND]! - page) | 0) !== 0) continue;
        this.#tag(at + VIEW.WRITE, false, 0, 0);
        this.#tag(at + VIEW.CODE, false, 0, 0);
      }
    }
  }

  #tag(at: number, filled: boolean, low: number, high: number): void {
    this.#u32[at] = filled ? low : EMPTY;
    this.#u32[at + 1] = filled ? high : EMPTY;
  }

  #emptyData(): void {
    for (const view of this.#data) this.#u32.fill(EMPTY, view, view + VIEW_ENTRIES * VIEW_WORDS);
  }

  #clearData(at: number): void {
    this.#tag(at + VIEW.READ, false, 0, 0);
    this.#tag(at + VIEW.WRITE, false, 0, 0);
    this.#tag(at + VIEW.CODE, false, 0, 0);
  }

  /** Jumps of 16- and 32-bit code all go: they do not tell their linear address. */
  #dropJumpsTo(cache: number, page: number, high: number): void {
    const i32 = this.#i32;
    const end = cache + JUMP_ENTRIES * JUMP_WORDS;
    for (let at = cache; at < end; at += JUMP_WORDS) {
      const isThere = i32[at + 1] === high && (i32[at]! & ~PAGE_MASK) === page;
      if (isThere || i32[at + 1] === LEGACY_TAG) this.#u64[at >>> 1] = EMPTY_RIP;
    }
  }

  /** Enters a block into the jump cache in use; `tag` is the upper half of what its address is compared as. */
  fillJump(rip: number, tag: number, block: number): void {
    const index = rip & (JUMP_ENTRIES - 1);
    const at = (this.#i32[this.#jumpCache]! >>> 2) + index * JUMP_WORDS;
    this.#u32[at] = rip;
    this.#u32[at + 1] = tag;
    this.#u32[at + 2] = block;
    this.#jumpsUsed.add(index);
  }

  dropJumps(): void {
    const used = this.#jumpsUsed;
    for (const cache of this.#jumps) {
      if (used.size > JUMPS_WORTH_LISTING) this.#emptyJumps(cache);
      else for (let i = 0; i < used.size; i++) this.#u64[(cache + used.at(i) * JUMP_WORDS) >>> 1] = EMPTY_RIP;
    }
    used.clear();
  }

  #emptyJumps(cache: number): void {
    this.#u64.fill(EMPTY_RIP, cache >>> 1, (cache + JUMP_ENTRIES * JUMP_WORDS) >>> 1);
  }
}
