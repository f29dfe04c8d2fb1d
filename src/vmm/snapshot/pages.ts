// Guest memory in a snapshot: the pages of the arena that are not all zero, by number.

import type { Arena } from '../../cpu/memory/arena.ts';
import { PAGE_SIZE } from '../../x86/names/paging.ts';
import { SnapshotError } from './snapshotError.ts';

export interface SavedPages {
  /** Numbers of pages from the start of guest memory on, ascending. */
  readonly numbers: Uint32Array;
  /** The pages themselves, in the same order. */
  readonly bytes: Uint8Array;
}

const WORDS = PAGE_SIZE / 4;

function isZero(words: Uint32Array): boolean {
  for (let i = 0; i < WORDS; i++) if (words[i] !== 0) return false;
  return true;
}

export function savePages({ views, start, end }: Arena): SavedPages {
  const numbers: number[] = [];
  for (let at = start; at < end; at += PAGE_SIZE)
    if (!isZero(views.u32.subarray(at >>> 2, (at + PAGE_SIZE) >>> 2))) numbers.push((at - start) / PAGE_SIZE);
  const bytes = new Uint8Array(numbers.length * PAGE_SIZE);
  for (const [index, number] of numbers.entries()) {
    const at = start + number * PAGE_SIZE;
    bytes.set(views.u8.subarray(at, at + PAGE_SIZE), index * PAGE_SIZE);
  }
  return { numbers: Uint32Array.from(numbers), bytes };
}

/** Fills an arena that holds nothing but zeroes so far, and no decoded code. */
export function restorePages({ views, start, end }: Arena, { numbers, bytes }: SavedPages): void {
  for (const [index, number] of numbers.entries()) {
    const at = start + number * PAGE_SIZE;
    if (at + PAGE_SIZE > end)
      throw new SnapshotError(`page ${number} of the snapshot lies beyond the machine's memory`, 'take it again');
    views.u8.set(bytes.subarray(index * PAGE_SIZE, (index + 1) * PAGE_SIZE), at);
  }
}
