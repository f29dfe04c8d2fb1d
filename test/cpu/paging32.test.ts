// 32-bit paging, sentence by sentence of SDM vol. 3, 4.3; and accesses without paging.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { CR0, CR4 } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { BIT, GuestMemory, PAGE, PWU, type Ending } from './guestMemory.ts';

/** Entry 3 of the page directory, entry 5 of the page table. */
const LA = 0x00c0_5000n;
const DIRECTORY = 0x20_0000n;
const TABLE = 0x20_1000n;
const TARGET = 0x5000n;
const PDE = DIRECTORY + 3n * 4n;
const PTE = TABLE + 5n * 4n;
const MARK = 0x1122_3344_5566_7788n;

/** 32-bit paging with PSE; LA is mapped with these bits. */
function setUp(bits = PWU, directoryBits = PWU) {
  const memory = new GuestMemory();
  const { cpu } = memory;
  cpu.leaveLongMode('32-bit');
  cpu.state.cr3 = DIRECTORY;
  memory.poke32(PDE, Number(TABLE | directoryBits));
  memory.poke32(PTE, Number(TARGET | bits));
  memory.poke(TARGET, MARK);
  return { memory, cpu };
}
const fault = (errorCode: number, address = LA) => ({ fault: VECTOR.PF, errorCode, address });
const MAPPED = { ok: true } as const;

describe('a 4-KiB page', () => {
  it('is found by a directory and a table of 4-byte entries (figure 4-2)', () => {
    const { cpu } = setUp();
    expect(cpu.load(LA, 8)).toBe(MARK);
    cpu.store(LA + 0x10n, 4, 0x99n);
    expect(cpu.load(LA + 0x10n, 8)).toBe(0x99n);
  });

  it('has no reserved bits: all that are ignored may be set (tables 4-5 and 4-6)', () => {
    const { cpu } = setUp(PWU | 0xf98n, PWU | 0xf18n);
    expect(cpu.attempt(() => cpu.load(LA, 8))).toEqual({ ok: true, value: MARK });
  });

  it('knows no address above 4 GiB, and CR3 none either (table 4-3)', () => {
    const { memory, cpu } = setUp();
    cpu.setCr3(DIRECTORY | (7n << 32n) | 0xfffn);
    memory.poke32(PTE, 0xffff_f007 | 0);
    const exit = { exit: EXIT.EPT_VIOLATION, gpa: 0xffff_f123n };
    expect(cpu.attempt(() => cpu.load(LA + 0x123n, 1))).toMatchObject(exit);
  });

  // prettier-ignore
  it.each<[string, bigint, bigint, 0 | 3, 'read' | 'write' | 'fetch', number | null]>([
    ['present in both entries', PWU, PWU, 3, 'write', null],
    ['not present', 0n, PWU, 0, 'read', 0],
    ['whose table is not present', PWU, 0n, 3, 'write', 6],
    ['of the supervisor by its PTE', BIT.P | BIT.W, PWU, 3, 'read', 5],
    ['of the supervisor by its PDE', PWU, BIT.P | BIT.W, 3, 'read', 5],
    ['of the supervisor, used by it', BIT.P | BIT.W, BIT.P | BIT.W, 0, 'write', null],
    ['read-only by its PTE', BIT.P | BIT.U, PWU, 3, 'write', 7],
    ['read-only by its PDE', PWU, BIT.P | BIT.U, 3, 'write', 7],
    ['read-only, under CR0.WP', BIT.P | BIT.U, PWU, 0, 'write', 3],
    ['read-only, read', BIT.P | BIT.U, BIT.P | BIT.U, 3, 'read', null],
    ['fetched by its user: a fetch is not told from a read (4.7)', BIT.P, PWU, 3, 'fetch', 5],
    ['not present, fetched: NXE does not matter (4.7)', 0n, PWU, 0, 'fetch', 0],
  ])('%s (4.6, 4.7)', (_, bits, directoryBits, cpl, access, errorCode) => {
    const { cpu } = setUp(bits, directoryBits);
    cpu.setCpl(cpl);
    const ending = cpu.attempt(() => void (access === 'fetch' ? cpu.fetch(LA) : access === 'read' ? cpu.load(LA, 1) : cpu.store(LA, 1, 0n)));
    expect(ending).toMatchObject(errorCode === null ? MAPPED : fault(errorCode));
  });

  it('read-only may be written by the supervisor without CR0.WP (4.6)', () => {
    const { cpu } = setUp(BIT.P);
    cpu.change('cr0', 0n, CR0.WP);
    expect(cpu.attempt(() => cpu.store(LA, 1, 0n))).toMatchObject(MAPPED);
  });

  it('is kept from the supervisor by SMEP and SMAP, and a fetch is told under SMEP (4.6, 4.7)', () => {
    const { cpu } = setUp();
    cpu.change('cr4', CR4.SMEP | CR4.SMAP);
    expect(cpu.attempt(() => cpu.fetch(LA))).toMatchObject(fault(0x11));
    expect(cpu.attempt(() => cpu.load(LA, 1))).toMatchObject(fault(1));
    cpu.setAc(true);
    expect(cpu.attempt(() => cpu.load(LA, 1))).toMatchObject(MAPPED);
    expect(cpu.attempt(() => cpu.mmu.read(LA, 1, 'system'))).toMatchObject(fault(1));
  });

  it('gets A in both entries, and D in the one that maps it (4.8)', () => {
    const { memory, cpu } = setUp();
    const marks = (): number[] => [memory.peek32(PDE) & 0x60, memory.peek32(PTE) & 0x60];
    cpu.load(LA, 1);
    expect(marks()).toEqual([0x20, 0x20]);
    cpu.store(LA, 1, 0n);
    expect(marks()).toEqual([0x20, 0x60]);
    expect(memory.peek32(PTE + 4n)).toBe(0);
  });

  it('that is global stays when CR3 is written, another does not (4.10.2.4)', () => {
    const { memory, cpu } = setUp(PWU | BIT.G);
    memory.poke32(PTE + 4n, Number((TARGET + PAGE) | PWU));
    const both = (): bigint[] => [cpu.load(LA, 8), cpu.load(LA + PAGE, 8)];
    expect(both()).toEqual([MARK, 0n]);
    memory.poke32(PTE, 0);
    memory.poke32(PTE + 4n, Number(TARGET | PWU));
    cpu.setCr3(DIRECTORY);
    expect(both()).toEqual([MARK, MARK]);
    cpu.mmu.invlpg(LA);
    expect(cpu.attempt(() => void both())).toMatchObject(fault(0));
  });
});

describe('a 4-MiB page', () => {
  /** The PDE maps 4 MiB at 12 MiB; without PSE it leads to a table there. */
  const large = (bits = 0n) => {
    const { memory, cpu } = setUp();
    memory.poke32(PDE, Number(0x00c0_0000n | PWU | BIT.PS | bits));
    memory.poke(LA, MARK);
    return { memory, cpu };
  };

  it('is mapped by a PDE with PS and CR4.PSE, with 22 bits of the address within it (figure 4-3)', () => {
    const { memory, cpu } = large();
    expect(cpu.load(LA, 8)).toBe(MARK);
    memory.poke(0x00ef_fff0n, 5n);
    expect(cpu.load(0x00ef_fff0n, 8)).toBe(5n);
  });

  it('does not exist without CR4.PSE: PS is ignored (table 4-5)', () => {
    const { memory, cpu } = large();
    cpu.change('cr4', 0n, CR4.PSE);
    memory.poke32(0x00c0_0000n + 5n * 4n, Number(TARGET | PWU));
    memory.poke(TARGET, 77n);
    cpu.translation.flushAll(false);
    expect(cpu.load(LA, 8)).toBe(77n);
  });

  it.each([
    [46, 0x1fe000n, 0xffn],
    [40, 0x1fe000n, 0xffn],
    [39, 0x0fe000n, 0x7fn],
    [36, 0x01e000n, 0x0fn],
    [33, 0x002000n, 0x01n],
  ])('has its upper address in bits 13 and up: of %i bits (table 4-4)', (physicalAddressBits, bits, above) => {
    const { cpu } = large(bits);
    cpu.features = { ...cpu.features, physicalAddressBits };
    const exit = { exit: EXIT.EPT_VIOLATION, gpa: (above << 32n) | LA };
    expect(cpu.attempt(() => cpu.load(LA, 1))).toMatchObject(exit);
  });

  // prettier-ignore
  it.each<[string, bigint, number, boolean, number | null]>([
    ['bit 21', 1n << 21n, 46, true, 9],
    ['bit 20 with 40 address bits', 1n << 20n, 40, true, null],
    ['bit 20 with 39 address bits', 1n << 20n, 39, true, 9],
    ['bit 17 with 36 address bits', 1n << 17n, 36, true, 9],
    ['bit 14 with 33 address bits', 1n << 14n, 33, true, 9],
    ['bit 13 without PSE-36', 1n << 13n, 46, false, 9],
    ['bit 20 without PSE-36', 1n << 20n, 46, false, 9],
    ['PAT, bit 12', 1n << 12n, 46, false, null],
  ])('%s: is it reserved? (table 4-4)', (_, bits, physicalAddressBits, pse36, errorCode) => {
    const { memory, cpu } = large(bits);
    cpu.features = { has: () => pse36, physicalAddressBits };
    const ending = cpu.attempt(() => cpu.load(LA, 1));
    if (errorCode !== null) expect(ending).toMatchObject(fault(errorCode));
    else expect(ending).not.toHaveProperty('fault');
    memory.poke32(PDE, Number(bits | BIT.PS));
    expect(cpu.attempt(() => cpu.load(LA + PAGE, 1))).toMatchObject(fault(0, LA + PAGE));
  });

  it('has A and D in its PDE (4.8)', () => {
    const { memory, cpu } = large();
    cpu.store(LA, 1, 0n);
    expect(memory.peek32(PDE) & 0x60).toBe(0x60);
  });

  it('leaves the TLB whole by an INVLPG anywhere in it (4.10.4.1)', () => {
    const { memory, cpu } = large();
    const near = 0x00c0_0000n;
    const far = 0x00ef_f000n;
    const beyond = 0x0100_0000n;
    memory.poke32(PDE + 4n, Number(PWU | BIT.PS));
    const all = (): Ending[] => [near, far, beyond].map((la) => cpu.attempt(() => void cpu.load(la, 1)));
    expect(all()).toMatchObject([MAPPED, MAPPED, MAPPED]);
    memory.poke32(PDE, 0);
    memory.poke32(PDE + 4n, 0);
    cpu.mmu.invlpg(0x00e0_0000n);
    expect(all()).toMatchObject([fault(0, near), fault(0, far), MAPPED]);
  });
});

describe('a walk through the second stage', () => {
  it.each([
    ['directory', PDE],
    ['table', PTE],
  ])('exits with the address of a 4-byte entry where the %s is absent', (_, entry) => {
    const { memory, cpu } = setUp();
    memory.secondStage.unmap(Number(entry >> 12n), 1);
    const exit = { exit: EXIT.EPT_VIOLATION, gva: LA, gpa: entry, qualification: 0x81 };
    expect(cpu.attempt(() => cpu.load(LA, 1))).toMatchObject(exit);
    expect(cpu.state.exitInfo).toBe(4);
  });

  it('exits when an A bit must be written to a read-only table', () => {
    const { memory, cpu } = setUp();
    memory.secondStage.protect(Number(TABLE >> 12n), 1, false);
    const exit = { exit: EXIT.EPT_VIOLATION, gva: LA, gpa: PTE, qualification: 0x80 | 0x28 | 2 };
    expect(cpu.attempt(() => cpu.load(LA, 1))).toMatchObject(exit);
  });
});

describe('without paging', () => {
  it('linear addresses are physical, for every privilege level, and SMEP and SMAP keep nobody away', () => {
    const { cpu } = setUp();
    cpu.leaveLongMode('off');
    cpu.change('cr4', CR4.SMEP | CR4.SMAP);
    for (const cpl of [0, 3]) {
      cpu.setCpl(cpl);
      expect(cpu.load(TARGET, 8)).toBe(MARK);
      cpu.store(TARGET + 8n, 8, 3n);
      expect(cpu.view(TARGET)).toMatchObject({ read: true, write: true });
      cpu.fetch(TARGET);
      expect(cpu.fetchHit(TARGET)).toBe(true);
    }
  });

  it('SMAP counts from the moment that paging is turned on', () => {
    const { memory, cpu } = setUp();
    memory.poke32(DIRECTORY, Number(TABLE | PWU));
    cpu.leaveLongMode('off');
    cpu.change('cr4', CR4.SMAP);
    expect(cpu.load(TARGET, 8)).toBe(MARK);
    cpu.change('cr0', CR0.PG);
    expect(cpu.attempt(() => cpu.load(TARGET, 8))).toMatchObject(fault(1, TARGET));
    cpu.change('cr0', 0n, CR0.PG);
    expect(cpu.load(TARGET, 8)).toBe(MARK);
  });
});
