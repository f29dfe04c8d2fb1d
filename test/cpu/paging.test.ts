// The page walker against the rules of SDM vol. 3, 4.6 and 4.7, written here as the manual's sentences; then A and D bits,
// page sizes, canonical addresses, and what the second stage does to a walk.

import { describe, expect, it } from 'vitest';
import { ACCESS, type AccessKind } from '../../src/cpu/memory/access.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { CR0, CR4, EFER } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { BIT, GuestMemory, high, low, PAGE, PWU } from './guestMemory.ts';

const GVA = 0x0000_1234_4007_8000n;
const RESERVED = 1n << 50n;

/** What may be wrong with an entry. */
const FLAWS = ['none', 'absent', 'read-only', 'supervisor', 'no-execute', 'reserved'] as const;
type Flaw = (typeof FLAWS)[number];

interface Mode {
  cpl: 0 | 3;
  wp: boolean;
  smep: boolean;
  smap: boolean;
  ac: boolean;
  nxe: boolean;
}
const ACCESSES = ['read', 'write', 'fetch', 'implicit read', 'implicit write'] as const;
type Access = (typeof ACCESSES)[number];

/** The error code that the manual asks for, or null: the access succeeds. */
function expected(flaws: readonly Flaw[], mode: Mode, access: Access): number | null {
  const has = (flaw: Flaw): boolean => flaws.includes(flaw);
  const implicit = access.startsWith('implicit');
  const write = access.endsWith('write');
  const fetch = access === 'fetch';
  const userMode = mode.cpl === 3 && !implicit;
  const common = (write ? 2 : 0) + (userMode ? 4 : 0) + (fetch && (mode.nxe || mode.smep) ? 16 : 0);

  // 4.7: the first entry, from the root down, that does not translate decides; P = 0 hides reserved bits.
  for (const flaw of flaws) {
    if (flaw === 'absent') return common;
    if (flaw === 'reserved' || (flaw === 'no-execute' && !mode.nxe)) return common + 1 + 8;
  }
  const userAddress = !has('supervisor');
  const writable = !has('read-only');
  const executable = !has('no-execute');

  const permitted = ((): boolean => {
    if (userMode) {
      if (fetch) return userAddress && executable;
      if (write) return userAddress && writable;
      return userAddress;
    }
    if (fetch) return userAddress ? !mode.smep && executable : executable;
    // "Accesses to user-mode addresses": with SMAP only explicit ones, and only while EFLAGS.AC = 1.
    const smapAllows = !mode.smap || (mode.ac && !implicit);
    if (userAddress && !smapAllows) return false;
    if (write) return mode.wp ? writable : true;
    return true;
  })();
  return permitted ? null : common + 1;
}

/** Combinations of flaws over the levels of a walk, root first: at most two levels are flawed. */
function flawSets(levels: number): Flaw[][] {
  const sets: Flaw[][] = [];
  for (let one = 0; one < levels; one++) {
    for (let other = one; other < levels; other++) {
      for (const a of FLAWS) {
        for (const b of other === one ? (['none'] as const) : FLAWS) {
          const set: Flaw[] = Array.from({ length: levels }, () => 'none');
          set[other] = b;
          set[one] = a;
          sets.push(set);
        }
      }
    }
  }
  return sets;
}

function* modes(): Generator<Mode> {
  for (let bits = 0; bits < 64; bits++) {
    const bit = (n: number): boolean => ((bits >> n) & 1) === 1;
    yield { cpl: bit(0) ? 3 : 0, wp: bit(1), smep: bit(2), smap: bit(3), ac: bit(4), nxe: bit(5) };
  }
}

const ENTRY_OF: Record<Flaw, bigint> = {
  none: PWU,
  absent: RESERVED,
  'read-only': BIT.P | BIT.U,
  supervisor: BIT.P | BIT.W,
  'no-execute': PWU | BIT.NX,
  reserved: PWU | RESERVED,
};

describe('page faults agree with the manual', () => {
  it.each([
    ['4-KiB', 0],
    ['2-MiB', 1],
    ['1-GiB', 2],
  ] as const)('for %s pages in every mode, access and flaw of up to two levels', (_, leaf) => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    const entries = [3, 2, 1, 0].slice(0, 4 - leaf).map((level) => memory.entry(cpu.root, GVA, level));
    const tables = entries.map((at) => memory.peek(at) & ~PWU);
    tables[tables.length - 1] = leaf > 0 ? BIT.PS : 0x5000n;
    const wrong: string[] = [];
    let cases = 0;
    for (const mode of modes()) {
      const { state } = cpu;
      state.cr0 = CR0.PE | CR0.PG | (mode.wp ? CR0.WP : 0n);
      state.cr4 = CR4.PAE | (mode.smep ? CR4.SMEP : 0n) | (mode.smap ? CR4.SMAP : 0n);
      state.efer = EFER.LMA | EFER.LME | (mode.nxe ? EFER.NXE : 0n);
      state.cpl = mode.cpl;
      cpu.setAc(mode.ac);
      for (const flaws of flawSets(entries.length)) {
        flaws.forEach((flaw, i) => memory.poke(entries[i]!, tables[i]! | ENTRY_OF[flaw]));
        for (const access of ACCESSES) {
          cpu.translation.flushAll(false);
          const kind: AccessKind = access.startsWith('implicit') ? 'system' : 'data';
          const ending = cpu.attempt(() => {
            if (access === 'fetch') cpu.translation.translateFetch(low(GVA), high(GVA));
            else if (access.endsWith('write')) cpu.mmu.write(GVA, 1, 0n, kind);
            else cpu.mmu.read(GVA, 1, kind);
          });
          const want = expected(flaws, mode, access);
          const right = ending.ok
            ? want === null
            : 'fault' in ending && ending.fault === VECTOR.PF && ending.errorCode === want && ending.address === GVA;
          cases++;
          if (!right && wrong.length < 5) wrong.push(JSON.stringify({ flaws, mode, access, want, got: ending.ok }));
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(cases).toBe(64 * 5 * flawSets(4 - leaf).length);
  });
});

describe('addresses', () => {
  it.each([
    [0, 0x5000n, 0x5abcn],
    [1, 0x20_0000n, 0x27_8abcn],
    [2, 0x0n, 0x7_8abcn],
  ])('level %i pages keep the offset within the page', (level, page, gpa) => {
    const { cpu } = new GuestMemory();
    cpu.map(GVA, page, PWU, level);
    expect(cpu.translation.peek(low(GVA | 0xabcn), high(GVA))).toBe(gpa);
  });

  it('reach guest physical memory above 4 GiB', () => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    const gpa = 0x3fff_ffff_f000n;
    memory.secondStage.map(Number(gpa >> 12n), 1, memory.host(0x9000n), { writable: true });
    cpu.map(GVA, gpa);
    memory.poke(0x9010n, 77n);
    expect(cpu.load(GVA + 0x10n, 8)).toBe(77n);
  });

  it('have as many reserved bits as the physical-address width leaves', () => {
    const { cpu } = new GuestMemory();
    cpu.features = { ...cpu.features, physicalAddressBits: 40 };
    cpu.map(GVA, 1n << 40n);
    expect(cpu.attempt(() => cpu.load(GVA, 1))).toMatchObject({ fault: VECTOR.PF, errorCode: 9 });
  });

  it.each([
    ['PML4E with PS', 3, BIT.PS, 9],
    ['PDPTE of a 1-GiB page with bit 13', 2, BIT.PS | (1n << 13n), 9],
    ['PDPTE of a 1-GiB page with bit 29', 2, BIT.PS | (1n << 29n), 9],
    ['PDE of a 2-MiB page with bit 13', 1, BIT.PS | (1n << 13n), 9],
    ['PDE of a 2-MiB page with bit 20', 1, BIT.PS | (1n << 20n), 9],
    ['PDE of a 2-MiB page with PAT, bit 12', 1, BIT.PS | (1n << 12n), null],
    ['PTE with PAT, bit 7', 0, 0x5000n | BIT.PS, null],
    ['PTE with bit 9 to 11 and 52 to 62, ignored', 0, 0x5e00n | (0x7ffn << 52n), null],
  ])('%s', (_, level, bits, errorCode) => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    const entry = memory.entry(cpu.root, GVA, level);
    memory.poke(entry, bits | PWU);
    const ending = cpu.attempt(() => cpu.load(GVA, 1));
    if (errorCode === null) expect(ending.ok).toBe(true);
    else expect(ending).toMatchObject({ fault: VECTOR.PF, errorCode, address: GVA });
  });

  it('a 1-GiB page is a reserved bit where CPUID does not offer it', () => {
    const { cpu } = new GuestMemory();
    cpu.features = { ...cpu.features, has: () => false };
    cpu.map(GVA, 0n, PWU, 2);
    expect(cpu.attempt(() => cpu.load(GVA, 1))).toMatchObject({ fault: VECTOR.PF, errorCode: 9 });
  });

  it.each([
    ['just above the lower half', 0x0000_8000_0000_0000n, 'data', VECTOR.GP],
    ['just below the upper half', 0xffff_7fff_ffff_fff8n, 'data', VECTOR.GP],
    ['reaching out of the lower half', 0x0000_7fff_ffff_fffcn, 'data', VECTOR.GP],
    ['used as a stack', 0x0000_8000_0000_0000n, 'stack', VECTOR.SS],
    ['used by the processor itself', 0x0000_8000_0000_0000n, 'system', VECTOR.GP],
  ] as const)('that are not canonical: eight bytes %s', (_, gva, kind, vector) => {
    const { cpu } = new GuestMemory();
    cpu.map(0x0000_7fff_ffff_f000n, 0x5000n);
    const ending = cpu.attempt(() => cpu.mmu.read(gva, 8, kind));
    expect(ending).toMatchObject({ fault: vector, errorCode: 0 });
  });

  it('a memory operand through SS raises #SS where it is not canonical', () => {
    const { cpu } = new GuestMemory();
    cpu.stackRecords.add(0x40);
    const read = (record: number) => cpu.attempt(() => void cpu.mmu.slowRead(0, 0x8000, 4, record));
    expect(read(0x40)).toMatchObject({ fault: VECTOR.SS, errorCode: 0 });
    expect(read(0x60)).toMatchObject({ fault: VECTOR.GP, errorCode: 0 });
    expect(cpu.record).toBe(0x60);
  });

  it('a fetch that is not canonical raises #GP', () => {
    const { cpu } = new GuestMemory();
    expect(cpu.attempt(() => cpu.fetch(0x0000_8000_0000_0000n))).toMatchObject({ fault: VECTOR.GP, errorCode: 0 });
  });

  it('are guest physical while paging is off', () => {
    const memory = new GuestMemory();
    memory.cpu.state.cr0 = CR0.PE;
    memory.poke(0x7008n, 5n);
    expect(memory.cpu.load(0x7008n, 8)).toBe(5n);
  });

  it('5-level paging stops by name', () => {
    const { cpu } = new GuestMemory();
    cpu.state.cr4 |= CR4.LA57;
    expect(cpu.attempt(() => cpu.load(GVA, 1))).toMatchObject({ stopped: expect.stringContaining('5-level paging') });
  });
});

describe('A and D bits', () => {
  const setUp = (bits = PWU) => {
    const memory = new GuestMemory();
    memory.cpu.map(GVA, 0x5000n, bits);
    const flags = (): string[] =>
      [3, 2, 1, 0].map((level) => {
        const entry = memory.peek(memory.entry(memory.cpu.root, GVA, level));
        return `${(entry & BIT.A) !== 0n ? 'A' : '-'}${(entry & BIT.D) !== 0n ? 'D' : '-'}`;
      });
    return { memory, cpu: memory.cpu, flags };
  };

  it('a read sets A on every level', () => {
    const { cpu, flags } = setUp();
    cpu.load(GVA, 1);
    expect(flags()).toEqual(['A-', 'A-', 'A-', 'A-']);
  });

  it('a fetch sets A on every level', () => {
    const { cpu, flags } = setUp();
    cpu.fetch(GVA);
    expect(flags()).toEqual(['A-', 'A-', 'A-', 'A-']);
  });

  it('a write sets D too, on the entry that maps the page', () => {
    const { cpu, flags } = setUp();
    cpu.store(GVA, 1, 0n);
    expect(flags()).toEqual(['A-', 'A-', 'A-', 'AD']);
  });

  it('a write after a read walks again to set D', () => {
    const { cpu, flags } = setUp();
    cpu.load(GVA, 1);
    cpu.store(GVA, 1, 0n);
    expect(flags()).toEqual(['A-', 'A-', 'A-', 'AD']);
  });

  it('a probe for writing sets no D, and the write that follows does', () => {
    const { cpu, flags } = setUp();
    cpu.mmu.probe(GVA, 8, 'write', 'data');
    expect(flags()).toEqual(['A-', 'A-', 'A-', 'A-']);
    cpu.mmu.write(GVA, 8, 1n, 'data');
    expect(flags()).toEqual(['A-', 'A-', 'A-', 'AD']);
  });

  it.each([
    ['not permitted', BIT.P | BIT.W],
    ['not present', 0n],
  ])('a fault sets nothing: %s', (_, bits) => {
    const { cpu, flags } = setUp(bits);
    cpu.setCpl(3);
    expect(cpu.attempt(() => cpu.store(GVA, 1, 0n))).toMatchObject({ fault: VECTOR.PF });
    expect(flags()).toEqual(['--', '--', '--', '--']);
  });

  it('a large page has its D bit in the entry that maps it', () => {
    const memory = new GuestMemory();
    const entry = memory.cpu.map(GVA, 0x20_0000n, PWU, 1);
    memory.cpu.store(GVA, 1, 0n);
    expect(memory.peek(entry) & (BIT.A | BIT.D)).toBe(BIT.A | BIT.D);
  });

  it('updates are logged as dirty and drop code that was decoded from the table', () => {
    const { memory, cpu } = setUp();
    const entry = memory.entry(cpu.root, GVA, 0);
    const table = memory.host(entry & ~0xfffn);
    memory.arena.takeDirty(table);
    memory.arena.markCode(table, 0, 4095);
    cpu.load(GVA, 1);
    const offset = Number(entry & 0xfffn);
    expect(memory.arena.isDirty(table)).toBe(true);
    expect(memory.invalidations).toEqual([{ page: table, first: offset, last: offset + 7 }]);
    cpu.translation.flushAll(false);
    memory.arena.takeDirty(table);
    cpu.load(GVA, 1);
    expect(memory.arena.isDirty(table)).toBe(false);
  });
});

describe('a walk through the second stage', () => {
  it('exits with the address of the entry where a table is absent', () => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    cpu.map(GVA, 0x5000n);
    for (const level of [3, 2, 1, 0]) {
      const entry = memory.entry(cpu.root, GVA, level);
      const page = Number(entry >> 12n);
      memory.secondStage.unmap(page, 1);
      const exit = { exit: EXIT.EPT_VIOLATION, gva: GVA, gpa: entry, qualification: 0x81 };
      expect(cpu.attempt(() => cpu.store(GVA, 1, 0n))).toMatchObject(exit);
      memory.secondStage.map(page, 1, memory.host(BigInt(page) * PAGE), { writable: true });
    }
    cpu.store(GVA, 1, 0n);
  });

  it('exits when an A bit must be written to a read-only table', () => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    cpu.map(GVA, 0x5000n);
    const entry = memory.entry(cpu.root, GVA, 1);
    memory.secondStage.protect(Number(entry >> 12n), 1, false);
    const exit = { exit: EXIT.EPT_VIOLATION, gva: GVA, gpa: entry, qualification: 0x80 | 0x28 | 2 };
    expect(cpu.attempt(() => cpu.load(GVA, 1))).toMatchObject(exit);
    memory.poke(entry, memory.peek(entry) | BIT.A);
    cpu.load(GVA, 1);
  });

  it('stops by name where page tables lie in device memory', () => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    cpu.map(GVA, 0x5000n);
    memory.secondStage.markMmio(Number(memory.entry(cpu.root, GVA, 0) >> 12n), 1);
    expect(cpu.attempt(() => cpu.load(GVA, 1))).toMatchObject({ stopped: expect.stringContaining('page tables') });
  });

  it.each([
    ['read', 0x181],
    ['write', 0x182],
    ['fetch', 0x184],
  ] as const)('a %s of an absent page exits with EPT_VIOLATION', (access, qualification) => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    cpu.map(GVA, 0x5000n);
    memory.secondStage.unmap(5, 1);
    const gva = GVA + 0x123n;
    const ending = cpu.attempt(() => {
      if (access === 'read') cpu.load(gva, 4);
      else if (access === 'write') cpu.store(gva, 4, 0n);
      else cpu.fetch(gva);
    });
    expect(ending).toMatchObject({ exit: EXIT.EPT_VIOLATION, gva, gpa: 0x5123n, qualification });
    expect(cpu.state.exitInfo).toBe({ read: 4, write: 4 | 0x100, fetch: 0x200 }[access]);
  });

  it('a write to a page that the second stage protects exits, a read does not', () => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    cpu.map(GVA, 0x5000n);
    memory.secondStage.protect(5, 1, false);
    cpu.load(GVA, 8);
    const exit = { exit: EXIT.EPT_VIOLATION, gva: GVA, gpa: 0x5000n, qualification: 0x182 | 0x28 };
    expect(cpu.attempt(() => cpu.store(GVA, 8, 1n))).toMatchObject(exit);
    expect(cpu.attempt(() => void cpu.mmu.slowOpen(low(GVA), high(GVA), 8, 0))).toMatchObject(exit);
    expect(cpu.attempt(() => cpu.mmu.probe(GVA, 600, 'write', 'data'))).toMatchObject(exit);
  });

  it('an access word says how the access is made', () => {
    const { cpu } = new GuestMemory();
    cpu.map(GVA, 0x5000n, BIT.P | BIT.W);
    const read = (access: number) => cpu.attempt(() => void cpu.mmu.slowRead(low(GVA), high(GVA), access, 0)).ok;
    expect([read(4), read(4 | ACCESS.USER)]).toEqual([true, false]);
    cpu.setCpl(3);
    expect([read(4), read(4 | ACCESS.SYSTEM)]).toEqual([false, true]);
  });
});
