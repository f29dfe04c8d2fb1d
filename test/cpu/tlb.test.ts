// The architectural TLB: what stays until it is invalidated, what each operation invalidates (SDM vol. 3, 4.10.4), and the
// promise that the derived half never shows.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { INVPCID } from '../../src/cpu/memory/mmu.ts';
import { CR0, CR4, EFER } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { BIT, GuestMemory, PAGE, PWU, type Ending, type MemoryCpu } from './guestMemory.ts';

const GVA = 0x0000_0001_0000_3000n;
const OLD = 0x5000n;
const NEW = 0x6000n;
const ADDRESS = 0x000f_ffff_ffff_f000n;

/** A CPU with PCIDs that has read an address through a mapping, which has since been changed in memory. */
function stale(bits = BIT.P | BIT.W, level = 0, pcid = 1n) {
  const memory = new GuestMemory();
  const { cpu } = memory;
  cpu.state.cr4 |= CR4.PCIDE;
  cpu.setCr3(cpu.root | pcid);
  const size = level === 0 ? PAGE : 0x20_0000n;
  const old = level === 0 ? OLD : 0x20_0000n;
  const entry = cpu.map(GVA, old & ~(size - 1n), bits, level);
  memory.poke(OLD, 0x01dn);
  memory.poke(0x20_3000n, 0x01dn);
  memory.poke(NEW, 0x2e3n);
  cpu.load(GVA, 8);
  cpu.fetch(GVA);
  if (level > 0) cpu.load(GVA + 7n * PAGE, 8);
  memory.poke(entry, 0n);
  const fresh = memory.entry(cpu.root, GVA, level);
  memory.poke(fresh, level === 0 ? NEW | bits : 0n);
  if (level > 0) memory.map(cpu.root, GVA, NEW, bits);
  const sees = (): string => ({ [0x01d]: 'old', [0x2e3]: 'new' })[Number(cpu.load(GVA, 8))] ?? 'neither';
  const fetches = (): string => (cpu.fetch(GVA) === BigInt(memory.host(NEW)) ? 'new' : 'old');
  return { memory, cpu, sees, both: () => [sees(), fetches()] };
}
const GLOBAL = BIT.P | BIT.W | BIT.G;
const elsewhere = (cpu: MemoryCpu, pcid: bigint): bigint => cpu.root | pcid;

describe('a changed mapping', () => {
  it('is not seen until it is invalidated', () => {
    expect(stale().both()).toEqual(['old', 'old']);
  });

  it('is not seen after the derived half was dropped either', () => {
    const { cpu, both } = stale();
    cpu.translation.dropDerived();
    expect(both()).toEqual(['old', 'old']);
  });

  it.each<[string, (cpu: MemoryCpu) => void, 'old' | 'new', 'old' | 'new']>([
    ['INVLPG', (cpu) => cpu.mmu.invlpg(GVA + 0x123n), 'new', 'new'],
    ['INVLPG of a neighbour', (cpu) => cpu.mmu.invlpg(GVA + PAGE), 'old', 'old'],
    ['INVLPG of an alias in the TLB', (cpu) => cpu.mmu.invlpg(GVA + 1024n * PAGE), 'old', 'old'],
    ['MOV CR3', (cpu) => cpu.setCr3(elsewhere(cpu, 1n)), 'new', 'old'],
    ['MOV CR3 with bit 63', (cpu) => cpu.setCr3(elsewhere(cpu, 1n), true), 'old', 'old'],
    [
      'MOV CR3 to another PCID and back with bit 63',
      (cpu) => {
        cpu.setCr3(elsewhere(cpu, 2n));
        cpu.setCr3(elsewhere(cpu, 1n), true);
      },
      'old',
      'old',
    ],
    ['INVPCID of the address', (cpu) => cpu.mmu.invpcid(INVPCID.ADDRESS, 1, GVA), 'new', 'old'],
    ['INVPCID of the address in another PCID', (cpu) => cpu.mmu.invpcid(INVPCID.ADDRESS, 2, GVA), 'old', 'old'],
    ['INVPCID of the context', (cpu) => cpu.mmu.invpcid(INVPCID.CONTEXT, 1, 0n), 'new', 'old'],
    ['INVPCID of another context', (cpu) => cpu.mmu.invpcid(INVPCID.CONTEXT, 2, 0n), 'old', 'old'],
    ['INVPCID of all but global', (cpu) => cpu.mmu.invpcid(INVPCID.ALL_BUT_GLOBAL, 0, 0n), 'new', 'old'],
    ['INVPCID of all', (cpu) => cpu.mmu.invpcid(INVPCID.ALL, 0, 0n), 'new', 'new'],
    ['a change of CR4.PGE', (cpu) => cpu.change('cr4', 0n, CR4.PGE), 'new', 'new'],
    ['CR4.PCIDE from 1 to 0', (cpu) => cpu.change('cr4', 0n, CR4.PCIDE), 'new', 'new'],
    ['CR4.SMEP from 0 to 1', (cpu) => cpu.change('cr4', CR4.SMEP), 'new', 'new'],
    ['CR4.SMAP from 0 to 1', (cpu) => cpu.change('cr4', CR4.SMAP), 'old', 'old'],
    ['a change of CR4.TSD', (cpu) => cpu.change('cr4', CR4.TSD), 'old', 'old'],
    ['a change of CR0.WP', (cpu) => cpu.change('cr0', 0n, CR0.WP), 'old', 'old'],
    ['a change of CR0.TS', (cpu) => cpu.change('cr0', CR0.TS), 'old', 'old'],
    ['a change of EFER.NXE', (cpu) => cpu.change('efer', 0n, EFER.NXE), 'new', 'new'],
    ['a change of EFER.SCE', (cpu) => cpu.change('efer', EFER.SCE), 'old', 'old'],
  ])('after %s', (_, invalidate, ordinary, global) => {
    const one = stale();
    invalidate(one.cpu);
    expect(one.both()).toEqual([ordinary, ordinary]);
    const other = stale(GLOBAL);
    invalidate(other.cpu);
    expect(other.both()).toEqual([global, global]);
  });

  it('is seen at once by a write, if the page was only read: the walk that sets D reads the entry again', () => {
    const { memory, cpu } = stale();
    cpu.store(GVA, 8, 1n);
    expect([memory.peek(OLD), memory.peek(NEW)]).toEqual([0x01dn, 1n]);
  });

  it('is seen by an access that the old rights forbid, before anything is raised', () => {
    const { memory, cpu } = stale(BIT.P | BIT.U);
    memory.poke(memory.entry(cpu.root, GVA, 0), NEW | PWU);
    cpu.store(GVA, 8, 1n);
    expect(memory.peek(NEW)).toBe(1n);
  });
});

describe('translations belong to a PCID', () => {
  it('unless they are global', () => {
    const ordinary = stale();
    ordinary.cpu.setCr3(elsewhere(ordinary.cpu, 2n), true);
    expect(ordinary.both()).toEqual(['new', 'new']);
    const global = stale(GLOBAL);
    global.cpu.setCr3(elsewhere(global.cpu, 2n), true);
    expect(global.both()).toEqual(['old', 'old']);
  });

  it('INVLPG reaches a global page of another PCID, but no ordinary one', () => {
    const global = stale(GLOBAL);
    global.cpu.setCr3(elsewhere(global.cpu, 2n), true);
    global.cpu.mmu.invlpg(GVA);
    expect(global.both()).toEqual(['new', 'new']);
    const ordinary = stale();
    ordinary.cpu.setCr3(elsewhere(ordinary.cpu, 2n), true);
    ordinary.cpu.mmu.invlpg(GVA);
    ordinary.cpu.setCr3(elsewhere(ordinary.cpu, 1n), true);
    expect(ordinary.both()).toEqual(['old', 'old']);
  });

  it('G is ignored while CR4.PGE = 0', () => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    cpu.state.cr4 &= ~CR4.PGE;
    const entry = cpu.map(GVA, OLD, GLOBAL);
    cpu.load(GVA, 8);
    memory.poke(entry, NEW | PWU);
    memory.poke(NEW, 9n);
    cpu.setCr3(cpu.root);
    expect(cpu.load(GVA, 8)).toBe(9n);
  });
});

describe('large pages', () => {
  it('stay as a whole until one INVLPG of any address in them', () => {
    const { cpu, sees } = stale(BIT.P | BIT.W, 1);
    expect(sees()).toBe('old');
    cpu.mmu.invlpg(GVA + 0x1_0000n);
    expect(sees()).toBe('new');
    expect(cpu.attempt(() => cpu.load(GVA + 7n * PAGE, 8))).toMatchObject({ fault: VECTOR.PF, errorCode: 0 });
  });

  it('INVLPG of the page next to them leaves them', () => {
    const { cpu, sees } = stale(BIT.P | BIT.W, 1);
    cpu.mmu.invlpg(GVA + 0x20_0000n);
    expect(sees()).toBe('old');
  });
});

describe('the second stage', () => {
  it('unmapping a page drops the translations that lead there, others stay', () => {
    const { memory, cpu, both } = stale();
    memory.secondStage.unmap(Number(NEW >> 12n), 1);
    expect(both()).toEqual(['old', 'old']);
    memory.secondStage.unmap(Number(OLD >> 12n), 1);
    memory.secondStage.map(Number(NEW >> 12n), 1, memory.host(NEW), { writable: true });
    expect(both()).toEqual(['new', 'new']);
    expect(cpu.view(GVA).read).toBe(true);
  });

  it('is told to every CPU', () => {
    const memory = new GuestMemory(2);
    const [one, two] = memory.cpus as [MemoryCpu, MemoryCpu];
    for (const cpu of [one, two]) {
      cpu.map(GVA, OLD);
      cpu.load(GVA, 1);
    }
    memory.secondStage.unmap(Number(OLD >> 12n), 1);
    expect([one.view(GVA).read, two.view(GVA).read]).toEqual([false, false]);
  });
});

describe('snapshots', () => {
  it('hold translations, stale ones too, and nothing that is derived', () => {
    const { memory, cpu, both } = stale();
    const snapshot = cpu.snapshot();
    cpu.translation.flushAll(false);
    expect(both()).toEqual(['new', 'new']);
    cpu.restore(snapshot);
    expect(cpu.view(GVA).read).toBe(false);
    expect(both()).toEqual(['old', 'old']);
    cpu.mmu.invlpg(GVA);
    expect(both()).toEqual(['new', 'new']);
    expect(memory.peek(OLD)).toBe(0x01dn);
  });

  it('know of large pages', () => {
    const { cpu, sees } = stale(BIT.P | BIT.W, 1);
    const snapshot = cpu.snapshot();
    cpu.translation.flushAll(false);
    cpu.restore(snapshot);
    expect(sees()).toBe('old');
    cpu.mmu.invlpg(GVA + 7n * PAGE);
    expect(sees()).toBe('new');
  });
});

/** One step of a guest with a handful of pages, which is careless about invalidation. */
type Step =
  | { do: 'load' | 'fetch'; page: number }
  | { do: 'store'; page: number; value: number }
  | { do: 'invlpg' | 'clear A and D' | 'take dirty' | 'mark code'; page: number }
  | { do: 'remap'; page: number; to: number; bits: bigint }
  | { do: 'cr3'; pcid: bigint; keep: boolean }
  | { do: 'cpl' | 'ac' | 'logging'; on: boolean };

const page = fc.nat(3);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('load' as const, 'fetch' as const), page }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('store' as const), page, value: fc.nat(255) }) },
  fc.record({
    do: fc.constantFrom('invlpg' as const, 'clear A and D' as const, 'take dirty' as const, 'mark code' as const),
    page,
  }),
  fc.record({
    do: fc.constant('remap' as const),
    page,
    to: fc.nat(3),
    bits: fc.constantFrom(0n, BIT.P, BIT.P | BIT.W, PWU, PWU | BIT.NX, PWU | BIT.G),
  }),
  fc.record({ do: fc.constant('cr3' as const), pcid: fc.constantFrom(1n, 2n), keep: fc.boolean() }),
  fc.record({ do: fc.constantFrom('cpl' as const, 'ac' as const, 'logging' as const), on: fc.boolean() }),
);
/** Half of the pages share an index in the TLB with the other half. */
const gvaOf = (page: number): bigint => GVA + BigInt(page & 1) * PAGE + BigInt(page >> 1) * 1024n * PAGE;
const gpaOf = (page: number): bigint => BigInt(0x10 + page) * PAGE;

function perform(memory: GuestMemory, step: Step): Ending | null {
  const { cpu } = memory;
  switch (step.do) {
    case 'load':
      return cpu.attempt(() => cpu.load(gvaOf(step.page), 1));
    case 'store':
      return cpu.attempt(() => cpu.store(gvaOf(step.page), 1, BigInt(step.value)));
    case 'fetch':
      return cpu.attempt(() => cpu.fetch(gvaOf(step.page)));
    case 'invlpg':
      cpu.mmu.invlpg(gvaOf(step.page));
      return null;
    case 'remap':
      memory.poke(memory.entry(cpu.root, gvaOf(step.page), 0), gpaOf(step.to) | step.bits);
      return null;
    case 'clear A and D': {
      const entry = memory.entry(cpu.root, gvaOf(step.page), 0);
      memory.poke(entry, memory.peek(entry) & ~(BIT.A | BIT.D));
      return null;
    }
    case 'take dirty':
      return { ok: true, value: BigInt(memory.arena.takeDirty(memory.host(gpaOf(step.page)))) };
    case 'mark code':
      memory.arena.markCode(memory.host(gpaOf(step.page)), 64, 127);
      return null;
    case 'cr3':
      cpu.setCr3((cpu.state.cr3 & ADDRESS) | step.pcid, step.keep);
      return null;
    case 'cpl':
      cpu.setCpl(step.on ? 3 : 0);
      return null;
    case 'ac':
      cpu.setAc(step.on);
      return null;
    case 'logging':
      memory.secondStage.setDirtyLogging(0x10, 4, step.on);
      return null;
  }
}

describe('the derived half', () => {
  it('never shows: dropping it at any moment changes no result, no entry, no byte of memory', () => {
    const build = (): GuestMemory => {
      const memory = new GuestMemory();
      memory.cpu.state.cr4 |= CR4.PCIDE | CR4.SMAP | CR4.SMEP;
      memory.cpu.setCr3(memory.cpu.root | 1n);
      for (let i = 0; i < 4; i++) {
        memory.cpu.map(gvaOf(i), gpaOf(i));
        memory.poke(gpaOf(i), BigInt(0xa0 + i));
      }
      memory.secondStage.setDirtyLogging(0x10, 4, true);
      return memory;
    };
    const memoryOf = (memory: GuestMemory): Buffer => Buffer.from(memory.views.buffer, memory.arena.start, 0x11_0000);
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.boolean()), { minLength: 100, maxLength: 200 }), (steps) => {
        const calm = build();
        const nervous = build();
        for (const [action, drop] of steps) {
          if (drop) nervous.cpu.translation.dropDerived();
          expect(perform(nervous, action)).toEqual(perform(calm, action));
        }
        expect(Buffer.compare(nervous.cpu.snapshot(), calm.cpu.snapshot())).toBe(0);
        expect(nervous.invalidations).toEqual(calm.invalidations);
        expect(memoryOf(nervous).equals(memoryOf(calm))).toBe(true);
      }),
      { numRuns: 120, seed: 1 },
    );
  });
});
