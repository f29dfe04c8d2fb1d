// PAE paging, sentence by sentence of SDM vol. 3, 4.4: walks that begin with the PDPTE registers. How these are loaded:
// pdptes.test.ts.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { CR4, EFER } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { BIT, GuestMemory, PAGE, PWU } from './guestMemory.ts';

/** PDPTE 2, entry 6 of the page directory, entry 5 of the page table. */
const LA = 0x80c0_5000n;
const DIRECTORY = 0x20_0000n;
const TABLE = 0x20_1000n;
const TARGET = 0x5000n;
const PDE = DIRECTORY + 6n * 8n;
const PTE = TABLE + 5n * 8n;
const MARK = 0x1122_3344_5566_7788n;
const PDPTES = [0n, 0n, DIRECTORY | BIT.P, 0n];

function setUp(bits = PWU, directoryBits = PWU, pdptes = PDPTES) {
  const memory = new GuestMemory();
  const { cpu } = memory;
  cpu.leaveLongMode('PAE', pdptes);
  memory.poke(PDE, TABLE | directoryBits);
  memory.poke(PTE, TARGET | bits);
  memory.poke(TARGET, MARK);
  return { memory, cpu };
}
const fault = (errorCode: number, address = LA) => ({ fault: VECTOR.PF, errorCode, address });

describe('the PDPTE registers', () => {
  it('are selected by bits 31 and 30, and need no memory that holds them (figure 4-5)', () => {
    const { cpu } = setUp();
    cpu.state.cr3 = 0xf000_0000n;
    expect(cpu.load(LA, 8)).toBe(MARK);
    expect(cpu.attempt(() => cpu.load(LA & 0x3fff_ffffn, 1))).toMatchObject(fault(0, LA & 0x3fff_ffffn));
  });

  it('keep neither the user nor writes away', () => {
    const { cpu } = setUp();
    cpu.setCpl(3);
    cpu.store(LA, 1, 7n);
    expect(cpu.load(LA, 1)).toBe(7n);
  });

  it('that are not present are a page that is not present, with whatever else they hold (4.7)', () => {
    const { cpu } = setUp(
      PWU,
      PWU,
      PDPTES.map(() => ~1n & 0xffff_ffff_ffff_ffffn),
    );
    cpu.setCpl(3);
    expect(cpu.attempt(() => cpu.store(LA, 1, 0n))).toMatchObject(fault(6));
  });

  it('get no A bit, entries in memory do (4.8)', () => {
    const { memory, cpu } = setUp();
    const before = cpu
      .snapshot()
      .slice(cpu.state.at('pdpte') - cpu.state.base)
      .slice(0, 32);
    cpu.store(LA, 1, 0n);
    expect(
      cpu
        .snapshot()
        .slice(cpu.state.at('pdpte') - cpu.state.base)
        .slice(0, 32),
    ).toEqual(before);
    expect([PDE, PTE].map((entry) => memory.peek(entry) & 0x60n)).toEqual([0x20n, 0x60n]);
  });
});

describe('entries', () => {
  // prettier-ignore
  it.each<[string, bigint, bigint, number | null]>([
    ['all that is ignored (tables 4-10, 4-11)', PWU | 0xe98n, PWU | 0xf18n, null],
    ['bit 46 of a PTE, beyond the physical addresses', PWU | (1n << 46n), PWU, 9],
    ['bit 51 of a PDE', PWU, PWU | (1n << 51n), 9],
    ['bit 52 of a PTE, which 4-level paging ignores', PWU | (1n << 52n), PWU, 9],
    ['bit 62 of a PTE', PWU | (1n << 62n), PWU, 9],
    ['bit 59 of a PDE', PWU, PWU | (1n << 59n), 9],
    ['reserved bits of a PTE that is not present', 1n << 62n, PWU, 0],
    ['a reserved bit of a PDE over a PTE that is not present', 0n, PWU | (1n << 62n), 9],
    ['NX, for data', PWU | BIT.NX, PWU, null],
  ])('%s: is it a fault?', (_, bits, directoryBits, errorCode) => {
    const { cpu } = setUp(bits, directoryBits);
    const ending = cpu.attempt(() => cpu.load(LA, 8));
    expect(ending).toMatchObject(errorCode === null ? { ok: true, value: MARK } : fault(errorCode));
  });

  it('lead above 4 GiB', () => {
    const { memory, cpu } = setUp(PWU | (3n << 36n), PWU | (1n << 45n));
    memory.secondStage.map(2 ** 33 + Number(TABLE >> 12n), 1, memory.host(TABLE), { writable: true });
    const exit = { exit: EXIT.EPT_VIOLATION, gpa: (3n << 36n) | TARGET, gva: LA };
    expect(cpu.attempt(() => cpu.load(LA, 1))).toMatchObject(exit);
  });

  it.each([
    ['in the PTE', PWU | BIT.NX, PWU],
    ['in the PDE', PWU, PWU | BIT.NX],
  ])('NX %s keeps fetches away with EFER.NXE, and is reserved without (4.6, 4.7)', (_, bits, directoryBits) => {
    const { cpu } = setUp(bits, directoryBits);
    expect(cpu.attempt(() => cpu.fetch(LA))).toMatchObject(fault(0x11));
    cpu.setCpl(3);
    expect(cpu.attempt(() => cpu.fetch(LA))).toMatchObject(fault(0x15));
    cpu.change('efer', 0n, EFER.NXE);
    expect(cpu.attempt(() => cpu.fetch(LA))).toMatchObject(fault(0xd));
    expect(cpu.attempt(() => cpu.load(LA, 1))).toMatchObject(fault(0xd));
    cpu.change('cr4', CR4.SMEP);
    expect(cpu.attempt(() => cpu.fetch(LA))).toMatchObject(fault(0x1d));
  });
});

describe('a 2-MiB page', () => {
  it('is mapped by a PDE with PS, whatever CR4.PSE is, with 21 bits of the address within it (figure 4-6)', () => {
    const { memory, cpu } = setUp();
    memory.poke(PDE, 0x40_0000n | PWU | BIT.PS);
    memory.poke(0x40_5008n, MARK);
    expect(cpu.load(LA + 8n, 8)).toBe(MARK);
    cpu.change('cr4', CR4.PSE);
    cpu.translation.flushAll(false);
    expect(cpu.load(LA + 8n, 8)).toBe(MARK);
    expect(memory.peek(PDE) & 0x60n).toBe(0x20n);
  });

  it.each([
    ['bit 12, PAT', 12n, null],
    ['bit 13', 13n, 9],
    ['bit 20', 20n, 9],
    ['bit 21, of the address', 21n, null],
  ])('%s: is it reserved? (table 4-9)', (_, bit, errorCode) => {
    const { memory, cpu } = setUp();
    memory.poke(PDE, 0x40_0000n | PWU | BIT.PS | (1n << bit));
    expect(cpu.attempt(() => cpu.load(LA, 1))).toMatchObject(errorCode === null ? { ok: true } : fault(errorCode));
  });

  it('leaves the TLB whole by an INVLPG anywhere in it (4.10.4.1)', () => {
    const { memory, cpu } = setUp();
    memory.poke(PDE, 0x40_0000n | PWU | BIT.PS);
    cpu.load(LA, 1);
    memory.poke(PDE, 0n);
    expect(cpu.load(LA, 1)).toBe(0n);
    cpu.mmu.invlpg(LA + 100n * PAGE);
    expect(cpu.attempt(() => cpu.load(LA, 1))).toMatchObject(fault(0));
  });
});
