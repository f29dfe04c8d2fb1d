// The architectural half of a CPU's TLB: the translations that a guest can notice, because they stay in force until an
// operation of SDM vol. 3, 4.10.4 invalidates them. Part of snapshots. What generated code compares with is in views.ts.
//
// Theory. Direct-mapped by the page number, as the views are: 4096 entries for data, 256 for fetches. What a view holds
// was derived from the entry at the same index, and leaving an entry always drops what was derived from it, so views are
// a subset of the TLB. Hence a view that is dropped (for dirty logging, say) is filled again without a walk, and whether
// an access found its view never shows. A large page is held as the 4-KiB pieces that were used (4.10.2.3).
// An entry: gva page | VALID in two words, gpa page in two words, rights, PCID.

import { PAGE_MASK } from '../../x86/names/paging.ts';
import { RIGHTS } from './access.ts';
import { IndexSet } from '../indexSet.ts';
import { gpaPage, type Walker } from './paging.ts';
import { FETCH_ENTRIES, TLB_ENTRIES, TLB_ENTRY_SIZE, VIEW_ENTRIES, type CpuState } from '../state.ts';
import { fetchIndex, viewIndex, type DerivedViews } from './views.ts';

/** Word offsets in an entry. */
const WORD = { GVA: 0, GPA: 2, RIGHTS: 4, PCID: 5 } as const;
const WORDS = TLB_ENTRY_SIZE / 4;
const VALID = 1;
const LARGE = RIGHTS.PAGE_2M | RIGHTS.PAGE_4M | RIGHTS.PAGE_1G;

/** Entry number of a page: data first, then fetches. */
export const dataSlot = (low: number): number => viewIndex(low);
export const fetchSlot = (low: number): number => VIEW_ENTRIES + fetchIndex(low);

/** For operations that spare no PCID. */
export const ANY_PCID = -1;

export class Tlb {
  readonly #u32: Uint32Array;
  readonly #i32: Int32Array;
  readonly #base: number;
  readonly #views: DerivedViews;
  readonly #used = new IndexSet(TLB_ENTRIES);
  /** Whether a piece of a large page may be held. */
  #large = false;

  constructor(state: CpuState, views: DerivedViews) {
    if (TLB_ENTRIES !== VIEW_ENTRIES + FETCH_ENTRIES) throw new Error('the TLB has one entry for each view index');
    this.#u32 = state.views.u32;
    this.#i32 = state.views.i32;
    this.#base = state.at('tlb') >>> 2;
    this.#views = views;
    this.restored();
  }

  /** The entry in `slot`, if it translates this page for this PCID; otherwise -1. */
  lookup(slot: number, low: number, high: number, pcid: number): number {
    const i32 = this.#i32;
    const at = this.#base + slot * WORDS;
    const hit =
      i32[at] === ((low & ~PAGE_MASK) | VALID) &&
      i32[at + 1] === (high | 0) &&
      (i32[at + WORD.PCID] === pcid || (i32[at + WORD.RIGHTS]! & RIGHTS.GLOBAL) !== 0);
    return hit ? at : -1;
  }

  rights(entry: number): number {
    return this.#u32[entry + WORD.RIGHTS]!;
  }
  gpaLow(entry: number): number {
    return this.#u32[entry + WORD.GPA]!;
  }
  gpaHigh(entry: number): number {
    return this.#u32[entry + WORD.GPA + 1]!;
  }

  /** Remembers the result of a walk in `slot`. */
  fill(slot: number, low: number, high: number, pcid: number, walk: Walker): number {
    const u32 = this.#u32;
    const at = this.#base + slot * WORDS;
    if (u32[at] !== 0) this.#forget(slot, at);
    u32[at] = (low & ~PAGE_MASK) | VALID;
    u32[at + 1] = high;
    u32[at + WORD.GPA] = walk.gpaLow;
    u32[at + WORD.GPA + 1] = walk.gpaHigh;
    u32[at + WORD.RIGHTS] = walk.rights;
    u32[at + WORD.PCID] = pcid;
    this.#used.add(slot);
    if ((walk.rights & LARGE) !== 0) this.#large = true;
    return at;
  }

  /** Invalidates everything, or all but global translations. */
  flush(keepGlobals: boolean): void {
    this.flushPcid(ANY_PCID, keepGlobals);
  }

  /** Invalidates the translations of a PCID, the global ones too unless they are kept. */
  flushPcid(pcid: number, keepGlobals: boolean): void {
    const u32 = this.#u32;
    if (pcid === ANY_PCID && !keepGlobals) {
      for (let i = 0; i < this.#used.size; i++) u32[this.#base + this.#used.at(i) * WORDS] = 0;
      this.#used.clear();
    }
    for (let i = this.#used.size - 1; i >= 0; i--) {
      const at = this.#base + this.#used.at(i) * WORDS;
      if (keepGlobals && (u32[at + WORD.RIGHTS]! & RIGHTS.GLOBAL) !== 0) continue;
      if (pcid === ANY_PCID || u32[at + WORD.PCID] === pcid) this.#removeAt(i);
    }
    if (this.#used.size === 0) this.#large = false;
    this.#views.drop();
  }

  /** Invalidates the page, small or large, that holds an address: of a PCID, and of all if global and not kept. */
  flushPage(low: number, high: number, pcid: number, keepGlobals: boolean): void {
    if (this.#large) return this.#flushLarge(low, high, pcid, keepGlobals);
    for (const slot of [dataSlot(low), fetchSlot(low)]) {
      const at = this.lookup(slot, low, high, pcid);
      if (at < 0 || (keepGlobals && (this.rights(at) & RIGHTS.GLOBAL) !== 0)) continue;
      this.#forget(slot, at);
      this.#u32[at] = 0;
    }
  }

  /** Invalidates what leads to `count` guest physical pages from `first` on. */
  flushGpa(first: number, count: number): void {
    const u32 = this.#u32;
    const before = this.#used.size;
    for (let i = before - 1; i >= 0; i--) {
      const at = this.#base + this.#used.at(i) * WORDS;
      const page = gpaPage(u32[at + WORD.GPA]!, u32[at + WORD.GPA + 1]!);
      if (page >= first && page < first + count) this.#removeAt(i);
    }
    if (this.#used.size !== before) this.#views.drop();
  }

  /** The entries in the state block were replaced: learns which are in use. */
  restored(): void {
    this.#used.clear();
    this.#large = false;
    for (let slot = 0; slot < TLB_ENTRIES; slot++) {
      const at = this.#base + slot * WORDS;
      if (this.#u32[at] === 0) continue;
      this.#used.add(slot);
      if ((this.#u32[at + WORD.RIGHTS]! & LARGE) !== 0) this.#large = true;
    }
  }

  #flushLarge(low: number, high: number, pcid: number, keepGlobals: boolean): void {
    const u32 = this.#u32;
    const before = this.#used.size;
    for (let i = before - 1; i >= 0; i--) {
      const at = this.#base + this.#used.at(i) * WORDS;
      const rights = u32[at + WORD.RIGHTS]!;
      const global = (rights & RIGHTS.GLOBAL) !== 0;
      if (global ? keepGlobals : u32[at + WORD.PCID] !== pcid) continue;
      if ((((u32[at]! ^ low) & ~inPage(rights)) | (u32[at + 1]! ^ high)) === 0) this.#removeAt(i);
    }
    if (this.#used.size !== before) this.#views.drop();
  }

  #removeAt(i: number): void {
    this.#u32[this.#base + this.#used.at(i) * WORDS] = 0;
    this.#used.removeAt(i);
  }

  /** Drops what was derived from an entry that leaves. */
  #forget(slot: number, at: number): void {
    const low = this.#u32[at]!;
    if (slot < VIEW_ENTRIES) this.#views.dropPage(low);
    else this.#views.dropFetchPage(low, this.#u32[at + 1]!);
  }
}

/** Bits of the low half of an address that select a byte of its page. */
function inPage(rights: number): number {
  if ((rights & LARGE) === 0) return PAGE_MASK;
  return (rights & RIGHTS.PAGE_2M) !== 0 ? 0x1f_ffff : (rights & RIGHTS.PAGE_4M) !== 0 ? 0x3f_ffff : 0x3fff_ffff;
}
