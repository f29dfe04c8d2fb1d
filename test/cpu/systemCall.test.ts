// SYSCALL, SYSRET, SYSENTER, SYSEXIT and SWAPGS.

import { beforeEach, describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { featuresOf } from '../../src/cpu/features.ts';
import { is64BitMode, selectCodeMode } from '../../src/cpu/segments/codeMode.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { readSegment, segmentBase, setSegmentBase, writeSegment } from '../../src/cpu/segments/segments.ts';
import { CPUID_FEATURE, type CpuidFeature } from '../../src/x86/names/cpuid.ts';
import { EFER, GPR, RFLAGS, SEGMENT } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT, SEL } from './systemImage.ts';
import { TestSystem } from './system.ts';

const system = new TestSystem();
const { state } = system;
const JUMPED = { outcome: 'jump' } as const;
const GP0 = { fault: VECTOR.GP, code: 0 } as const;
const UD = { fault: VECTOR.UD, code: null } as const;
const KERNEL = 0xffff_8000_0000_1000n;
const NOT_CANONICAL = 1n << 47n;
const code64 = (selector: number, dpl: number) => ({
  selector,
  base: 0n,
  limit: 0xffff_ffff,
  attributes: 0xa09b | (dpl << 5),
});
const code32 = (selector: number, dpl: number) => ({ ...code64(selector, dpl), attributes: 0xc09b | (dpl << 5) });
const data = (selector: number, dpl: number) => ({
  selector,
  base: 0n,
  limit: 0xffff_ffff,
  attributes: 0xc093 | (dpl << 5),
});

beforeEach(() => {
  system.reset();
  state.star = (BigInt(SEL.KDATA | 3) << 48n) | (BigInt(SEL.KCODE) << 32n);
  state.lstar = KERNEL;
  state.fmask = 0x4_7700n;
  state.sysenterCs = BigInt(SEL.KCODE | 3);
  state.sysenterEip = KERNEL;
  state.sysenterEsp = 0xd000n;
});

describe('SYSCALL', () => {
  it('saves RIP and RFLAGS, masks RFLAGS, and loads flat segments without reading a descriptor', () => {
    system.reset(3);
    system.write(AT.GDT + SEL.KCODE, 0n, 0n);
    state.fmask = 0x4_7700n;
    state.lstar = KERNEL;
    state.star = BigInt(SEL.KCODE | 3) << 32n;
    writeRflags(state, 0x3_4f07 | RFLAGS.FIXED);
    expect(system.execute('syscall', { length: 2 })).toEqual(JUMPED);
    expect(system.gpr(GPR.RCX)).toBe(BigInt(AT.CODE + 2));
    expect(system.gpr(GPR.R11)).toBe(0x2_4f07n);
    expect(readRflags(state)).toBe(0x2_4f07 & ~0x4_7700);
    expect([state.rip, state.cpl]).toEqual([KERNEL, 0]);
    expect(readSegment(state, SEGMENT.CS)).toEqual(code64(SEL.KCODE, 0));
    expect(readSegment(state, SEGMENT.SS)).toEqual(data(SEL.KCODE + 8, 0));
  });
  it('is #UD without EFER.SCE', () => {
    state.efer &= ~EFER.SCE;
    expect(system.execute('syscall')).toEqual(UD);
  });
  it('exists outside of 64-bit mode on AMD’s processors, where CSTAR says where to; in legacy mode STAR says it', () => {
    const compatibility = (features: readonly CpuidFeature[], isAmd: boolean) => {
      system.cpu.features = featuresOf(features, undefined, isAmd);
      writeSegment(state, SEGMENT.CS, code32(SEL.KCODE, 0));
      selectCodeMode(state);
      state.cstar = 0x5000n;
    };
    const all = Object.keys(CPUID_FEATURE) as CpuidFeature[];
    compatibility(all, false);
    expect(system.execute('syscall')).toEqual(UD);
    compatibility(all, true);
    expect(system.execute('syscall', { length: 2 })).toEqual(JUMPED);
    expect([state.rip, system.gpr(GPR.RCX), is64BitMode(state)]).toEqual([0x5000n, BigInt(AT.CODE + 2), true]);

    system.reset();
    compatibility(all, true);
    state.efer &= ~EFER.LMA;
    selectCodeMode(state);
    state.star |= 0x6000n;
    expect(system.execute('syscall', { length: 2 })).toEqual(JUMPED);
    expect([state.rip, is64BitMode(state)]).toEqual([0x6000n, false]);
    expect(readSegment(state, SEGMENT.CS)).toEqual(code32(SEL.KCODE, 0));
  });
  it('does not care where LSTAR points: the fetch there faults', () => {
    expect(system.execute('syscall')).toEqual(JUMPED);
    expect(state.rip).toBe(KERNEL);
  });
});

describe('SYSRET', () => {
  it('goes to ring 3 at RCX with the flags of R11, less RF and VM', () => {
    state.setGpr(GPR.RCX, 0x1234_5678n);
    state.setGpr(GPR.R11, 0xffff_ffff_ffff_ffffn);
    expect(system.execute('sysret', { width: 8 })).toEqual(JUMPED);
    expect([state.rip, state.cpl, readRflags(state)]).toEqual([0x1234_5678n, 3, 0x3c_7fd7]);
    expect(readSegment(state, SEGMENT.CS)).toEqual(code64((SEL.KDATA | 3) + 16, 3));
    expect(readSegment(state, SEGMENT.SS)).toEqual(data((SEL.KDATA | 3) + 8, 3));
  });
  it('is #GP in ring 0 when RCX is not canonical', () => {
    state.setGpr(GPR.RCX, NOT_CANONICAL);
    expect(system.execute('sysret', { width: 8 })).toEqual(GP0);
    expect([state.cpl, state.rip]).toEqual([0, BigInt(AT.CODE)]);
  });
  it('is #UD without EFER.SCE, before privilege counts', () => {
    system.reset(3);
    state.efer &= ~EFER.SCE;
    expect(system.execute('sysret')).toEqual(UD);
    state.efer |= EFER.SCE;
    expect(system.execute('sysret')).toEqual(GP0);
  });
  it('of 32 bits returns to compatibility mode', () => {
    state.setGpr(GPR.RCX, 0xffff_0000_1234_5678n);
    expect(system.execute('sysret', { width: 4 })).toEqual(JUMPED);
    expect([state.rip, state.cpl, is64BitMode(state)]).toEqual([0x1234_5678n, 3, false]);
    expect(readSegment(state, SEGMENT.CS)).toEqual(code32(SEL.KDATA | 3, 3));
    expect(readSegment(state, SEGMENT.SS)).toEqual(data((SEL.KDATA | 3) + 8, 3));
  });
});

describe('SYSENTER and SYSEXIT', () => {
  it('SYSENTER takes everything from MSRs and clears IF', () => {
    writeRflags(state, RFLAGS.FIXED | RFLAGS.IF | RFLAGS.CF | RFLAGS.NT);
    expect(system.execute('sysenter')).toEqual(JUMPED);
    expect([state.rip, system.gpr(GPR.RSP), state.cpl]).toEqual([KERNEL, 0xd000n, 0]);
    expect(readRflags(state)).toBe(RFLAGS.FIXED | RFLAGS.CF | RFLAGS.NT);
    expect(readSegment(state, SEGMENT.CS)).toEqual(code64(SEL.KCODE, 0));
    expect(readSegment(state, SEGMENT.SS)).toEqual(data(SEL.KCODE + 8, 0));
  });
  it('both are #GP while SYSENTER_CS is null', () => {
    state.sysenterCs = 3n;
    expect(system.execute('sysenter')).toEqual(GP0);
    expect(system.execute('sysexit')).toEqual(GP0);
  });
  it('SYSEXIT goes to ring 3 at RDX with RSP from RCX, which must be canonical', () => {
    state.setGpr(GPR.RDX, 0x1000n);
    state.setGpr(GPR.RCX, 0x2000n);
    expect(system.execute('sysexit', { width: 8 })).toEqual(JUMPED);
    expect([state.rip, system.gpr(GPR.RSP), state.cpl]).toEqual([0x1000n, 0x2000n, 3]);
    expect(readSegment(state, SEGMENT.CS)).toEqual(code64((SEL.KCODE + 32) | 3, 3));
    expect(readSegment(state, SEGMENT.SS)).toEqual(data((SEL.KCODE + 40) | 3, 3));
    for (const register of [GPR.RCX, GPR.RDX]) {
      system.reset();
      state.sysenterCs = BigInt(SEL.KCODE);
      state.setGpr(register, NOT_CANONICAL);
      expect(system.execute('sysexit', { width: 8 })).toEqual(GP0);
    }
  });
  it('SYSEXIT of 32 bits goes to compatibility mode', () => {
    state.setGpr(GPR.RDX, 0x9_0000_1000n);
    state.setGpr(GPR.RCX, 0x9_0000_2000n);
    expect(system.execute('sysexit', { width: 4 })).toEqual(JUMPED);
    expect([state.rip, system.gpr(GPR.RSP), state.cpl, is64BitMode(state)]).toEqual([0x1000n, 0x2000n, 3, false]);
    expect(readSegment(state, SEGMENT.CS)).toEqual(code32((SEL.KCODE + 16) | 3, 3));
    expect(readSegment(state, SEGMENT.SS)).toEqual(data((SEL.KCODE + 24) | 3, 3));
  });
});

it.each(['wasm', 'bigint'] as const)(
  'SWAPGS exchanges GS_BASE and KERNEL_GS_BASE in ring 0 on the %s engine',
  (engine) => {
    const other = new TestSystem(engine);
    for (const [cpl, reason, bases] of [
      [0, EXIT.BUDGET, [KERNEL, 1n]],
      [3, EXIT.EXCEPTION_NMI, [1n, KERNEL]],
    ] as const) {
      other.reset(cpl);
      other.cpu.controls.exceptionBitmap = 1 << VECTOR.GP;
      other.writeBytes(AT.CODE, [0x0f, 0x01, 0xf8]);
      setSegmentBase(other.state, SEGMENT.GS, 1n);
      other.state.kernelGsBase = KERNEL;
      expect(other.cpu.enter(1, Infinity)).toBe(reason);
      expect([segmentBase(other.state, SEGMENT.GS), other.state.kernelGsBase]).toEqual(bases);
    }
  },
);
