// Loading the PDPTE registers (SDM vol. 3, 4.4.1): by which writes of control registers, from where, and what is refused.

import { beforeEach, describe, expect, it } from 'vitest';
import { featuresOf } from '../../src/cpu/features.ts';
import { getPdptes, setPdptes } from '../../src/cpu/memory/pdptes.ts';
import { selectCodeMode } from '../../src/cpu/segments/codeMode.ts';
import { CPUID_FEATURE, type CpuidFeature } from '../../src/x86/names/cpuid.ts';
import { CR0, CR4, EFER, GPR } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { TestSystem, type Ending } from './system.ts';

const system = new TestSystem();
const { cpu, state } = system;
const END = { outcome: 'end' } as const;
const GP0 = { fault: VECTOR.GP, code: 0 } as const;
const OLD = [0x1001n, 0x2001n, 0x3001n, 0x4001n];
const NEW = [0x5001n, 0n, 0x7019n, 0x8e01n];
const TABLE = 0x1_6020;
const PROTECTED = CR0.PE | CR0.ET;
const PAGED = PROTECTED | CR0.PG;

/** Protected mode, OLD in the registers, NEW in memory. */
beforeEach(() => {
  system.reset();
  state.cr0 = PAGED;
  state.cr4 = CR4.PAE;
  state.efer = 0n;
  state.cr3 = BigInt(TABLE);
  setPdptes(state, OLD);
  selectCodeMode(state);
  cpu.mmu.translation.flushAll(false);
  system.write(TABLE, ...NEW);
});

const write = (cr: number, value: bigint): Ending => {
  state.setGpr(GPR.RBX, value);
  return system.execute('movToCr', { reg0: cr, reg1: GPR.RBX });
};
const loaded = (): 'old' | 'new' => {
  const pdptes = getPdptes(state);
  expect([OLD, NEW]).toContainEqual(pdptes);
  return pdptes[0] === OLD[0] ? 'old' : 'new';
};

describe('with PAE paging they are loaded', () => {
  // prettier-ignore
  it.each<[string, number, bigint, 'old' | 'new']>([
    ['CR3 as it is', 3, BigInt(TABLE), 'new'],
    ['CR3 with PWT, PCD and other ignored bits', 3, BigInt(TABLE) | 0x1fn, 'new'],
    ['CR0 as it is', 0, PAGED, 'old'],
    ['CR0.WP', 0, PAGED | CR0.WP, 'old'],
    ['CR0.TS and AM', 0, PAGED | CR0.TS | CR0.AM, 'old'],
    ['CR0.CD', 0, PAGED | CR0.CD, 'new'],
    ['CR0.NW', 0, PAGED | CR0.CD | CR0.NW, 'new'],
    ['CR4 as it is', 4, CR4.PAE, 'old'],
    ['CR4.PGE', 4, CR4.PAE | CR4.PGE, 'new'],
    ['CR4.PSE', 4, CR4.PAE | CR4.PSE, 'new'],
    ['CR4.SMEP', 4, CR4.PAE | CR4.SMEP, 'new'],
    ['CR4.SMAP', 4, CR4.PAE | CR4.SMAP, 'old'],
    ['CR4.TSD and DE', 4, CR4.PAE | CR4.TSD | CR4.DE, 'old'],
    ['CR4.PAE cleared, which ends PAE paging', 4, 0n, 'old'],
    ['CR0.PG cleared', 0, PROTECTED, 'old'],
  ])('by a write of %s?', (_, cr, value, which) => {
    expect(write(cr, value)).toHaveProperty('outcome');
    expect(loaded()).toBe(which);
  });

  it('from CR3, when paging is turned on', () => {
    state.cr0 = PROTECTED;
    expect(write(0, PAGED)).toEqual(END);
    expect(loaded()).toBe('new');
  });

  it('from CR3, when 32-bit paging becomes PAE paging', () => {
    state.cr4 = CR4.PSE;
    expect(write(4, CR4.PAE | CR4.PSE)).toEqual(END);
    expect(loaded()).toBe('new');
  });
});

describe('they are not loaded', () => {
  it.each<[string, () => void, number, bigint]>([
    ['without paging', () => (state.cr0 = PROTECTED), 3, BigInt(TABLE)],
    ['without paging, by CR4', () => (state.cr0 = PROTECTED), 4, CR4.PAE | CR4.PGE],
    ['in 32-bit paging', () => (state.cr4 = 0n), 3, BigInt(TABLE)],
    ['in long mode', () => (state.efer = EFER.LME | EFER.LMA), 3, BigInt(TABLE)],
    ['in long mode, by CR4', () => (state.efer = EFER.LME | EFER.LMA), 4, CR4.PAE | CR4.PGE],
  ])('%s', (_, set, cr, value) => {
    set();
    expect(write(cr, value)).toEqual(END);
    expect(loaded()).toBe('old');
  });
});

describe('an entry that is present', () => {
  // prettier-ignore
  it.each<[string, bigint, boolean]>([
    ['bit 1', 1n << 1n, false], ['bit 2', 1n << 2n, false], ['bit 3, PWT', 1n << 3n, true], ['bit 4, PCD', 1n << 4n, true],
    ['bit 5', 1n << 5n, false], ['bit 8', 1n << 8n, false], ['bits 9 to 11', 7n << 9n, true],
    ['bit 38', 1n << 38n, true], ['bit 39', 1n << 39n, false], ['bit 51', 1n << 51n, false], ['bit 63', 1n << 63n, false],
  ])('with %s, of 39 address bits: is it legal? (table 4-8)', (_, bits, legal) => {
    cpu.features = featuresOf(Object.keys(CPUID_FEATURE) as CpuidFeature[], 39);
    for (const [cr, value] of [[3, BigInt(TABLE)], [4, CR4.PAE | CR4.PGE], [0, PAGED | CR0.CD]] as const) {
      const before = [state.cr0, state.cr3, state.cr4];
      system.write(TABLE + 24, 0x9001n | bits);
      expect(write(cr, value)).toEqual(legal ? END : GP0);
      if (legal) expect(getPdptes(state)[3]).toBe(0x9001n | bits);
      else expect([loaded(), state.cr0, state.cr3, state.cr4]).toEqual(['old', ...before]);
      system.write(TABLE + 24, bits);
      expect(write(3, BigInt(TABLE))).toEqual(END);
      setPdptes(state, OLD);
    }
  });
});

describe('where no memory is', () => {
  it('the load exits with EPT_VIOLATION for no linear address, and nothing has changed', () => {
    system.unmap(TABLE & ~0xfff);
    expect(write(4, CR4.PAE | CR4.PGE)).toEqual({ exit: 'EPT_VIOLATION' });
    expect(cpu.exit()).toMatchObject({ reason: 'EPT_VIOLATION', gpa: BigInt(TABLE), access: 'read' });
    expect(state.exitQualification).toBe(1n);
    expect([state.cr4, loaded()]).toEqual([CR4.PAE, 'old']);
  });
});
