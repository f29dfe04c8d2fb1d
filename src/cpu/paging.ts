// The page walker: linear address -> guest physical page and rights, by the guest's page tables (SDM vol. 3, 4.5 to
// 4.8). It reads and writes entries through the second stage; it remembers nothing (tlb.ts does).

import { LARGE_RESERVED, PAGE_MASK, PAGE_SHIFT, PTE, PTE_HIGH } from '../x86/names/paging.ts';
import { ACCESS, ALL_RIGHTS, MODE, permits, RIGHTS, type Mode } from './access.ts';
import { PF, raise, stop } from './fault.ts';
import { eptViolation } from './memoryExits.ts';
import type { MemoryContext, PagingRegisters } from './memoryContext.ts';
import { pageAddress, STAGE } from './secondStage.ts';
import { joinWords } from './words.ts';

/** Levels of 4-level paging: the entry that is read there. */
const LEVEL = { PTE: 0, PDE: 1, PDPTE: 2, PML4E: 3 } as const;
const INDEX_MASK = 511;
const ENTRY_SIZE = 8;
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
  /** Of each level that was used: the entry's address in linear memory and its second-stage entry. */
  readonly #entries = new Float64Array(4);
  readonly #stages = new Int32Array(4);
  #leaf: number = LEVEL.PTE;

  constructor(context: MemoryContext, registers: PagingRegisters) {
    this.#context = context;
    this.#registers = registers;
    this.#u32 = context.state.views.u32;
  }

  /** Translates for an access, raises #PF, or leaves with EPT_VIOLATION. Sets A bits, and D unless the access is a probe. */
  walk(low: number, high: number, access: number, mode: Mode): void {
    const end = this.#descend(low, high);
    if (end === END.NO_TABLE) this.#noTable(low, high);
    if (end !== END.MAPPED) raise.pf(joinWords(low, high), this.#errorCode(access, mode, end));
    if (!this.#registers.paging) return;
    if (!permits(this.rights, access, mode, this.#registers.wp, this.#registers.smep)) {
      raise.pf(joinWords(low, high), this.#errorCode(access, mode, end));
    }
    const dirties = (access & (ACCESS.WRITE | ACCESS.PROBE)) === ACCESS.WRITE;
    for (let level: number = LEVEL.PML4E; level >= this.#leaf; level--) {
      this.#mark(level, dirties && level === this.#leaf ? PTE.A | PTE.D : PTE.A, low, high);
    }
    if (dirties) this.rights |= RIGHTS.DIRTY;
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
    if (!registers.longMode) stop('paging outside long mode is not implemented', 'enter the guest in 64-bit mode');
    if (registers.la57) stop('5-level paging is not implemented', 'leave CR4.LA57 clear');

    const reserved = reservedHigh(this.#context.features.physicalAddressBits, registers.nxe);
    let rights: number = RIGHTS.WRITE | RIGHTS.USER;
    let tableLow = registers.cr3Low & ~PAGE_MASK;
    let tableHigh = registers.cr3High & PTE_HIGH.ADDRESS;
    for (let level: number = LEVEL.PML4E; ; level--) {
      const stage = this.#context.secondStage.lookup(gpaPage(tableLow, tableHigh));
      if ((stage & STAGE.PRESENT) === 0) {
        this.gpaLow = tableLow | (indexAt(low, high, level) * ENTRY_SIZE);
        this.gpaHigh = tableHigh;
        this.#stages[level] = stage;
        this.#leaf = level;
        return END.NO_TABLE;
      }
      const address = pageAddress(stage) + indexAt(low, high, level) * ENTRY_SIZE;
      this.#entries[level] = address;
      this.#stages[level] = stage;
      const entryLow = this.#u32[address >>> 2]!;
      const entryHigh = this.#u32[(address >>> 2) + 1]!;
      if ((entryLow & PTE.P) === 0) return END.NOT_PRESENT;
      if ((entryHigh & reserved) !== 0) return END.RESERVED;

      rights &= entryLow | ~(RIGHTS.WRITE | RIGHTS.USER);
      if ((entryHigh & PTE_HIGH.NX) !== 0) rights |= RIGHTS.NX;
      const large = level !== LEVEL.PTE && (entryLow & PTE.PS) !== 0;
      if (large && (entryLow & this.#largeReserved(level)) !== 0) return END.RESERVED;
      if (large || level === LEVEL.PTE) {
        const inPage = level === LEVEL.PTE ? 0 : level === LEVEL.PDE ? 0x1ff000 : 0x3ffff000;
        this.gpaLow = (entryLow & ~(inPage | PAGE_MASK)) | (low & inPage);
        this.gpaHigh = entryHigh & PTE_HIGH.ADDRESS;
        if ((entryLow & PTE.G) !== 0 && registers.globalPages) rights |= RIGHTS.GLOBAL;
        if (large) rights |= level === LEVEL.PDE ? RIGHTS.PAGE_2M : RIGHTS.PAGE_1G;
        this.rights = rights | (entryLow & PTE.D);
        this.#leaf = level;
        return END.MAPPED;
      }
      tableLow = entryLow & ~PAGE_MASK;
      tableHigh = entryHigh & PTE_HIGH.ADDRESS;
    }
  }

  /** Bits that must be clear in the low half of an entry with PS set: tables 4-15, 4-16 and 4-18. */
  #largeReserved(level: number): number {
    if (level === LEVEL.PDE) return LARGE_RESERVED.PAGE_2M;
    return level === LEVEL.PDPTE && this.#context.features.has('PAGE1GB') ? LARGE_RESERVED.PAGE_1G : PTE.PS;
  }

  /** Sets A or D bits of the entry at `level` in one locked update (4.8), seen by dirty logging and the code cache. */
  #mark(level: number, bits: number, low: number, high: number): void {
    const address = this.#entries[level]!;
    const at = address >>> 2;
    if ((this.#u32[at]! & bits) === bits) return;
    if ((this.#stages[level]! & STAGE.WRITABLE) === 0) {
      const gpa = this.#entryGpa(level, low, high);
      eptViolation(this.#context.state, ACCESS.WRITE | ENTRY_SIZE, joinWords(low, high), gpa, true, true);
    }
    this.#u32[at] |= bits;
    this.#context.arena.wrote(address, ENTRY_SIZE);
  }

  /** Guest physical address of the entry that a successful descent used at `level`. */
  #entryGpa(level: number, low: number, high: number): bigint {
    const parent = level === LEVEL.PML4E ? -1 : this.#entries[level + 1]! >>> 2;
    const tableLow = parent < 0 ? this.#registers.cr3Low : this.#u32[parent]!;
    const tableHigh = (parent < 0 ? this.#registers.cr3High : this.#u32[parent + 1]!) & PTE_HIGH.ADDRESS;
    return joinWords((tableLow & ~PAGE_MASK) | (indexAt(low, high, level) * ENTRY_SIZE), tableHigh);
  }

  #noTable(low: number, high: number): never {
    const gpa = joinWords(this.gpaLow, this.gpaHigh);
    if ((this.#stages[this.#leaf]! & STAGE.MMIO) !== 0) {
      stop(
        `the page tables for 0x${joinWords(low, high).toString(16)} lie in device memory, at guest physical 0x${gpa.toString(16)}`,
        'put page tables in memory: CR3 or an entry on the way is likely wrong',
      );
    }
    return eptViolation(this.#context.state, ENTRY_SIZE, joinWords(low, high), gpa, false, true);
  }

  /** SDM vol. 3, 4.7. */
  #errorCode(access: number, mode: Mode, end: number): number {
    const fetch = (access & ACCESS.FETCH) !== 0 && (this.#registers.nxe || this.#registers.smep);
    return (
      (end === END.NOT_PRESENT ? 0 : PF.P) |
      ((access & ACCESS.WRITE) !== 0 ? PF.W : 0) |
      (mode === MODE.USER ? PF.U : 0) |
      (end === END.RESERVED ? PF.RSVD : 0) |
      (fetch ? PF.I : 0)
    );
  }
}

/** Bits that must be clear in the high half of every entry. */
const reservedHigh = (physicalAddressBits: number, nxe: boolean): number =>
  (PTE_HIGH.ADDRESS & (-1 << (physicalAddressBits - 32))) | (nxe ? 0 : PTE_HIGH.NX);

/** Index into the table of a level: nine bits of the linear address. */
function indexAt(low: number, high: number, level: number): number {
  if (level === LEVEL.PTE) return (low >>> 12) & INDEX_MASK;
  if (level === LEVEL.PDE) return (low >>> 21) & INDEX_MASK;
  return level === LEVEL.PDPTE ? ((high << 2) | (low >>> 30)) & INDEX_MASK : (high >>> 7) & INDEX_MASK;
}

/** A guest physical page number from its halves. */
export const gpaPage = (low: number, high: number): number => high * PAGES_PER_4G + (low >>> PAGE_SHIFT);
