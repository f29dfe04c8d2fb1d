// The part of linear memory that holds guest memory: handed out to slots, with a dirty bit for each page and a bitmap of
// the lines that hold decoded code. The one path by which host code touches guest memory. Knows no guest address.

import type { Views } from '../layout.ts';
import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from '../../x86/names/paging.ts';

/** Code is tracked in lines of 64 bytes: one bit of a u64 per line of a page. */
const CODE_LINE_SHIFT = 6;

/** Who holds decoded code. */
export interface CodeCache {
  /** Bytes `first` to `last` (offsets within the page, inclusive) of a page were written, and at least one of their lines is marked. */
  invalidate(page: number, first: number, last: number): void;
}

/** Who caches the right to write a page without being asked: the data views of each CPU. */
export interface WriteObserver {
  /** From now on each write to the page (byte address in linear memory) must take the slow path. */
  writeProtect(page: number): void;
}

const DIRTY = 1;
const WRITE_TAGGED = 2;

interface Range {
  start: number;
  end: number;
}

export class Arena {
  readonly views: Views;
  /** Byte addresses in linear memory, whole pages. */
  readonly start: number;
  readonly end: number;
  /** Byte address of the bitmaps of code lines: a u64 for each page of linear memory. */
  readonly codeBitmap: number;
  readonly #codeCache: CodeCache;
  readonly #observers: WriteObserver[] = [];
  readonly #pages: Uint8Array;
  readonly #allocated = new Map<number, number>();
  #free: Range[];

  constructor(views: Views, start: number, end: number, codeBitmap: number, codeCache: CodeCache) {
    if (((start | end) & PAGE_MASK) !== 0 || start >= end) {
      throw new RangeError(`an arena is a range of whole pages, not ${hex(start)} to ${hex(end)}`);
    }
    this.views = views;
    this.start = start;
    this.end = end;
    this.codeBitmap = codeBitmap;
    this.#codeCache = codeCache;
    this.#pages = new Uint8Array((end - start) / PAGE_SIZE);
    this.#free = [{ start, end }];
  }

  observe(observer: WriteObserver): void {
    this.#observers.push(observer);
  }

  /** Takes whole pages of zeroes for `bytes` bytes; returns their byte address in linear memory. */
  allocate(bytes: number): number {
    const size = Math.ceil(bytes / PAGE_SIZE) * PAGE_SIZE;
    const range = this.#free.find((r) => r.end - r.start >= size);
    if (bytes <= 0 || range === undefined) {
      const largest = this.#free.reduce((most, r) => Math.max(most, r.end - r.start), 0);
      throw new RangeError(
        `${bytes} bytes of guest memory were asked for; the largest free range has ${largest} of ${this.end - this.start}: ` +
          'create the machine with more memory, or free slots first',
      );
    }
    const address = range.start;
    range.start += size;
    if (range.start === range.end) this.#free.splice(this.#free.indexOf(range), 1);
    this.#allocated.set(address, size);
    return address;
  }

  /** Gives back what `allocate` returned; the bytes become zero and code decoded from them is dropped. */
  free(address: number): void {
    const size = this.#allocated.get(address);
    if (size === undefined) throw new RangeError(`nothing is allocated at ${hex(address)}`);
    this.#allocated.delete(address);
    const end = address + size;
    this.views.u8.fill(0, address, end);
    for (let page = address; page < end; page += PAGE_SIZE) {
      if (this.hasCode(page)) this.#codeCache.invalidate(page, 0, PAGE_MASK);
      this.#protect(page);
      this.#pages[this.#index(page)] = 0;
    }
    const ranges = [...this.#free, { start: address, end }].sort((a, b) => a.start - b.start);
    this.#free = ranges.slice(0, 1);
    for (const range of ranges.slice(1)) {
      const last = this.#free[this.#free.length - 1]!;
      if (last.end === range.start) last.end = range.end;
      else this.#free.push(range);
    }
  }

  /** Copies bytes out. */
  hostRead(address: number, length: number): Uint8Array {
    this.#check(address, length);
    return this.views.u8.slice(address, address + length);
  }

  /** Writes bytes for the host: logged as dirty, and code decoded from them is dropped. */
  hostWrite(address: number, bytes: Uint8Array): void {
    this.#check(address, bytes.length);
    this.views.u8.set(bytes, address);
    this.wrote(address, bytes.length);
  }

  /** Whoever has changed bytes of guest memory for the host, by a path of its own, says so here. */
  wrote(address: number, length: number): void {
    const last = address + length - 1;
    for (let page = pageOf(address); page <= last; page += PAGE_SIZE) this.markDirty(page);
    this.invalidateCode(address, length);
  }

  /** Drops code that was decoded from bytes which have changed. */
  invalidateCode(address: number, length: number): void {
    const last = address + length - 1;
    for (let page = pageOf(address); page <= last; page += PAGE_SIZE) {
      const first = Math.max(address, page) - page;
      const end = Math.min(last - page, PAGE_MASK);
      if (this.hasCode(page, first, end)) this.#codeCache.invalidate(page, first, end);
    }
  }

  /**
   * Whether a page was written since it was last taken: by the host at any time, by a guest while the second stage logs
   * the page.
   */
  isDirty(page: number): boolean {
    return (this.#pages[this.#index(page)]! & DIRTY) !== 0;
  }

  markDirty(page: number): void {
    this.#pages[this.#index(page)] |= DIRTY;
  }

  /** The pages that are dirty, by number from the start on. */
  dirtyPages(): number[] {
    const found: number[] = [];
    for (const [index, flags] of this.#pages.entries()) if ((flags & DIRTY) !== 0) found.push(index);
    return found;
  }

  /** Makes these pages dirty and all others clean. */
  restoreDirty(pages: readonly number[]): void {
    for (const index of this.#pages.keys()) this.#pages[index]! &= ~DIRTY;
    for (const index of pages) this.#pages[index]! |= DIRTY;
  }

  /** Forgets that a page is dirty, so that its next write is seen; returns whether it was. */
  takeDirty(page: number): boolean {
    const index = this.#index(page);
    const dirty = (this.#pages[index]! & DIRTY) !== 0;
    if (dirty) {
      this.#pages[index] &= ~DIRTY;
      this.#protect(page);
    }
    return dirty;
  }

  /** Makes the next write to a page take the slow path of every CPU. */
  writeProtect(page: number): void {
    this.#protect(page);
  }

  /** A view now lets a CPU write the page unseen. */
  noteWriteTag(page: number): void {
    this.#pages[this.#index(page)] |= WRITE_TAGGED;
  }

  /** Whether lines that cover bytes `first` to `last` of a page hold decoded code. */
  hasCode(page: number, first = 0, last = PAGE_MASK): boolean {
    const at = this.#bitmapIndex(page);
    const low = this.views.u32[at]!;
    const high = this.views.u32[at + 1]!;
    if ((low | high) === 0) return false;
    return (low & linesLow(first, last)) !== 0 || (high & linesHigh(first, last)) !== 0;
  }

  /** Marks the lines that cover bytes `first` to `last` of a page: writes to them will be told to the code cache. */
  markCode(page: number, first: number, last: number): void {
    if (!this.hasCode(page)) this.#protect(page);
    const at = this.#bitmapIndex(page);
    this.views.u32[at] |= linesLow(first, last);
    this.views.u32[at + 1] |= linesHigh(first, last);
  }

  /** Unmarks the lines that cover bytes `first` to `last` of a page. */
  unmarkCode(page: number, first = 0, last = PAGE_MASK): void {
    const at = this.#bitmapIndex(page);
    this.views.u32[at] &= ~linesLow(first, last);
    this.views.u32[at + 1] &= ~linesHigh(first, last);
  }

  #protect(page: number): void {
    const index = this.#index(page);
    if ((this.#pages[index]! & WRITE_TAGGED) === 0) return;
    this.#pages[index] &= ~WRITE_TAGGED;
    for (const observer of this.#observers) observer.writeProtect(page);
  }

  #index(page: number): number {
    return ((page >>> 0) - this.start) >>> PAGE_SHIFT;
  }

  #bitmapIndex(page: number): number {
    return (this.codeBitmap >>> 2) + 2 * (page >>> PAGE_SHIFT);
  }

  #check(address: number, length: number): void {
    if (address >= this.start && address + length <= this.end) return;
    throw new RangeError(
      `${length} bytes at ${hex(address)} are not in the arena (${hex(this.start)} to ${hex(this.end)}): translate the guest address through its slot first`,
    );
  }
}

const hex = (n: number): string => `0x${n.toString(16)}`;
const pageOf = (address: number): number => address - (address & PAGE_MASK);

/** Bits of lines `from` to `to`, both in 0 to 31; none when from > to. */
const bits = (from: number, to: number): number => (from > to ? 0 : (0xffffffff >>> (31 - (to - from))) << from);
const linesLow = (first: number, last: number): number =>
  bits(first >> CODE_LINE_SHIFT, Math.min(last >> CODE_LINE_SHIFT, 31));
const linesHigh = (first: number, last: number): number =>
  bits(Math.max((first >> CODE_LINE_SHIFT) - 32, 0), (last >> CODE_LINE_SHIFT) - 32);
