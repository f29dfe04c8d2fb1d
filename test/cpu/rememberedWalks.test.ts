// Walks that were made before (rememberedWalks.ts): what else than entries and registers they follow from, and that they save
// reading. What they come to after changes of entries and registers: randomPageTables.test.ts.

import { describe, expect, it } from 'vitest';
import { CR4 } from '../../src/x86/names/registers.ts';
import { BIT, GuestMemory, PAGE, PWU, type Ending } from './guestMemory.ts';

const GVA = 0x40_0000n;
const ELSEWHERE = 0x7000n;

/** A page that was walked to, written, and forgotten. */
function walked(bits = PWU): GuestMemory {
  const memory = new GuestMemory();
  memory.cpu.map(GVA, 0x5000n, bits);
  memory.poke(0x5000n, 1n);
  memory.poke(0x6000n, 2n);
  memory.cpu.store(GVA, 8, 1n);
  memory.cpu.mmu.translation.flushAll(false);
  return memory;
}

const loaded = ({ cpu }: GuestMemory, gva: bigint): Ending => cpu.attempt(() => cpu.load(gva, 8));

describe('A walk that was made before', () => {
  it('goes where the second stage leads now', () => {
    const memory = walked();
    const page = memory.host(0x6000n);
    memory.secondStage.map(5, 1, page, { writable: true });
    expect(loaded(memory, GVA)).toMatchObject({ ok: true, value: 2n });
    memory.secondStage.unmap(Number(memory.cpu.root / PAGE), 1);
    memory.cpu.mmu.translation.flushAll(false);
    expect(loaded(memory, GVA)).toMatchObject({ ok: false, exit: expect.any(Number) as number });
  });

  it('is of a page alone, and of all of its address', () => {
    const memory = walked();
    expect(loaded(memory, GVA + PAGE)).toMatchObject({ ok: false });
    expect(loaded(memory, GVA + (1n << 32n))).toMatchObject({ ok: false });
    memory.cpu.map(GVA + (1n << 32n), 0x6000n);
    expect(loaded(memory, GVA + (1n << 32n))).toMatchObject({ ok: true, value: 2n });
  });

  it('is of one root', () => {
    const memory = walked();
    const root = memory.newTable();
    memory.map(root, GVA, 0x6000n);
    memory.cpu.setCr3(root);
    expect(loaded(memory, GVA)).toMatchObject({ ok: true, value: 2n });
  });

  it('is global while CR4.PGE says so', () => {
    for (const [first, second] of [[true, false], [false, true]] as const) {
      const memory = walked(PWU | BIT.G);
      const { cpu } = memory;
      const pge = (on: boolean): void => cpu.change('cr4', on ? CR4.PGE : 0n, on ? 0n : CR4.PGE);
      pge(first);
      cpu.load(GVA, 8);
      pge(second);
      cpu.load(GVA, 8);
      memory.cpu.map(GVA, 0x6000n, PWU | BIT.G);
      cpu.setCr3(cpu.state.cr3);
      expect(loaded(memory, GVA)).toMatchObject({ ok: true, value: second ? 1n : 2n });
    }
  }); // prettier-ignore

  it('sets D if it did not before', () => {
    const memory = new GuestMemory();
    const entry = memory.cpu.map(GVA, ELSEWHERE);
    memory.cpu.load(GVA, 8);
    memory.cpu.mmu.translation.flushAll(false);
    memory.cpu.store(GVA, 8, 1n);
    expect(memory.peek(entry) & (BIT.A | BIT.D)).toBe(BIT.A | BIT.D);
  });

  it('sets A again where it was cleared', () => {
    const memory = walked();
    for (const level of [0, 1, 2, 3]) {
      const entry = memory.entry(memory.cpu.root, GVA, level);
      memory.poke(entry, memory.peek(entry) & ~BIT.A);
      memory.cpu.mmu.translation.flushAll(false);
      memory.cpu.load(GVA, 8);
      expect(memory.peek(entry) & BIT.A).toBe(BIT.A);
    }
  });
});
