// The page walker: linear address -> guest physical page and rights, by the guest's page tables (SDM vol. 3, 4.3 to
// 4.8). It reads and writes entries through the second stage; it remembers nothing (tlb.ts does). What the kinds of paging
// differ in is in pagingKinds.ts.

import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, PTE, PTE_HIGH } from '../../x86/names/paging.ts';
import { ACCESS, ALL_RIGHTS, MODE, permits, RIGHTS, type Mode } from './access.ts';
import { PF, raise, stop } from '../fault.ts';
import { eptViolation } from './memoryExits.ts';
import type { MemoryContext, PagingRegisters } from './memoryContext.ts';
import {
  indexAt,
  LEVEL,
  PAE,
  pagingKind,
  PS,
  PSE36_SHIFT,
  pse36Bits,
  reservedHigh,
  reservedInLarge,
  withinPage,
  type PagingKind,
} from './pagingKinds.ts';
import { RememberedWalks } from './rememberedWalks.ts';
import { pageAddress, STAGE } from './secondStage.ts';
import { joinWords } from '../words.ts';

const PAGES_PER_4G = 2 ** (32 - PAGE_SHIFT);

/** How a descent through the tables ended. */
const END = { MAPPED: 0, NOT_PRESENT: 1, RESERVED: 2, NO_TABLE: 3 } as const;

export class Walker {
  /** The result: guest physical page in halves, and rights (access.ts). */
  gpaLow = 0;
  gpaHigh = 0;
  rights = 0;
  readonly #context: MemoryContext;
  readonly #registers: PagingRegisters;
  readonly #u32: Uint32Array;
  readonly #remembered: RememberedWalks;
  #kind: PagingKind = PAE;
  /** Of each level that was used: the entry's index in linear memory, in words; its guest physical address; its second-stage entry. */
  readonly #entries = new Int32Array(4);
  readonly #gpas = new Float64Array(4);
  readonly #stages = new Int32Array(4);
  /** The level where the descent ended. */
  #leaf: number = LEVEL.PTE;

  constructor(context: MemoryContext, registers: PagingRegisters) {
    this.#context = context;
    this.#registers = registers;
    this.#u32 = context.state.views.u32;
    this.#remembered = new RememberedWalks(context, registers);
  }

  /** Translates for an access, raises #PF, or leaves with EPT_VIOLATION. Sets A bits, and D unless the access is a probe. */
  walk(low: number, high: number, access: number, mode: Mode): void {
    if (this.#recalls(low, high, access, mode)) return;
    const end = this.#descend(low, high);
    if (end === END.NO_TABLE) this.#noTable(low, high);
    if (end !== END.MAPPED) raise.pf(joinWords(low, high), this.#errorCode(access, mode, end));
    if (!this.#registers.paging) return;
    if (!permits(this.rights, access, mode, this.#registers.wp, this.#registers.smep)) {
      raise.pf(joinWords(low, high), this.#errorCode(access, mode, end));
    }
    const dirties = marksDirty(access);
    for (let level = this.#kind.top; level >= this.#leaf; level--) {
      this.#mark(level, dirties && level === this.#leaf ? PTE.A | PTE.D : PTE.A, low, high);
    }
    if (dirties) this.rights |= RIGHTS.DIRTY;
    if (this.#kind.top === LEVEL.PML4E) {
      const global = (this.#u32[this.#entries[this.#leaf]!]! & PTE.G) !== 0;
      this.#remembered.keep(low, high, this.#entries, this.#leaf, this.gpaLow, this.gpaHigh, this.rights, global);
    }
  }

  /** Takes the result from a walk that was made before, if this access may go by it and leaves the entries as they are. */
  #recalls(low: number, high: number, access: number, mode: Mode): boolean {
    const remembered = this.#remembered;
    if (!remembered.recall(low, high)) return false;
    const { rights } = remembered;
    if (marksDirty(access) && (rights & RIGHTS.DIRTY) === 0) return false;
    if (!permits(rights, access, mode, this.#registers.wp, this.#registers.smep)) return false;
    this.gpaLow = remembered.gpaLow;
    this.gpaHigh = remembered.gpaHigh;
    this.rights = rights;
    return true;
  }

  /** Translates for an onlooker: no rights are asked, no bits are set, nothing is raised. False: not mapped. */
  inspect(low: number, high: number): boolean {
    return this.#descend(low, high) === END.MAPPED;
  }

  #descend(low: number, high: number): number {
    const registers = this.#registers;
    if (!registers.paging) {
      this.gpaLow = low & ~PAGE_MASK;
      this.gpaHigh = 0;
      this.rights = ALL_RIGHTS;
      return END.MAPPED;
    }
    if (registers.la57) stop('5-level paging is not implemented', 'leave CR4.LA57 clear');

    const kind = (this.#kind = pagingKind(registers, this.#context.features));
    const reserved = reservedHigh(kind, this.#context.features.physicalAddressBits, registers.nxe);
    let rights: number = RIGHTS.WRITE | RIGHTS.USER;
    if (kind === PAE && (registers.pdpteLow(low >>> 30) & PTE.P) === 0) return END.NOT_PRESENT;
    let tableLow = kind === PAE ? registers.pdpteLow(low >>> 30) : registers.cr3Low;
    let tableHigh = kind === PAE ? registers.pdpteHigh(low >>> 30) : registers.longMode ? registers.cr3High : 0;
    for (let level = kind.top; ; level--) {
      const at = this.#locate(kind, level, tableLow, tableHigh & PTE_HIGH.ADDRESS, low, high);
      if (at < 0) return END.NO_TABLE;
      const entryLow = this.#u32[at]!;
      const entryHigh = kind.entryBytes === 8 ? this.#u32[at + 1]! : 0;
      if ((entryLow & PTE.P) === 0) return END.NOT_PRESENT;
      if ((entryHigh & reserved) !== 0) return END.RESERVED;

      rights &= entryLow | ~(RIGHTS.WRITE | RIGHTS.USER);
      if ((entryHigh & PTE_HIGH.NX) !== 0) rights |= RIGHTS.NX;
      if (level === LEVEL.PTE) return this.#maps(entryLow, entryHigh, 0, low, rights, 0);
      if ((entryLow & PTE.PS) !== 0 && kind.ps[level - 1] !== PS.IGNORED) {
        return this.#mapsLarge(kind, level, entryLow, entryHigh, low, rights);
      }
      tableLow = entryLow;
      tableHigh = entryHigh;
    }
  }

  /** Index in linear memory, in words, of a table's entry for an address; -1: the second stage has no such table. */
  #locate(kind: PagingKind, level: number, tableLow: number, tableHigh: number, low: number, high: number): number {
    const page = gpaPage(tableLow, tableHigh);
    const offset = indexAt(kind, low, high, level) * kind.entryBytes;
    const stage = this.#context.secondStage.lookup(page);
    this.#leaf = level;
    this.#gpas[level] = page * PAGE_SIZE + offset;
    this.#stages[level] = stage;
    const at = (this.#entries[level] = (pageAddress(stage) + offset) >>> 2);
    return (stage & STAGE.PRESENT) === 0 ? -1 : at;
  }

  #mapsLarge(
    kind: PagingKind,
    level: number,
    entryLow: number,
    entryHigh: number,
    low: number,
    rights: number,
  ): number {
    const size = kind.ps[level - 1]!;
    const within = withinPage(kind, level);
    const pse36 = pse36Bits(kind, this.#context.features);
    if (size === PS.RESERVED || (entryLow & reservedInLarge(within, pse36)) !== 0) return END.RESERVED;
    return this.#maps(entryLow, entryHigh | ((entryLow & pse36) >>> PSE36_SHIFT), within, low, rights, size);
  }

  /** The entry maps a page; `within` are the bits of the address that select 4 KiB of a large one. */
  #maps(entryLow: number, addressHigh: number, within: number, low: number, rights: number, size: number): number {
    const global = (entryLow & PTE.G) !== 0 && this.#registers.globalPages;
    this.gpaLow = (entryLow & ~(within | PAGE_MASK)) | (low & within);
    this.gpaHigh = addressHigh & PTE_HIGH.ADDRESS;
    this.rights = rights | size | (entryLow & PTE.D) | (global ? RIGHTS.GLOBAL : 0);
    return END.MAPPED;
  }

  /** Sets A or D bits of the entry at `level` in one locked update (4.8), seen by dirty logging and the code cache. */
  #mark(level: number, bits: number, low: number, high: number): void {
    const at = this.#entries[level]!;
    if ((this.#u32[at]! & bits) === bits) return;
    const { entryBytes } = this.#kind;
    if ((this.#stages[level]! & STAGE.WRITABLE) === 0) {
      const gpa = BigInt(this.#gpas[level]!);
      eptViolation(this.#context.state, ACCESS.WRITE | entryBytes, joinWords(low, high), gpa, true, true);
    }
    this.#u32[at] |= bits;
    this.#context.arena.wrote(at * 4, entryBytes);
  }

  #noTable(low: number, high: number): never {
    const gpa = BigInt(this.#gpas[this.#leaf]!);
    if ((this.#stages[this.#leaf]! & STAGE.MMIO) !== 0) {
      stop(
        `the page tables for 0x${joinWords(low, high).toString(16)} lie in device memory, at guest physical 0x${gpa.toString(16)}`,
        'put page tables in memory: CR3 or an entry on the way is likely wrong',
      );
    }
    return eptViolation(this.#context.state, this.#kind.entryBytes, joinWords(low, high), gpa, false, true);
  }

  /** SDM vol. 3, 4.7. */
  #errorCode(access: number, mode: Mode, end: number): number {
    const { smep, pae, nxe } = this.#registers;
    const fetch = (access & ACCESS.FETCH) !== 0 && (smep || (pae && nxe));
    return (
      (end === END.NOT_PRESENT ? 0 : PF.P) |
      ((access & ACCESS.WRITE) !== 0 ? PF.W : 0) |
      (mode === MODE.USER ? PF.U : 0) |
      (end === END.RESERVED ? PF.RSVD : 0) |
      (fetch ? PF.I : 0)
    );
  }
}

/** Whether an access sets D. */
const marksDirty = (access: number): boolean => (access & (ACCESS.WRITE | ACCESS.PROBE)) === ACCESS.WRITE;

/** A guest physical page number from its halves. */
export const gpaPage = (low: number, high: number): number => high * PAGES_PER_4G + (low >>> PAGE_SHIFT);
