// An access in several parts: across pages, or wider than a device takes. All its parts are translated before any is made,
// and devices are touched before memory: what raises or leaves half way has changed nothing, and memory is written once.
// What is read, or to be written, stands in the bounce buffer.

import { PAGE_MASK, PAGE_SIZE } from '../../x86/names/paging.ts';
import { ACCESS, type Mode } from './access.ts';
import { is64BitMode, isLongMode } from '../segments/codeMode.ts';
import type { Fragments } from './fragments.ts';
import type { MemoryContext } from './memoryContext.ts';
import type { CpuState } from '../state.ts';
import { DEVICE, type Translation } from './translation.ts';

/** The most that a device takes at once. */
export const FRAGMENT_BYTES = 8;

/** The piece of an access that lies in one page; `at` is its place in the bounce buffer. */
interface Part {
  readonly low: number;
  readonly high: number;
  readonly size: number;
  readonly at: number;
  /** As `Translation.translate` gives it. */
  readonly page: number;
  /** Guest physical address, for a device. */
  readonly gpaLow: number;
  readonly gpaHigh: number;
}

export class AccessParts {
  readonly #context: MemoryContext;
  readonly #translation: Translation;
  readonly #fragments: Fragments;
  readonly #u8: Uint8Array;
  readonly #bounce: number;

  constructor(context: MemoryContext, translation: Translation, fragments: Fragments) {
    this.#context = context;
    this.#translation = translation;
    this.#fragments = fragments;
    this.#u8 = context.state.views.u8;
    this.#bounce = context.state.at('bounce');
  }

  /** Collects all the bytes of a read in the bounce buffer. */
  read(low: number, high: number, access: number): number {
    const parts = this.#locate(low, high, access);
    for (const part of parts) if (part.page === DEVICE) this.#readDevice(part);
    for (const { page, at, low: from, size } of parts) {
      const source = page + (from & PAGE_MASK);
      if (page !== DEVICE) this.#u8.copyWithin(at, source, source + size);
    }
    return this.#bounce;
  }

  /** Writes the bytes of the bounce buffer to where they belong. */
  write(low: number, high: number, access: number): void {
    const mode = this.#translation.modeOf(access);
    const parts = this.#locate(low, high, access | ACCESS.PROBE);
    for (const part of parts) if (part.page === DEVICE) this.#writeDevice(part, access, mode);
    for (const part of parts) {
      if (part.page === DEVICE) continue;
      const target = this.#translation.translate(part.low, part.high, access, mode) + (part.low & PAGE_MASK);
      this.#u8.copyWithin(target, part.at, part.at + part.size);
      this.#context.arena.invalidateCode(target, part.size);
    }
  }

  /** The parts of an access, one a page, each translated. */
  #locate(low: number, high: number, access: number): readonly Part[] {
    const mode = this.#translation.modeOf(access);
    const parts: Part[] = [];
    for (let left = access & ACCESS.SIZE, at = this.#bounce; left > 0; ) {
      const size = Math.min(left, PAGE_SIZE - (low & PAGE_MASK));
      const page = this.#translation.translate(low, high, access, mode);
      const { gpaLow, gpaHigh } = this.#translation;
      parts.push({ low, high, size, at, page, gpaLow: gpaLow | (low & PAGE_MASK), gpaHigh });
      left -= size;
      at += size;
      low = nextPage(low);
      if (low === 0) high = highBehind(this.#context.state, high, access);
    }
    return parts;
  }

  #readDevice({ low, high, size, at, gpaLow, gpaHigh }: Part): void {
    for (let done = 0; done < size; done += FRAGMENT_BYTES) {
      const bytes = Math.min(FRAGMENT_BYTES, size - done);
      this.#fragments.read(low + done, high, gpaLow + done, gpaHigh, bytes);
      for (let i = 0; i < bytes; i++) {
        this.#u8[at + done + i] = (i < 4 ? this.#fragments.valueLow : this.#fragments.valueHigh) >>> (8 * (i & 3));
      }
    }
  }

  #writeDevice({ low, high, size, at, gpaLow, gpaHigh }: Part, access: number, mode: Mode): void {
    this.#translation.translate(low, high, access, mode); // sets D
    for (let done = 0; done < size; done += FRAGMENT_BYTES) {
      const bytes = Math.min(FRAGMENT_BYTES, size - done);
      const value: [number, number] = [0, 0];
      for (let i = 0; i < bytes; i++) value[i >> 2]! |= this.#u8[at + done + i]! << (8 * (i & 3));
      this.#fragments.write(low + done, high, gpaLow + done, gpaHigh, bytes, ...value);
    }
  }
}

/** Low half of the first address after a page. */
export const nextPage = (low: number): number => ((low | PAGE_MASK) + 1) | 0;

/**
 * High half of an address whose low half has come to 0: in 16- and 32-bit code, accesses wrap at 4 GiB; those of the processor
 * to tables of IA-32e mode do not.
 */
export function highBehind(state: CpuState, high: number, access: number): number {
  const wraps = !is64BitMode(state) && !(isLongMode(state) && (access & ACCESS.SYSTEM) !== 0);
  return wraps ? 0 : (high + 1) | 0;
}
