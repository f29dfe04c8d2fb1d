// What generated code may do without asking: which tags a page gets in which view, what takes them away, and that the slow
// path restores them.

import { describe, expect, it } from 'vitest';
import { OFFSET } from '../../src/cpu/state.ts';
import { CR0, CR4 } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { BIT, GuestMemory, high, low, PAGE, PWU, type MemoryCpu } from './guestMemory.ts';

const GVA = 0xffff_8000_0000_2000n;
const GPA = 0x5000n;
const SUPERVISOR = BIT.P | BIT.W;

function setUp(bits = PWU) {
  const memory = new GuestMemory();
  const { cpu } = memory;
  cpu.map(GVA, GPA, bits);
  const tags = (gva = GVA): string => {
    const { read, write, code } = cpu.view(gva);
    return `${read ? 'r' : '-'}${write ? 'w' : '-'}${code ? 'c' : '-'}`;
  };
  return { memory, cpu, tags, page: memory.host(GPA) };
}

describe('tags', () => {
  it('an address that was never used is in no view', () => {
    expect(setUp().tags()).toBe('---');
    expect(setUp().tags(0n)).toBe('---');
  });

  it('a read alone gives no right to write, because D is not set', () => {
    const { cpu, tags } = setUp();
    cpu.load(GVA, 1);
    expect(tags()).toBe('r--');
    cpu.store(GVA, 1, 0n);
    expect(tags()).toBe('rw-');
  });

  it('a read gives the right to write where D is set already', () => {
    const { cpu, tags } = setUp(PWU | BIT.D);
    cpu.load(GVA, 1);
    expect(tags()).toBe('rw-');
  });

  it('lead to the host address of each byte', () => {
    const { memory, cpu } = setUp();
    cpu.load(GVA, 1);
    expect(cpu.view(GVA + 0xabcn).host).toBe(memory.host(GPA + 0xabcn));
  });

  it('a probe for writing gives no right to write', () => {
    const { cpu, tags } = setUp();
    cpu.mmu.probe(GVA, 4, 'write', 'data');
    expect(tags()).toBe('r--');
  });

  it('a slow open of a page with D set is a direct one the next time', () => {
    const { memory, cpu, tags } = setUp(PWU | BIT.D);
    const at = cpu.mmu.slowOpen(low(GVA + 8n), high(GVA), 8, 0) >>> 0;
    expect(at).toBe(memory.host(GPA + 8n));
    expect(tags()).toBe('rw-');
  });

  it('a read-only page is writable for the supervisor only while CR0.WP = 0', () => {
    const { cpu, tags } = setUp(BIT.P | BIT.D);
    cpu.load(GVA, 1);
    expect(tags()).toBe('r--');
    cpu.change('cr0', 0n, CR0.WP);
    cpu.store(GVA, 1, 0n);
    expect(tags()).toBe('rw-');
    cpu.change('cr0', CR0.WP);
    expect(tags()).toBe('---');
    expect(cpu.attempt(() => cpu.store(GVA, 1, 0n))).toMatchObject({ fault: VECTOR.PF, errorCode: 3 });
  });

  it('a page that may be written stays in the view whatever CR0.WP is', () => {
    const { cpu, tags } = setUp(PWU | BIT.D);
    cpu.load(GVA, 1);
    cpu.change('cr0', 0n, CR0.WP);
    cpu.change('cr0', CR0.WP);
    expect(tags()).toBe('rw-');
  });

  it('device memory is in no view', () => {
    const { memory, cpu, tags } = setUp(PWU | BIT.D);
    memory.secondStage.markMmio(Number(GPA >> 12n), 1);
    cpu.attempt(() => cpu.load(GVA, 1));
    expect(tags()).toBe('---');
  });
});

describe('modes', () => {
  const views = ({ state }: MemoryCpu): string[] => {
    const name = (address: number): string =>
      ['userView', 'supervisorView', 'supervisorAcView'].find(
        (field) => state.base + OFFSET[field as 'userView'] === address,
      )!;
    return [name(state.dataView), name(state.systemView)];
  };

  it.each([
    [{ cpl: 0, ac: false, smap: false }, 'supervisorAcView', 'supervisorAcView'],
    [{ cpl: 0, ac: true, smap: false }, 'supervisorAcView', 'supervisorAcView'],
    [{ cpl: 0, ac: false, smap: true }, 'supervisorView', 'supervisorView'],
    [{ cpl: 0, ac: true, smap: true }, 'supervisorAcView', 'supervisorView'],
    [{ cpl: 2, ac: true, smap: true }, 'supervisorAcView', 'supervisorView'],
    [{ cpl: 3, ac: false, smap: true }, 'userView', 'supervisorView'],
    [{ cpl: 3, ac: true, smap: true }, 'userView', 'supervisorView'],
    [{ cpl: 3, ac: true, smap: false }, 'userView', 'supervisorAcView'],
  ])('%o', ({ cpl, ac, smap }, data, system) => {
    const { cpu } = setUp();
    cpu.state.cr4 = CR4.PAE | (smap ? CR4.SMAP : 0n);
    cpu.setAc(ac);
    cpu.setCpl(cpl);
    expect(views(cpu)).toEqual([data, system]);
    const user = cpl === 3;
    expect(cpu.state.fetchView).toBe(cpu.state.at(user ? 'userFetch' : 'supervisorFetch'));
    expect(cpu.state.jumpCache).toBe(cpu.state.at(user ? 'userJumps' : 'supervisorJumps'));
  });

  it('changing between them forgets nothing', () => {
    const { cpu, tags } = setUp(PWU | BIT.D);
    cpu.change('cr4', CR4.SMAP);
    cpu.setAc(true);
    cpu.load(GVA, 1);
    expect(tags()).toBe('rw-');
    cpu.setAc(false);
    expect(tags()).toBe('---');
    cpu.setCpl(3);
    expect(tags()).toBe('---');
    cpu.load(GVA, 1);
    cpu.setCpl(0);
    expect(cpu.attempt(() => cpu.load(GVA, 1))).toMatchObject({ fault: VECTOR.PF, errorCode: 1 });
    cpu.setAc(true);
    expect(tags()).toBe('rw-');
    cpu.setCpl(3);
    expect(tags()).toBe('rw-');
  });

  it('the processor itself reaches supervisor pages at CPL 3 without showing them to the user', () => {
    const { cpu, tags } = setUp(SUPERVISOR | BIT.D);
    cpu.setCpl(3);
    cpu.mmu.write(GVA, 8, 1n, 'system');
    expect(tags()).toBe('---');
    expect(cpu.view(GVA, 'systemView')).toMatchObject({ read: true, write: true });
  });

  it('SMEP keeps supervisor code from user pages that user code may fetch', () => {
    const { cpu } = setUp();
    cpu.change('cr4', CR4.SMEP);
    cpu.setCpl(3);
    cpu.fetch(GVA);
    expect(cpu.fetchHit(GVA)).toBe(true);
    cpu.setCpl(0);
    expect(cpu.fetchHit(GVA)).toBe(false);
    expect(cpu.attempt(() => cpu.fetch(GVA))).toMatchObject({ fault: VECTOR.PF, errorCode: 0x11 });
  });
});

describe('alignment', () => {
  const checked = () => {
    const set = setUp(PWU | BIT.D);
    const { cpu } = set;
    cpu.setCpl(3);
    cpu.load(GVA, 8);
    cpu.change('cr0', CR0.AM);
    cpu.setAc(true);
    return set;
  };

  it.each([
    [1, 3n, true],
    [2, 2n, true],
    [2, 3n, false],
    [4, 4n, true],
    [4, 6n, false],
    [8, 8n, true],
    [8, 12n, false],
    [8, 4095n, false],
  ])('%i bytes at offset %i may be accessed with CR0.AM and EFLAGS.AC: %s', (size, offset, ok) => {
    const { cpu } = checked();
    const raised = { fault: VECTOR.AC, errorCode: 0 };
    const accesses = [() => cpu.load(GVA + offset, size), () => cpu.store(GVA + offset, size, 0n)];
    for (const access of accesses) {
      expect(cpu.attempt(access)).toMatchObject(ok ? { ok } : raised);
      expect(cpu.attempt(access)).toMatchObject(ok ? { ok } : raised);
    }
  });

  it('is checked at CPL 3 only, not for the processor itself, and not without AM or AC', () => {
    const { cpu, tags } = checked();
    const unaligned = () => cpu.load(GVA + 1n, 4);
    cpu.mmu.read(GVA + 1n, 8, 'system');
    cpu.setCpl(0);
    unaligned();
    cpu.setCpl(3);
    expect(cpu.attempt(unaligned)).toMatchObject({ fault: VECTOR.AC });
    cpu.setAc(false);
    unaligned();
    expect(tags()).toBe('rw-');
    cpu.setAc(true);
    expect(cpu.attempt(unaligned)).toMatchObject({ fault: VECTOR.AC });
    cpu.change('cr0', 0n, CR0.AM);
    unaligned();
  });
});

describe('dirty logging', () => {
  const logged = () => {
    const set = setUp(PWU | BIT.D);
    const gpaPage = Number(GPA >> 12n);
    set.cpu.store(GVA, 1, 1n);
    set.memory.secondStage.setDirtyLogging(gpaPage, 1, true);
    set.memory.arena.takeDirty(set.page);
    return { ...set, gpaPage };
  };

  it('takes the right to write away until the next write is logged', () => {
    const { memory, cpu, tags, page } = logged();
    expect(tags()).toBe('r--');
    cpu.load(GVA, 1);
    expect([tags(), memory.arena.isDirty(page)]).toEqual(['r--', false]);
    cpu.store(GVA, 1, 2n);
    expect([tags(), memory.arena.isDirty(page)]).toEqual(['rw-', true]);
  });

  it('sees a page again each time it is taken', () => {
    const { memory, cpu, tags, page } = logged();
    const taken = [1, 2, 3].map(() => {
      cpu.store(GVA, 1, 2n);
      return memory.arena.takeDirty(page);
    });
    expect([...taken, memory.arena.takeDirty(page)]).toEqual([true, true, true, false]);
    expect(tags()).toBe('r--');
  });

  it('sees writes of the host', () => {
    const { memory, page } = logged();
    memory.arena.hostWrite(page + 5, new Uint8Array([1]));
    expect(memory.arena.takeDirty(page)).toBe(true);
  });

  it('sees a store that a crossing access makes to it, and none that only probed it', () => {
    const { memory, cpu, page } = logged();
    cpu.map(GVA + PAGE, GPA + PAGE, 0n);
    expect(cpu.attempt(() => cpu.store(GVA + PAGE - 4n, 8, 1n))).toMatchObject({ fault: VECTOR.PF });
    expect(memory.arena.takeDirty(page)).toBe(false);
    cpu.map(GVA + PAGE, GPA + PAGE);
    cpu.store(GVA + PAGE - 4n, 8, 1n);
    expect(memory.arena.takeDirty(page)).toBe(true);
  });

  it('that ended leaves clean pages writable', () => {
    const { memory, cpu, tags, gpaPage } = logged();
    memory.secondStage.setDirtyLogging(gpaPage, 1, false);
    cpu.load(GVA, 1);
    cpu.translation.dropDerived();
    cpu.load(GVA, 1);
    expect(tags()).toBe('rw-');
  });
});

describe('pages that hold code', () => {
  const withCode = () => {
    const set = setUp(PWU | BIT.D);
    set.cpu.store(GVA, 1, 1n);
    set.memory.arena.markCode(set.page, 0x100, 0x13f);
    return set;
  };

  it('are not in the write view, but have a tag that sends stores to the line bitmap', () => {
    const { cpu, tags } = withCode();
    expect(tags()).toBe('r--');
    cpu.store(GVA, 1, 1n);
    expect(tags()).toBe('r-c');
  });

  it('are found in the views of every CPU', () => {
    const memory = new GuestMemory(2);
    for (const cpu of memory.cpus) {
      cpu.map(GVA, GPA);
      cpu.store(GVA, 1, 0n);
    }
    memory.arena.markCode(memory.host(GPA), 0, 0);
    expect(memory.cpus.map((cpu) => cpu.view(GVA).write)).toEqual([false, false]);
  });

  it('are found in every view of a CPU and under every address', () => {
    const { memory, cpu, page } = setUp(PWU);
    const alias = 0x7000n;
    cpu.map(alias, GPA);
    cpu.store(GVA, 1, 0n);
    cpu.store(alias, 1, 0n);
    cpu.setCpl(3);
    cpu.store(GVA, 1, 0n);
    memory.arena.markCode(page, 0, 0);
    expect(cpu.view(GVA).write).toBe(false);
    cpu.setCpl(0);
    expect([cpu.view(GVA).write, cpu.view(alias).write]).toEqual([false, false]);
  });

  it('tell the code cache of the bytes written, if their lines are marked', () => {
    const { memory, cpu, page } = withCode();
    cpu.store(GVA + 0xf8n, 8, 1n);
    cpu.store(GVA + 0x140n, 8, 1n);
    expect(memory.invalidations).toEqual([]);
    cpu.store(GVA + 0xfcn, 8, 1n);
    cpu.store(GVA + 0x13fn, 1, 1n);
    expect(memory.invalidations).toEqual([
      { page, first: 0xfc, last: 0x103 },
      { page, first: 0x13f, last: 0x13f },
    ]);
  });

  it('are ordinary pages again when the last line is unmarked', () => {
    const { memory, cpu, tags, page } = withCode();
    memory.arena.unmarkCode(page);
    cpu.store(GVA, 1, 1n);
    expect(tags()).toBe('rw-');
  });

  it('that are logged and clean have no tag at all', () => {
    const { memory, cpu, tags, page } = withCode();
    memory.secondStage.setDirtyLogging(Number(GPA >> 12n), 1, true);
    memory.arena.takeDirty(page);
    cpu.load(GVA, 1);
    expect(tags()).toBe('r--');
  });
});

describe('jump caches', () => {
  const EMPTY = 1n << 63n;
  const jumps = (cpu: MemoryCpu, memory: GuestMemory, field: 'userJumps' | 'supervisorJumps') => {
    const at = (rip: bigint): number => (cpu.state.at(field) + Number(rip & 1023n) * 16) >> 3;
    return {
      set: (rip: bigint) => {
        cpu.state.jumpCache = cpu.state.at(field);
        cpu.translation.fillJump(Number(rip & 0xffff_ffffn), Number(rip >> 32n), 0);
      },
      has: (rip: bigint): boolean => memory.views.u64[at(rip)] === rip,
    };
  };

  it('begin empty', () => {
    const { memory, cpu } = setUp();
    expect(memory.views.u64[cpu.state.at('userJumps') >> 3]).toBe(EMPTY);
    expect(memory.views.u64[(cpu.state.at('supervisorJumps') >> 3) + 2 * 1023]).toBe(EMPTY);
  });

  it('lose the jumps into a page whose translation left, and no others', () => {
    const { memory, cpu } = setUp();
    const other = GVA + PAGE;
    cpu.map(other, GPA);
    cpu.fetch(GVA);
    cpu.fetch(other);
    for (const field of ['userJumps', 'supervisorJumps'] as const) {
      const cache = jumps(cpu, memory, field);
      cache.set(GVA + 1n);
      cache.set(other + 2n);
    }
    cpu.translation.invlpg(GVA);
    for (const field of ['userJumps', 'supervisorJumps'] as const) {
      const cache = jumps(cpu, memory, field);
      expect([cache.has(GVA + 1n), cache.has(other + 2n)]).toEqual([false, true]);
    }
  });

  it.each<[string, (cpu: MemoryCpu) => void]>([
    ['an address space changes', (cpu) => cpu.translation.addressSpaceChanged()],
    ['rights change', (cpu) => cpu.translation.rightsChanged()],
    ['all is invalidated', (cpu) => cpu.translation.flushAll(false)],
    ['a page that fetches the same TLB entry comes', (cpu) => void cpu.fetch(GVA + 256n * PAGE)],
  ])('are emptied when %s', (_, change) => {
    const { memory, cpu } = setUp();
    cpu.map(GVA + 256n * PAGE, GPA);
    cpu.fetch(GVA);
    const cache = jumps(cpu, memory, 'supervisorJumps');
    cache.set(GVA + 1n);
    change(cpu);
    expect(cache.has(GVA + 1n)).toBe(false);
    expect(cpu.fetchHit(GVA)).toBe(false);
  });
});

describe('many pages', () => {
  it('are dropped from the views in one go', () => {
    const { memory, cpu } = setUp();
    for (let i = 0n; i < 600n; i++) {
      cpu.map(i * PAGE, GPA);
      cpu.store(i * PAGE, 1, 1n);
    }
    cpu.translation.dropDerived();
    for (let i = 0n; i < 600n; i++) expect(cpu.view(i * PAGE)).toMatchObject({ read: false, write: false });
    expect(memory.peek(GPA) & 0xffn).toBe(1n);
  });
});
