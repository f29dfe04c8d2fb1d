// Reads and writes of every size across pages: all parts are translated before any is made, so what faults has changed
// nothing.

import { describe, expect, it } from 'vitest';
import { selectCodeMode } from '../../src/cpu/segments/codeMode.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { BIT, GuestMemory, high, low, PAGE, PWU } from './guestMemory.ts';

const GVA = 0x0000_0000_0040_0000n;
const FIRST = 0x5000n;
/** The page behind the first is elsewhere in guest physical memory. */
const SECOND = 0x9000n;
const PATTERN = 0x8877_6655_4433_2211n;

function setUp(second = PWU) {
  const memory = new GuestMemory();
  const { cpu } = memory;
  cpu.map(GVA, FIRST);
  cpu.map(GVA + PAGE, SECOND, second);
  return { memory, cpu };
}
const bytes = (memory: GuestMemory, at: number, count: number): number[] => [
  ...memory.views.u8.subarray(at, at + count),
];

describe('one value', () => {
  it.each([1, 2, 4, 8])('%i bytes are read and written at any offset, across pages too', (size) => {
    const { memory, cpu } = setUp();
    const value = BigInt.asUintN(8 * size, PATTERN);
    for (const offset of [0, 1, 3, 4096 - size, 4096 - size + 1, 4095]) {
      const gva = GVA + BigInt(offset);
      memory.poke(FIRST + 0xff8n, 0n);
      memory.poke(SECOND, 0n);
      cpu.store(gva, size, PATTERN);
      expect(cpu.load(gva, size)).toBe(value);
      expect(cpu.mmu.read(gva, size, 'data')).toBe(value);
      for (let i = 0; i < size; i++) {
        const place = offset + i < 4096 ? FIRST + BigInt(offset + i) : SECOND + BigInt(offset + i - 4096);
        expect(BigInt(memory.views.u8[memory.host(place)]!)).toBe((value >> BigInt(8 * i)) & 0xffn);
      }
    }
  });

  it('leaves its neighbours alone', () => {
    const { memory, cpu } = setUp();
    memory.poke(FIRST + 0xff0n, ~0n);
    memory.poke(FIRST + 0xff8n, ~0n);
    memory.poke(SECOND, ~0n);
    cpu.store(GVA + PAGE - 3n, 4, 0n);
    expect(bytes(memory, memory.host(FIRST + 0xffcn), 4)).toEqual([255, 0, 0, 0]);
    expect(bytes(memory, memory.host(SECOND), 2)).toEqual([0, 255]);
  });

  it.each([16, 32])('%i bytes go through the bounce buffer where a page ends', (size) => {
    const { memory, cpu } = setUp();
    const gva = GVA + PAGE - 5n;
    const bounce = cpu.state.at('bounce');
    for (let i = 0; i < size; i++) memory.views.u8[bounce + i] = 100 + i;
    cpu.mmu.slowWriteBounce(low(gva), high(gva), size, 0);
    expect(bytes(memory, memory.host(FIRST + 0xffbn), 5)).toEqual([100, 101, 102, 103, 104]);
    expect(bytes(memory, memory.host(SECOND), size - 5)).toEqual(Array.from({ length: size - 5 }, (_, i) => 105 + i));
    memory.views.u8.fill(0, bounce, bounce + 64);
    expect(cpu.mmu.slowRead(low(gva), high(gva), size, 0)).toBe(bounce);
    expect(bytes(memory, bounce, size)).toEqual(Array.from({ length: size }, (_, i) => 100 + i));
  });

  it('wraps from the last address to the first', () => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    cpu.map(0xffff_ffff_ffff_f000n, FIRST);
    cpu.map(0n, SECOND);
    cpu.store(0xffff_ffff_ffff_fffcn, 8, PATTERN);
    expect(cpu.load(0xffff_ffff_ffff_fffcn, 8)).toBe(PATTERN);
    expect(memory.peek(SECOND) & 0xffff_ffffn).toBe(PATTERN >> 32n);
  });

  it('carries from the low half of an address into the high half', () => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    cpu.map(0xffff_f000n, FIRST);
    cpu.map(0x1_0000_0000n, SECOND);
    cpu.store(0xffff_fffcn, 8, PATTERN);
    expect(cpu.load(0x1_0000_0000n, 4)).toBe(PATTERN >> 32n);
  });
});

describe('linear addresses of 32 bits', () => {
  const LAST = 0xffff_f000n;
  /** 16-bit code with PAE paging, where the page tables map the last page and the first. */
  const legacy = () => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    cpu.map(LAST, FIRST);
    cpu.map(0n, SECOND);
    const directory = (gva: bigint): bigint => (memory.entry(cpu.root, gva, 1) & ~0xfffn) | BIT.P;
    cpu.leaveLongMode('PAE', [directory(0n), 0n, 0n, directory(LAST)]);
    return { memory, cpu };
  };

  it.each([2, 4, 8])('wrap at 4 GiB: %i bytes, by generated code and by microcode', (size) => {
    const { memory, cpu } = legacy();
    const value = BigInt.asUintN(8 * size, PATTERN);
    for (const kind of ['data', 'system'] as const) {
      for (let before = 1n; before < BigInt(size); before++) {
        const at = 0x1_0000_0000n - before;
        memory.poke(FIRST + 0xff8n, 0n);
        memory.poke(SECOND, 0n);
        if (kind === 'data') cpu.store(at, size, PATTERN);
        else cpu.mmu.write(at, size, value, kind);
        expect(cpu.load(at, size)).toBe(value);
        expect(cpu.mmu.read(at, size, kind)).toBe(value);
        expect(memory.peek(SECOND)).toBe(value >> (8n * before));
      }
    }
  });

  it('fault at 0 where the first page is absent, with nothing changed', () => {
    const { memory, cpu } = legacy();
    cpu.map(0n, SECOND, 0n);
    const fault = { fault: VECTOR.PF, errorCode: 2, address: 0n };
    expect(cpu.attempt(() => cpu.store(LAST + 0xffen, 4, PATTERN))).toMatchObject(fault);
    expect(cpu.attempt(() => cpu.mmu.probe(LAST + 0xffen, 4, 'write', 'data'))).toMatchObject(fault);
    expect(cpu.attempt(() => cpu.mmu.probe(LAST, 2 * 4096, 'write', 'data'))).toMatchObject(fault);
    expect(memory.peek(FIRST + 0xff8n)).toBe(0n);
  });

  it('are what is left of a wider base', () => {
    const { memory, cpu } = legacy();
    memory.poke(FIRST, PATTERN);
    const upper = 0x1234_5678_0000_0000n;
    expect(cpu.mmu.read(upper | LAST, 8, 'system')).toBe(PATTERN);
    const fault = { fault: VECTOR.PF, errorCode: 2, address: 0x5000n };
    expect(cpu.attempt(() => cpu.mmu.write(upper | 0x5000n, 8, 0n, 'system'))).toMatchObject(fault);
    expect(cpu.attempt(() => cpu.mmu.probe(upper | 0x5000n, 8, 'write', 'system'))).toMatchObject(fault);
  });

  it('wrap in compatibility mode too, but not for tables of IA-32e mode', () => {
    const memory = new GuestMemory();
    const { cpu } = memory;
    cpu.map(LAST, FIRST);
    cpu.map(0n, SECOND);
    cpu.map(0x1_0000_0000n, 0xb000n);
    selectCodeMode(cpu.state);
    memory.poke(SECOND, 0x11n);
    memory.poke(0xb000n, 0x22n);
    expect(cpu.load(0xffff_ffffn, 2)).toBe(0x1100n);
    expect(cpu.mmu.read(0xffff_ffffn, 2, 'stack')).toBe(0x1100n);
    expect(cpu.mmu.read(0xffff_ffffn, 2, 'system')).toBe(0x2200n);
  });
});

describe('a store whose second page faults', () => {
  it.each([
    ['is absent', 0n, 2],
    ['is read-only', BIT.P | BIT.U, 3],
  ])('changes nothing when the page %s', (_, bits, errorCode) => {
    const { memory, cpu } = setUp(bits);
    const gva = GVA + PAGE - 4n;
    const fault = { fault: VECTOR.PF, errorCode, address: GVA + PAGE };
    memory.poke(FIRST + 0xff8n, PATTERN);
    expect(cpu.attempt(() => cpu.store(gva, 8, 0n))).toMatchObject(fault);
    expect(cpu.attempt(() => cpu.mmu.write(gva, 8, 0n, 'data'))).toMatchObject(fault);
    expect(cpu.attempt(() => void cpu.mmu.slowOpen(low(gva), high(gva), 8, 0))).toMatchObject(fault);
    expect(cpu.attempt(() => cpu.mmu.slowWriteBounce(low(gva), high(gva), 32, 0))).toMatchObject(fault);
    expect(cpu.attempt(() => cpu.mmu.probe(gva, 8, 'write', 'data'))).toMatchObject(fault);
    expect(memory.peek(FIRST + 0xff8n)).toBe(PATTERN);
    expect(memory.peek(memory.entry(cpu.root, GVA, 0)) & BIT.D).toBe(0n);
  });

  it('changes nothing when the second stage has no page', () => {
    const { memory, cpu } = setUp();
    memory.secondStage.unmap(Number(SECOND >> 12n), 1);
    memory.poke(FIRST + 0xff8n, PATTERN);
    const exit = { exit: EXIT.EPT_VIOLATION, gva: GVA + PAGE, gpa: SECOND };
    expect(cpu.attempt(() => cpu.store(GVA + PAGE - 4n, 8, 0n))).toMatchObject(exit);
    expect(memory.peek(FIRST + 0xff8n)).toBe(PATTERN);
  });

  it('reports the first page if both fault', () => {
    const { cpu } = setUp(0n);
    cpu.map(GVA, FIRST, 0n);
    cpu.translation.flushAll(false);
    const fault = { fault: VECTOR.PF, address: GVA + PAGE - 4n };
    expect(cpu.attempt(() => cpu.store(GVA + PAGE - 4n, 8, 0n))).toMatchObject(fault);
  });
});

describe('opening for a read-modify-write', () => {
  it('raises what the write would raise, though the page may be read', () => {
    const { cpu } = setUp(BIT.P);
    const gva = GVA + PAGE;
    cpu.load(gva, 4);
    const open = cpu.attempt(() => void cpu.mmu.slowOpen(low(gva), high(gva), 4, 0));
    expect(open).toMatchObject({ fault: VECTOR.PF, errorCode: 3, address: gva });
  });

  it('across pages collects the bytes, and the store that follows spreads them', () => {
    const { memory, cpu } = setUp();
    const gva = GVA + PAGE - 2n;
    cpu.store(gva, 4, 0x0403_0201n);
    const at = cpu.mmu.slowOpen(low(gva), high(gva), 4, 0);
    expect(memory.views.data.getUint32(at, true)).toBe(0x0403_0201);
    cpu.mmu.slowWrite(low(gva), high(gva), 4, 0, 0x0807_0605, 0);
    expect(cpu.load(gva, 4)).toBe(0x0807_0605n);
  });
});

describe('a probe', () => {
  it('covers every page of a range', () => {
    const { cpu } = setUp();
    cpu.map(GVA + 3n * PAGE, 0xb000n);
    cpu.mmu.probe(GVA + 10n, 2 * 4096 - 10, 'write', 'data');
    const ending = cpu.attempt(() => cpu.mmu.probe(GVA + 10n, 4 * 4096 - 10, 'write', 'data'));
    expect(ending).toMatchObject({ fault: VECTOR.PF, errorCode: 2, address: GVA + 2n * PAGE });
    cpu.mmu.probe(GVA + 2n * PAGE, 0, 'write', 'data');
  });

  it('for reading asks for no right to write', () => {
    const { cpu } = setUp(BIT.P);
    expect(() => cpu.mmu.probe(GVA, 2 * 4096, 'read', 'data')).not.toThrow();
  });
});

describe('an onlooker', () => {
  it('sees bytes across pages, changes nothing, and gets null where nothing is mapped', () => {
    const { memory, cpu } = setUp();
    memory.poke(FIRST + 0xff8n, PATTERN);
    memory.poke(SECOND, 0x0dn);
    const before = cpu.snapshot();
    expect([...cpu.mmu.peek(GVA + PAGE - 2n, 3)!]).toEqual([0x77, 0x88, 0x0d]);
    expect(cpu.mmu.peek(GVA + 2n * PAGE - 1n, 2)).toBeNull();
    expect(cpu.mmu.peek(0x8000_0000_0000_0000n, 1)).toBeNull();
    expect(cpu.snapshot()).toEqual(before);
    expect(memory.peek(memory.entry(cpu.root, GVA, 0)) & BIT.A).toBe(0n);
  });
});
