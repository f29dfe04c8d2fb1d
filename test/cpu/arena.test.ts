// The arena: handing out pages, and the one path by which the host touches guest memory. The second stage: where guest
// physical pages are.

import { describe, expect, it } from 'vitest';
import { Arena } from '../../src/cpu/memory/arena.ts';
import { Views } from '../../src/cpu/layout.ts';
import { pageAddress, SecondStage, STAGE } from '../../src/cpu/memory/secondStage.ts';

const START = 0x1_0000;
const END = 0x2_0000;
const BITMAP = 0x1000;

function setUp() {
  const views = new Views(new ArrayBuffer(END));
  const dropped: [number, number, number][] = [];
  const arena = new Arena(views, START, END, BITMAP, {
    invalidate: (page, first, last) => void dropped.push([page, first, last]),
  });
  const protectedPages: number[] = [];
  arena.observe({ writeProtect: (page) => void protectedPages.push(page) });
  return { views, arena, dropped, protectedPages };
}

describe('an arena', () => {
  it('hands out whole pages, one behind the other', () => {
    const { arena } = setUp();
    expect([arena.allocate(1), arena.allocate(4097), arena.allocate(4096)]).toEqual([
      START,
      START + 4096,
      START + 3 * 4096,
    ]);
  });

  it('takes pages back as zeroes and hands them out again', () => {
    const { views, arena } = setUp();
    const parts = [arena.allocate(4096), arena.allocate(4096), arena.allocate(14 * 4096)];
    views.u8.fill(7, START, END);
    for (const part of [parts[0]!, parts[2]!, parts[1]!]) arena.free(part);
    expect(arena.allocate(16 * 4096)).toBe(START);
    expect(views.u8.subarray(START, END).every((byte) => byte === 0)).toBe(true);
  });

  it('says what is left when it has no room', () => {
    const { arena } = setUp();
    arena.allocate(4 * 4096);
    expect(() => arena.allocate(13 * 4096)).toThrow('the largest free range has 49152 of 65536');
    expect(() => arena.allocate(0)).toThrow('0 bytes');
    expect(() => arena.free(START + 4096)).toThrow('nothing is allocated at 0x11000');
  });

  it('drops code, dirt and the right to write with the pages it takes back', () => {
    const { arena, dropped, protectedPages } = setUp();
    const page = arena.allocate(4096);
    arena.noteWriteTag(page);
    arena.markDirty(page);
    arena.markCode(page, 5, 5);
    arena.noteWriteTag(page);
    arena.free(page);
    expect(dropped).toEqual([[page, 0, 4095]]);
    expect(protectedPages).toEqual([page, page]);
    expect(arena.isDirty(page)).toBe(false);
  });

  it('is a range of whole pages', () => {
    const { views } = setUp();
    expect(() => new Arena(views, START + 1, END, BITMAP, { invalidate: () => undefined })).toThrow('whole pages');
  });
});

describe('host writes', () => {
  it('reach memory, are logged page by page, and are read back', () => {
    const { arena } = setUp();
    arena.hostWrite(START + 4090, new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]));
    expect([...arena.hostRead(START + 4089, 10)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 0]);
    expect([START, START + 4096, START + 8192].map((page) => arena.isDirty(page))).toEqual([true, true, false]);
    expect([arena.takeDirty(START), arena.takeDirty(START)]).toEqual([true, false]);
  });

  it('outside the arena are refused', () => {
    const { arena } = setUp();
    expect(() => arena.hostWrite(END - 1, new Uint8Array(2))).toThrow('not in the arena (0x10000 to 0x20000)');
    expect(() => arena.hostRead(START - 1, 1)).toThrow('not in the arena');
  });

  it('tell the code cache of each page, the bytes in it, and only if a line is marked', () => {
    const { arena, dropped } = setUp();
    arena.markCode(START, 4032, 4095);
    arena.markCode(START + 4096, 0, 0);
    arena.hostWrite(START + 4000, new Uint8Array(32));
    expect(dropped).toEqual([]);
    arena.hostWrite(START + 4000, new Uint8Array(200));
    expect(dropped).toEqual([
      [START, 4000, 4095],
      [START + 4096, 0, 103],
    ]);
  });
});

describe('lines of code', () => {
  /** The bitmap as generated code reads it. */
  const bitmap = (views: Views, page: number): bigint => views.u64[(BITMAP >> 3) + (page >> 12)]!;

  it.each([
    [0, 0, 0x1n],
    [63, 64, 0x3n],
    [0x7c0, 0x83f, 0x1_8000_0000n],
    [4095, 4095, 1n << 63n],
    [0, 4095, ~0n & 0xffff_ffff_ffff_ffffn],
    [2048, 4095, 0xffff_ffff_0000_0000n],
    [0, 2047, 0xffff_ffffn],
  ])('bytes %i to %i', (first, last, lines) => {
    const { views, arena } = setUp();
    arena.markCode(START, first, last);
    expect(bitmap(views, START)).toBe(lines);
    arena.unmarkCode(START, first, last);
    expect(bitmap(views, START)).toBe(0n);
  });

  it('are found by any byte range that touches them, as a straightforward search finds them', () => {
    const { arena } = setUp();
    const marked = [3, 31, 32, 60];
    for (const line of marked) arena.markCode(START, line * 64 + 7, line * 64 + 9);
    for (let first = 0; first < 4096; first += 37) {
      for (let last = first; last < 4096; last += 53) {
        const touches = marked.some((line) => first >> 6 <= line && line <= last >> 6);
        expect(arena.hasCode(START, first, last)).toBe(touches);
      }
    }
    expect([arena.hasCode(START), arena.hasCode(START + 4096)]).toEqual([true, false]);
  });

  it('take the right to write away once, where somebody has it', () => {
    const { arena, protectedPages } = setUp();
    arena.markCode(START, 0, 0);
    expect(protectedPages).toEqual([]);
    arena.unmarkCode(START);
    arena.noteWriteTag(START);
    arena.markCode(START, 0, 0);
    arena.markCode(START, 200, 200);
    expect(protectedPages).toEqual([START]);
  });
});

describe('a second stage', () => {
  const HIGH = 2 ** 34 - 1;

  function stage() {
    const { arena, protectedPages } = setUp();
    const secondStage = new SecondStage(arena);
    const unmapped: [number, number][] = [];
    secondStage.observe({ unmapped: (first, count) => void unmapped.push([first, count]) });
    return { arena, secondStage, unmapped, protectedPages };
  }

  it('knows nothing at first', () => {
    const { secondStage } = stage();
    expect([0, 511, 512, 1 << 20, HIGH].map((page) => secondStage.lookup(page))).toEqual([0, 0, 0, 0, 0]);
  });

  it('maps consecutive pages, over the edges of its tables and up to the last address', () => {
    const { secondStage } = stage();
    for (const first of [0, 510, 262_142, 2 ** 32 - 1, HIGH - 3]) {
      secondStage.map(first, 4, START, { writable: true });
      const entries = [0, 1, 2, 3].map((i) => secondStage.lookup(first + i));
      expect(entries.map(pageAddress)).toEqual([0, 1, 2, 3].map((i) => START + i * 4096));
      expect(entries.every((entry) => (entry & 0xfff) === (STAGE.PRESENT | STAGE.WRITABLE))).toBe(true);
    }
    expect(secondStage.lookup(4)).toBe(0);
  });

  it('keeps addresses in the upper half of linear memory', () => {
    const { secondStage } = stage();
    secondStage.map(7, 2, 0xffff_e000, { writable: false, logged: true });
    expect(pageAddress(secondStage.lookup(8))).toBe(0xffff_f000);
    expect(secondStage.lookup(8) & 0xfff).toBe(STAGE.PRESENT | STAGE.LOGGED);
  });

  it('tells observers of pages that lose what they had, not of pages that get something', () => {
    const { secondStage, unmapped } = stage();
    secondStage.map(5, 2, START, { writable: true });
    expect(unmapped).toEqual([]);
    secondStage.map(6, 1, START, { writable: true });
    secondStage.markMmio(0, 20);
    secondStage.unmap(0, 2 ** 30);
    secondStage.unmap(0, 2 ** 30);
    expect(unmapped).toEqual([
      [6, 1],
      [0, 20],
      [0, 2 ** 30],
    ]);
    expect(secondStage.lookup(5)).toBe(0);
  });

  it('protects and logs present pages only, and takes the right to write from those that were written', () => {
    const { arena, secondStage, protectedPages } = stage();
    secondStage.map(1, 2, START, { writable: true });
    secondStage.markMmio(3, 1);
    arena.noteWriteTag(START + 4096);
    secondStage.protect(0, 5, false);
    secondStage.setDirtyLogging(0, 5, true);
    expect([0, 1, 2, 3, 4].map((page) => secondStage.lookup(page) & 0xfff)).toEqual([0, 5, 5, STAGE.MMIO, 0]);
    expect(protectedPages).toEqual([START + 4096]);
  });

  it('refuses what is beyond the widest physical address', () => {
    const { secondStage } = stage();
    expect(() => secondStage.map(HIGH, 2, START, { writable: true })).toThrow('MAXPHYADDR is 46');
    expect(() => secondStage.map(0, 1, START + 8, { writable: true })).toThrow('not the address of a page');
  });
});
