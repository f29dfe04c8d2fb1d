// A CPU's address translation as a whole: both stages, permission, and what is remembered of them. Linear addresses go
// in, pages of linear memory come out; touching those pages is the business of mmu.ts.

import { PAGE_MASK } from '../../x86/names/paging.ts';
import { ACCESS, isCanonical, MODE, permits, RIGHTS, type Mode } from './access.ts';
import type { Breakpoints } from '../breakpoints.ts';
import { selectCodeMode } from '../segments/codeMode.ts';
import { raise, stop } from '../fault.ts';
import type { Fragments } from './fragments.ts';
import { eptViolation } from './memoryExits.ts';
import { PagingRegisters, type MemoryContext } from './memoryContext.ts';
import { gpaPage, Walker } from './paging.ts';
import { pageAddress, STAGE } from './secondStage.ts';
import { ANY_PCID, dataSlot, fetchSlot, Tlb } from './tlb.ts';
import { DerivedViews, TAGS } from './views.ts';
import { highWord, joinWords, lowWord } from '../words.ts';

/** What `translate` gives instead of the address of a page when the page belongs to a device; no page has this address. */
export const DEVICE = 1;

export class Translation {
  /** Guest physical page of the device that `translate` found, in halves. */
  gpaLow = 0;
  gpaHigh = 0;
  readonly views: DerivedViews;
  /** Whether #AC is in force. Then no user access is direct: the views of the user stay empty. */
  #alignmentChecked = false;
  /** A view lets writes through that CR0.WP would refuse. */
  #unprotected = false;
  readonly #context: MemoryContext;
  readonly #fragments: Fragments;
  readonly #breakpoints: Breakpoints;
  readonly #registers: PagingRegisters;
  readonly #walker: Walker;
  readonly #tlb: Tlb;

  constructor(context: MemoryContext, fragments: Fragments, breakpoints: Breakpoints) {
    this.#context = context;
    this.#fragments = fragments;
    this.#breakpoints = breakpoints;
    this.#registers = new PagingRegisters(context.state);
    this.#walker = new Walker(context, this.#registers);
    this.views = new DerivedViews(context.state);
    this.#tlb = new Tlb(context.state, this.views);
    context.arena.observe({ writeProtect: (page) => this.views.writeProtect(page) });
    context.secondStage.observe({ unmapped: (first, count) => this.#tlb.flushGpa(first, count) });
    this.selectViews();
  }

  /** The mode of a data access. */
  modeOf(access: number): Mode {
    if ((access & ACCESS.SYSTEM) !== 0) return this.#registers.systemMode;
    return (access & ACCESS.USER) !== 0 ? MODE.USER : this.#registers.dataMode;
  }

  /** Raises #AC for an explicit access of 2, 4 or 8 bytes that is not aligned, where that is in force: before #PF, behind #GP and #SS. */
  checkAlignment(low: number, high: number, access: number): void {
    if (!this.#alignmentChecked || (access & ACCESS.SYSTEM) !== 0 || !isCanonical(high)) return;
    const size = access & ACCESS.SIZE;
    if (size <= 8 && (low & (size - 1)) !== 0) raise.ac();
  }

  /**
   * Byte address in linear memory of the page that a data access of one page touches, or DEVICE; fills the view of its
   * mode. Raises, or leaves with EPT_VIOLATION. A write that is no probe counts as made: it sets D and is logged.
   */
  translate(low: number, high: number, access: number, mode: Mode): number {
    const write = (access & ACCESS.WRITE) !== 0;
    if (this.#fragments.pendingPage(low, high, write)) {
      this.gpaLow = this.#fragments.gpaLow;
      this.gpaHigh = this.#fragments.gpaHigh;
      return DEVICE;
    }
    const known = this.views.dataPage(mode, low, high, write);
    if (known >= 0) return known;
    if (!isCanonical(high)) this.#notCanonical(access);
    const { pcid, wp, smep } = this.#registers;
    const slot = dataSlot(low);
    let entry = this.#tlb.lookup(slot, low, high, pcid);
    if (
      entry < 0 ||
      !permits(this.#tlb.rights(entry), access, mode, wp, smep) ||
      (write && (this.#tlb.rights(entry) & RIGHTS.DIRTY) === 0)
    ) {
      this.#walker.walk(low, high, access, mode);
      entry = this.#tlb.fill(slot, low, high, pcid, this.#walker);
    }
    const stage = this.#stageOf(entry);
    if ((stage & (write ? STAGE.MMIO | STAGE.ROM : STAGE.MMIO)) !== 0) {
      this.gpaLow = this.#tlb.gpaLow(entry);
      this.gpaHigh = this.#tlb.gpaHigh(entry);
      return DEVICE;
    }
    if ((stage & STAGE.PRESENT) === 0 || (write && (stage & STAGE.WRITABLE) === 0)) {
      this.#violation(low, high, access, entry, stage);
    }
    const page = pageAddress(stage);
    if (write && (access & ACCESS.PROBE) === 0 && (stage & STAGE.LOGGED) !== 0) this.#context.arena.markDirty(page);
    this.#fillView(low, high, mode, this.#tlb.rights(entry), stage, page, wp);
    return page;
  }

  /** Byte address in linear memory of the page to fetch from; fills the fetch view. */
  translateFetch(low: number, high: number): number {
    if (!isCanonical(high)) raise.gp(0);
    const { user, pcid, wp, smep } = this.#registers;
    const mode = user ? MODE.USER : MODE.SUPERVISOR;
    const slot = fetchSlot(low);
    let entry = this.#tlb.lookup(slot, low, high, pcid);
    if (entry < 0 || !permits(this.#tlb.rights(entry), ACCESS.FETCH, mode, wp, smep)) {
      this.#walker.walk(low, high, ACCESS.FETCH, mode);
      entry = this.#tlb.fill(slot, low, high, pcid, this.#walker);
    }
    const stage = this.#stageOf(entry);
    if ((stage & STAGE.MMIO) !== 0) {
      stop(
        `instructions are fetched from device memory, at guest physical 0x${this.#gpa(entry, low).toString(16)}`,
        'a jump or return went astray, or the code was never loaded: see the call that led to this RIP',
      );
    }
    if ((stage & STAGE.PRESENT) === 0) this.#violation(low, high, ACCESS.FETCH, entry, stage);
    const page = pageAddress(stage);
    this.views.fillFetch(user, low, high, page);
    return page;
  }

  /** Guest physical address of a linear address by the page tables as they stand, or null. Changes nothing, raises nothing. */
  peek(low: number, high: number): bigint | null {
    if (!isCanonical(high) || !this.#walker.inspect(low, high)) return null;
    return joinWords(this.#walker.gpaLow | (low & PAGE_MASK), this.#walker.gpaHigh);
  }

  // Invalidation (SDM vol. 3, 4.10.4). The register concerned has its new value already.

  /** Invalidates translations of every PCID. */
  flushAll(keepGlobals: boolean): void {
    this.#tlb.flushPcid(ANY_PCID, keepGlobals);
  }

  flushPcid(pcid: number, keepGlobals: boolean): void {
    this.#tlb.flushPcid(pcid, keepGlobals);
  }

  /** The page, small or large, of an address: under the current PCID, and if it is global. */
  invlpg(gva: bigint): void {
    this.#tlb.flushPage(lowWord(gva), highWord(gva), this.#registers.pcid, false);
  }

  /** The page of an address under a PCID, global translations excepted. */
  invlpgPcid(gva: bigint, pcid: number): void {
    this.#tlb.flushPage(lowWord(gva), highWord(gva), pcid, true);
  }

  /** CR3 was written: views hold what was found under the old one. */
  addressSpaceChanged(): void {
    this.views.drop();
  }

  /** CR0.WP or CR0.AM changed: what views permit still holds, but where WP was clear and had to be. */
  protectionChanged(): void {
    if (this.#unprotected && this.#registers.wp) {
      this.views.dropData();
      this.#unprotected = false;
    }
    this.selectViews();
  }

  /** CR4.SMEP or SMAP changed, or what else views were filled by. */
  rightsChanged(): void {
    this.views.drop();
    this.selectViews();
  }

  /** CPL, EFLAGS.AC, CR0.AM or CR4.SMAP changed: points generated code at the views that now apply. */
  selectViews(): void {
    const { user, dataMode, systemMode, alignmentChecked } = this.#registers;
    this.views.select(dataMode, systemMode, user);
    if (alignmentChecked && !this.#alignmentChecked) this.views.dropData();
    this.#alignmentChecked = alignmentChecked;
  }

  /** Forgets all that is derived; no guest can notice. */
  dropDerived(): void {
    this.views.drop();
  }

  /** Enters a block into the jump cache in use. */
  fillJump(rip: number, tag: number, block: number): void {
    this.views.fillJump(rip, tag, block);
  }

  /** Forgets jumps alone: the code that they count in is another. */
  dropJumps(): void {
    this.views.dropJumps();
  }

  /** The architectural part of the state block was replaced (snapshot, rollback). */
  restored(): void {
    selectCodeMode(this.#context.state);
    this.#breakpoints.refresh();
    this.views.drop();
    this.#tlb.restored();
    this.selectViews();
  }

  #stageOf(entry: number): number {
    return this.#context.secondStage.lookup(gpaPage(this.#tlb.gpaLow(entry), this.#tlb.gpaHigh(entry)));
  }

  #fillView(low: number, high: number, mode: Mode, rights: number, stage: number, page: number, wp: boolean): void {
    if (mode === MODE.USER && this.#alignmentChecked) return;
    const { arena } = this.#context;
    let tags = permits(rights, 0, mode, wp, false) ? TAGS.READ : 0;
    const writable =
      (rights & RIGHTS.DIRTY) !== 0 &&
      (stage & STAGE.WRITABLE) !== 0 &&
      ((stage & STAGE.LOGGED) === 0 || arena.isDirty(page)) &&
      permits(rights, ACCESS.WRITE, mode, wp, false);
    if (writable) {
      tags |= arena.hasCode(page) ? TAGS.CODE : TAGS.WRITE;
      arena.noteWriteTag(page);
      if ((rights & RIGHTS.WRITE) === 0) this.#unprotected = true;
    }
    if (this.#breakpoints.watching) tags &= ~this.#breakpoints.hiddenTags(low, high);
    this.views.fillData(mode, low, high, page, tags);
  }

  #gpa(entry: number, low: number): bigint {
    return joinWords(this.#tlb.gpaLow(entry) | (low & PAGE_MASK), this.#tlb.gpaHigh(entry));
  }

  #violation(low: number, high: number, access: number, entry: number, stage: number): never {
    const present = (stage & STAGE.PRESENT) !== 0;
    return eptViolation(this.#context.state, access, joinWords(low, high), this.#gpa(entry, low), present, false);
  }

  #notCanonical(access: number): never {
    const { record } = this.#context;
    const stack =
      (access & ACCESS.STACK) !== 0 || ((access & ACCESS.SYSTEM) === 0 && this.#context.usesStackSegment(record));
    return stack ? raise.ss(0) : raise.gp(0);
  }
}
