// The architectural MSRs in the state block: which values they take, and how RDMSR and WRMSR reach them.

import { beforeEach, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { featuresOf } from '../../src/cpu/features.ts';
import { ARCHITECTURAL_MSRS } from '../../src/cpu/msrs.ts';
import { segmentBase } from '../../src/cpu/segments/segments.ts';
import { APIC_BASE, MSR, msrName, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { EFER, GPR, SEGMENT } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT } from './systemImage.ts';
import { TestSystem, type Ending } from './system.ts';

const system = new TestSystem();
const { cpu, state } = system;
const GP0 = { fault: VECTOR.GP, code: 0 } as const;
const HIGH = 0xffff_8000_0000_0000n;
const NOT_CANONICAL = 1n << 47n;
const ENABLED = APIC_BASE.DEFAULT_ADDRESS | APIC_BASE.BSP | APIC_BASE.EN;

beforeEach(() => {
  system.reset();
  state.apicBase = ENABLED;
});

// prettier-ignore
const LEGAL: [keyof typeof MSR, bigint, boolean][] = [
  ['STAR', 0xffff_ffff_ffff_ffffn, true],
  ['LSTAR', HIGH, true], ['LSTAR', NOT_CANONICAL, false],
  ['CSTAR', HIGH, true], ['CSTAR', NOT_CANONICAL, false],
  ['FMASK', 0xffff_ffffn, true], ['FMASK', 1n << 32n, false],
  ['FS_BASE', HIGH, true], ['FS_BASE', NOT_CANONICAL, false],
  ['GS_BASE', 0x7fff_ffff_ffffn, true], ['GS_BASE', 1n << 63n, false],
  ['KERNEL_GS_BASE', HIGH, true], ['KERNEL_GS_BASE', NOT_CANONICAL, false],
  ['TSC_AUX', 0xffff_ffffn, true], ['TSC_AUX', 1n << 32n, false],
  ['SYSENTER_CS', 8n, true], ['SYSENTER_ESP', NOT_CANONICAL, false], ['SYSENTER_EIP', HIGH, true],
  ['PAT', 0x0007_0406_0007_0406n, true], ['PAT', 2n, false], ['PAT', 3n << 56n, false], ['PAT', 8n << 8n, false],
  ['EFER', EFER.LME | EFER.LMA | EFER.SCE, true], ['EFER', EFER.LMA | EFER.SCE, false], ['EFER', EFER.LME | EFER.LMA | (1n << 1n), false],
  ['EFER', EFER.LME | EFER.LMA | (1n << 12n), false],
  ['TSC_DEADLINE', 0n, false],
];
it.each(LEGAL)('%s takes 0x%i: %s', (name, value, legal) => {
  const before = cpu.readMsr(MSR[name]);
  expect(cpu.writeMsr(MSR[name], value)).toBe(legal);
  expect(cpu.readMsr(MSR[name])).toBe(legal ? value : before);
});

describe('EFER', () => {
  it('keeps LMA whatever is written', () => {
    expect(cpu.writeMsr(MSR.EFER, EFER.LME | EFER.NXE)).toBe(true);
    expect(state.efer).toBe(EFER.LME | EFER.LMA | EFER.NXE);
  });
  it('has SCE and NXE only if CPUID offers them', () => {
    cpu.features = featuresOf(['SYSCALL']);
    expect(cpu.writeMsr(MSR.EFER, EFER.LME | EFER.SCE)).toBe(true);
    expect(cpu.writeMsr(MSR.EFER, EFER.LME | EFER.NXE)).toBe(false);
    cpu.features = featuresOf(['NX']);
    expect(cpu.writeMsr(MSR.EFER, EFER.LME | EFER.SCE)).toBe(false);
    expect(cpu.writeMsr(MSR.EFER, EFER.LME | EFER.NXE)).toBe(true);
  });
  it('NXE counts for translations that are held already', () => {
    const entry = AT.PAGE_TABLE + 0x1_6000 / 512;
    system.write(entry, 0x1_6007n | (1n << 63n));
    expect(cpu.mmu.read(0x1_6000n, 8, 'data')).toBe(0n);
    cpu.writeMsr(MSR.EFER, EFER.LME | EFER.SCE);
    expect(system.attempt(() => void cpu.mmu.read(0x1_6000n, 8, 'data'))).toEqual({ fault: VECTOR.PF, code: 9 });
  });
});

describe('APIC_BASE', () => {
  const X2 = ENABLED | APIC_BASE.EXTD;
  const OFF = APIC_BASE.DEFAULT_ADDRESS | APIC_BASE.BSP;
  // prettier-ignore
  it.each<[string, bigint, bigint, boolean]>([
    ['xAPIC to x2APIC', ENABLED, X2, true],
    ['x2APIC to disabled', X2, OFF, true],
    ['disabled to xAPIC', OFF, ENABLED, true],
    ['x2APIC to xAPIC', X2, ENABLED, false],
    ['disabled to x2APIC', OFF, X2, false],
    ['EXTD without EN', ENABLED, OFF | APIC_BASE.EXTD, false],
    ['another address', ENABLED, ENABLED | 0x1000n, true],
    ['an address beyond MAXPHYADDR', ENABLED, ENABLED | (1n << 46n), false],
    ['bit 9', ENABLED, ENABLED | (1n << 9n), false],
  ])('%s', (_, from, to, legal) => {
    state.apicBase = from;
    expect(cpu.writeMsr(MSR.APIC_BASE, to)).toBe(legal);
    expect(state.apicBase).toBe(legal ? to : from);
  });
  it('EXTD is reserved without x2APIC', () => {
    cpu.features = featuresOf([]);
    expect(cpu.writeMsr(MSR.APIC_BASE, X2)).toBe(false);
  });
});

describe('RDMSR and WRMSR', () => {
  const rdmsr = (index: number): Ending => {
    state.setGpr(GPR.RCX, 0xdead_0000_0000_0000n | BigInt(index));
    return system.execute('rdmsr', { length: 2 });
  };
  const wrmsr = (index: number, value: bigint): Ending => {
    state.setGpr(GPR.RCX, BigInt(index));
    state.setGpr(GPR.RAX, 0xffff_ffff_0000_0000n | (value & 0xffff_ffffn));
    state.setGpr(GPR.RDX, 0xffff_ffff_0000_0000n | (value >> 32n));
    return system.execute('wrmsr', { length: 2 });
  };
  it('use ECX and EDX:EAX, whose upper halves are zeroed', () => {
    expect(wrmsr(MSR.FS_BASE, HIGH + 0x1234n)).toEqual({ outcome: 'next' });
    expect(segmentBase(state, SEGMENT.FS)).toBe(HIGH + 0x1234n);
    expect(rdmsr(MSR.FS_BASE)).toEqual({ outcome: 'next' });
    expect([system.gpr(GPR.RAX), system.gpr(GPR.RDX)]).toEqual([0x1234n, 0xffff_8000n]);
  });
  it('are #GP(0) for what does not exist, for illegal values, and in ring 3', () => {
    expect(rdmsr(0x9999)).toEqual(GP0);
    expect(wrmsr(0x9999, 0n)).toEqual(GP0);
    expect(wrmsr(MSR.LSTAR, NOT_CANONICAL)).toEqual(GP0);
    system.reset(3);
    expect(rdmsr(MSR.STAR)).toEqual(GP0);
    expect(wrmsr(MSR.STAR, 0n)).toEqual(GP0);
  });
  it('reading MSR_TSC gives the TSC', () => {
    state.tsc = 0x1_2345_6789n;
    rdmsr(MSR.TSC);
    expect([system.gpr(GPR.RDX), system.gpr(GPR.RAX)]).toEqual([1n, 0x2345_6789n]);
  });
  it('exit by default, each direction by its own bitmap, and always outside of the bitmaps', () => {
    cpu.controls = new Controls();
    expect(rdmsr(MSR.STAR)).toEqual({ exit: 'MSR_READ' });
    expect(cpu.exit()).toEqual({ reason: 'MSR_READ', index: MSR.STAR, rip: BigInt(AT.CODE), length: 2 });
    expect(wrmsr(X2APIC_MSR.ICR, 0x1_0000_00fdn)).toEqual({ exit: 'MSR_WRITE' });
    expect(cpu.exit()).toEqual({
      reason: 'MSR_WRITE',
      index: X2APIC_MSR.ICR,
      value: 0x1_0000_00fdn,
      rip: BigInt(AT.CODE),
      length: 2,
    });
    cpu.controls.allowMsr(MSR.STAR, 'read');
    expect(rdmsr(MSR.STAR)).toEqual({ outcome: 'next' });
    expect(wrmsr(MSR.STAR, 5n)).toEqual({ exit: 'MSR_WRITE' });
    cpu.controls.allowMsr(MSR.STAR, 'both');
    expect(wrmsr(MSR.STAR, 5n)).toEqual({ outcome: 'next' });
    cpu.controls.trapMsr(MSR.STAR, 'read');
    expect(rdmsr(MSR.STAR)).toEqual({ exit: 'MSR_READ' });
    for (const index of [0x2000, 0x4b56_4d00, 0xc000_2000]) {
      expect(rdmsr(index)).toEqual({ exit: 'MSR_READ' });
      expect(() => cpu.controls.allowMsr(index, 'read')).toThrow(/always exits/);
    }
  });
  it('a write of the TSC that does not exit stops by name', () => {
    expect(wrmsr(MSR.TSC, 0n)).toMatchObject({ stopped: expect.stringContaining('MSR_TSC') as string });
  });
});

it('all of them have names', () => {
  for (const index of ARCHITECTURAL_MSRS) expect(msrName(index)).toMatch(/^MSR_/);
  expect(msrName(X2APIC_MSR.ICR)).toBe('X2APIC_ICR');
  expect(msrName(0x4b56_4d00)).toBeUndefined();
});
