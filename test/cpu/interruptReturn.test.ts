// IRET in 64-bit mode: where it may go, what it loads, and what it raises otherwise (SDM vol. 2, IRET).

import { beforeEach, describe, expect, it } from 'vitest';
import { is64BitMode } from '../../src/cpu/segments/codeMode.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { flatData, readSegment, segmentSelector, writeSegment } from '../../src/cpu/segments/segments.ts';
import { GPR, RFLAGS, SEGMENT, SEGMENT_ATTRIBUTE } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT, SEL, descriptor } from './systemImage.ts';
import { TestSystem, type Ending } from './system.ts';

const system = new TestSystem();
const { state } = system;
const TARGET = 0xa800n;
const NEW_STACK = BigInt(AT.STACK - 0x400);

beforeEach(() => void system.reset());

interface Frame {
  rip?: bigint;
  cs?: number;
  flags?: number;
  rsp?: bigint;
  ss?: number;
}
const iret = (
  { rip = TARGET, cs = SEL.KCODE, flags = 2, rsp = NEW_STACK, ss = SEL.KDATA }: Frame = {},
  width = 8,
): Ending => {
  const values = [rip, BigInt(cs), BigInt(flags >>> 0), rsp, BigInt(ss)];
  const bytes = new Uint8Array(40);
  values.forEach((value, i) => {
    for (let byte = 0; byte < width; byte++) bytes[i * width + byte] = Number((value >> BigInt(8 * byte)) & 0xffn);
  });
  system.writeBytes(AT.STACK - 40, bytes);
  state.setGpr(GPR.RSP, BigInt(AT.STACK - 40));
  return system.execute('iret', { width, length: 2 });
};
const JUMPED = { outcome: 'jump' } as const;
const USER = { cs: SEL.UCODE | 3, ss: SEL.UDATA | 3 };

describe('a return', () => {
  it.each([8, 4, 2])('of operand size %i loads RIP, CS, flags, RSP and SS', (width) => {
    expect(iret({ flags: 0x202 }, width)).toEqual(JUMPED);
    expect([state.rip, system.gpr(GPR.RSP), state.cpl, readRflags(state)]).toEqual([TARGET, NEW_STACK, 0, 0x202]);
    expect([segmentSelector(state, SEGMENT.CS), segmentSelector(state, SEGMENT.SS)]).toEqual([SEL.KCODE, SEL.KDATA]);
  });
  it('to ring 3 changes CPL and the views', () => {
    const view = state.dataView;
    expect(iret(USER)).toEqual(JUMPED);
    expect(state.cpl).toBe(3);
    expect(segmentSelector(state, SEGMENT.SS)).toBe(SEL.UDATA | 3);
    expect(state.dataView).not.toBe(view);
  });
  it('to ring 0 may load a null SS', () => {
    expect(iret({ ss: 0 })).toEqual(JUMPED);
    expect(readSegment(state, SEGMENT.SS)).toMatchObject({ selector: 0, attributes: SEGMENT_ATTRIBUTE.UNUSABLE });
  });
  it('to ring 1 may load a null SS with RPL 1', () => {
    expect(iret({ cs: SEL.CODE1 | 1, ss: 1 })).toEqual(JUMPED);
    expect(readSegment(state, SEGMENT.SS).attributes).toBe(SEGMENT_ATTRIBUTE.UNUSABLE | 0x20);
  });
  it('to conforming code takes the CPL from the selector', () => {
    expect(iret({ ...USER, cs: SEL.CONFORMING | 3 })).toEqual(JUMPED);
    expect(state.cpl).toBe(3);
  });
  it('takes away data segments that the new privilege may not use, and keeps their bases', () => {
    writeSegment(state, SEGMENT.DS, flatData(SEL.UDATA | 3, 3));
    writeSegment(state, SEGMENT.FS, { ...flatData(SEL.KDATA, 0), base: 0x1000n });
    iret(USER);
    expect(segmentSelector(state, SEGMENT.DS)).toBe(SEL.UDATA | 3);
    expect(segmentSelector(state, SEGMENT.ES)).toBe(0);
    expect(readSegment(state, SEGMENT.FS)).toMatchObject({ selector: 0, base: 0x1000n });
    expect(readSegment(state, SEGMENT.FS).attributes & SEGMENT_ATTRIBUTE.UNUSABLE).not.toBe(0);
  });
  it('leaves them alone at the same privilege', () => {
    iret();
    expect(segmentSelector(state, SEGMENT.ES)).toBe(SEL.KDATA);
  });
  it('to 32-bit code enters compatibility mode, with 32 bits of RSP', () => {
    expect(iret({ cs: SEL.CODE32, rsp: 0xabcd_0000_1234n })).toEqual(JUMPED);
    expect([state.rip, is64BitMode(state), system.gpr(GPR.RSP)]).toEqual([TARGET, false, 0x1234n]);
  });
  it('to a 16-bit stack of 32-bit code loads SP alone', () => {
    system.write(AT.GDT + SEL.BASED_DATA, descriptor(0x93, 0, 0x1000, 0xffff));
    expect(iret({ cs: SEL.CODE32, rsp: 0x5678_1234n, ss: SEL.BASED_DATA })).toEqual(JUMPED);
    expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.STACK & ~0xffff) | 0x1234n);
  });
  it('sets the accessed bits of the segments it loads', () => {
    iret({ cs: SEL.CONFORMING | 3, ss: SEL.BASED_DATA | 3 });
    expect((system.read(AT.GDT + SEL.CONFORMING) >> 40n) & 1n).toBe(1n);
    expect((system.read(AT.GDT + SEL.BASED_DATA) >> 40n) & 1n).toBe(1n);
  });
});

describe('what it raises', () => {
  const { GP, NP, SS } = VECTOR;
  // prettier-ignore
  it.each<[string, Frame, number, number]>([
    ['a null CS', { cs: 3 }, GP, 0],
    ['CS beyond the GDT', { cs: SEL.BEYOND }, GP, SEL.BEYOND],
    ['CS beyond the LDT', { cs: SEL.BEYOND_LDT }, GP, SEL.BEYOND_LDT],
    ['CS is data', { cs: SEL.KDATA }, GP, SEL.KDATA],
    ['CS is a TSS', { cs: SEL.TSS }, GP, SEL.TSS],
    ['RPL of CS is not its DPL', { cs: SEL.KCODE | 3 }, GP, SEL.KCODE],
    ['conforming CS with DPL above RPL', { cs: SEL.USER_CONFORMING }, GP, SEL.USER_CONFORMING],
    ['CS is not present', { cs: SEL.ABSENT_CODE }, NP, SEL.ABSENT_CODE],
    ['CS has L and D', { cs: SEL.LONG_AND_32 }, GP, SEL.LONG_AND_32],
    ['a null SS in ring 3', { ...USER, ss: 3 }, GP, 0],
    ['a null SS whose RPL is not the new CPL', { cs: SEL.CODE1 | 1, ss: 0 }, GP, 0],
    ['SS beyond the GDT', { ss: SEL.BEYOND }, GP, SEL.BEYOND],
    ['RPL of SS is not the new CPL', { ss: SEL.KDATA | 3 }, GP, SEL.KDATA],
    ['SS is read-only', { ss: SEL.READ_ONLY }, GP, SEL.READ_ONLY],
    ['SS is code', { ss: SEL.KCODE }, GP, SEL.KCODE],
    ['DPL of SS is not the new CPL', { ...USER, ss: SEL.KDATA | 3 }, GP, SEL.KDATA],
    ['SS is not present', { ss: SEL.ABSENT_DATA }, SS, SEL.ABSENT_DATA],
    ['RIP is not canonical', { rip: 0x8000_0000_0000n }, GP, 0],
    ['both CS and SS are bad: CS counts', { cs: SEL.KDATA, ss: SEL.READ_ONLY }, GP, SEL.KDATA],
    ['both SS and RIP are bad: SS counts', { ss: SEL.ABSENT_DATA, rip: 1n << 63n }, SS, SEL.ABSENT_DATA],
  ])('%s', (_, frame, fault, code) => {
    const memory = system.memory();
    expect(iret(frame)).toEqual({ fault, code });
    expect([state.rip, state.cpl, segmentSelector(state, SEGMENT.CS)]).toEqual([BigInt(AT.CODE), 0, SEL.KCODE]);
    expect(Buffer.compare(system.memory().subarray(AT.GDT, AT.IDT), memory.subarray(AT.GDT, AT.IDT))).toBe(0);
  });
  it('more privilege than now', () => {
    system.reset(3);
    expect(iret()).toEqual({ fault: GP, code: SEL.KCODE });
  });
  it('NT is set', () => {
    writeRflags(state, RFLAGS.FIXED | RFLAGS.NT);
    expect(iret()).toEqual({ fault: GP, code: 0 });
  });
  it('a stack that is not canonical', () => {
    state.setGpr(GPR.RSP, 0x7fff_ffff_fff0n);
    expect(system.execute('iret', { width: 8 })).toMatchObject({ fault: VECTOR.PF });
    state.setGpr(GPR.RSP, 0x8000_0000_0000n);
    expect(system.execute('iret', { width: 8 })).toEqual({ fault: SS, code: 0 });
  });
  it('EIP beyond the limit of 32-bit code', () => {
    expect(iret({ cs: SEL.CODE32, rip: 0x1_0000_0000n })).toEqual({ fault: GP, code: 0 });
  });
  it('a null SS for 32-bit code', () => {
    expect(iret({ cs: SEL.CODE32, ss: 0 })).toEqual({ fault: GP, code: 0 });
  });
});

describe('the flags that it loads', () => {
  const ALL = 0x003f_7fd5;
  const load = (cpl: 0 | 3, iopl: number, width: number, from: number, to: number): number => {
    system.reset(cpl);
    writeRflags(state, (from & ~(RFLAGS.IOPL | RFLAGS.NT)) | (iopl << 12) | RFLAGS.FIXED);
    expect(iret({ ...(cpl === 3 ? USER : {}), flags: to }, width)).toEqual(JUMPED);
    return readRflags(state);
  };
  it('in ring 0: all but VM', () => {
    expect(load(0, 0, 8, 0, ALL)).toBe((ALL & ~RFLAGS.VM) | RFLAGS.FIXED);
    expect(load(0, 3, 8, ALL, 0)).toBe(RFLAGS.FIXED | RFLAGS.VM);
  });
  it('in ring 3: not IOPL, VIF and VIP, and IF only if IOPL is 3', () => {
    const fixed = RFLAGS.IOPL | RFLAGS.VM | RFLAGS.VIF | RFLAGS.VIP;
    expect(load(3, 0, 8, 0, ALL)).toBe((ALL & ~(fixed | RFLAGS.IF)) | RFLAGS.FIXED);
    expect(load(3, 3, 8, 0, ALL)).toBe((ALL & ~(fixed & ~RFLAGS.IOPL)) | RFLAGS.FIXED);
  });
  it('with 16-bit operands: the lower half', () => {
    expect(load(0, 0, 2, 0, ALL)).toBe((ALL & 0xffff) | RFLAGS.FIXED);
  });
});

describe('NMI blocking', () => {
  beforeEach(() => (state.nmiBlocked = 1));
  it('ends with the return', () => {
    iret();
    expect(state.nmiBlocked).toBe(0);
  });
  it('ends even if it faults', () => {
    iret({ cs: SEL.KDATA });
    expect(state.nmiBlocked).toBe(0);
  });
  it('stays if it exits, since it will run again', () => {
    state.setGpr(GPR.RSP, 0x1_9000n);
    system.unmap(0x1_9000);
    expect(system.execute('iret', { width: 8 })).toEqual({ exit: 'EPT_VIOLATION' });
    expect(state.nmiBlocked).toBe(1);
  });
});
