// JMP, CALL and RET between segments and through call gates, in 64-bit mode.

import { beforeEach, describe, expect, it } from 'vitest';
import { is64BitMode } from '../../src/cpu/segments/codeMode.ts';
import { readSegment, segmentSelector, writeSegment } from '../../src/cpu/segments/segments.ts';
import { GPR, SEGMENT } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT, SEL, descriptor, gate, handler } from './systemImage.ts';
import { TestSystem, type Ending } from './system.ts';

const system = new TestSystem();
const { state } = system;
const TARGET = 0xa800n;
const GATE_TARGET = BigInt(handler(0xff));
const JUMPED = { outcome: 'jump' } as const;
const { GP, NP, SS, TS } = VECTOR;

beforeEach(() => void system.reset());

const far = (name: 'farJump' | 'farCall', selector: number, offset = TARGET, width = 8): Ending => {
  const pointer = offset | (BigInt(selector) << BigInt(8 * width));
  system.write(AT.DATA, BigInt.asUintN(64, pointer), pointer >> 64n);
  return system.execute(name, { width, isMemory: true, address: BigInt(AT.DATA), segment: SEGMENT.DS, length: 3 });
};
const stack = (words: number): bigint[] =>
  Array.from({ length: words }, (_, i) => system.read(system.gpr(GPR.RSP) + BigInt(8 * i)));

describe.each(['farJump', 'farCall'] as const)('%s', (name) => {
  it.each([8, 4, 2])('with an offset of %i bytes', (width) => {
    expect(far(name, SEL.KCODE, TARGET, width)).toEqual(JUMPED);
    expect([state.rip, segmentSelector(state, SEGMENT.CS)]).toEqual([TARGET, SEL.KCODE]);
  });
  it('to conforming code of more privilege keeps the CPL', () => {
    system.reset(3);
    expect(far(name, SEL.CONFORMING)).toEqual(JUMPED);
    expect([state.cpl, segmentSelector(state, SEGMENT.CS)]).toEqual([3, SEL.CONFORMING | 3]);
  });
  // prettier-ignore
  it.each<[string, 0 | 3, number, bigint, number, number]>([
    ['a null selector', 0, 2, TARGET, GP, 0],
    ['beyond the GDT', 0, SEL.BEYOND, TARGET, GP, SEL.BEYOND],
    ['data', 0, SEL.KDATA, TARGET, GP, SEL.KDATA],
    ['a TSS', 0, SEL.OTHER_TSS, TARGET, GP, SEL.OTHER_TSS],
    ['an LDT', 0, SEL.LDT, TARGET, GP, SEL.LDT],
    ['RPL above CPL', 0, SEL.KCODE | 1, TARGET, GP, SEL.KCODE],
    ['DPL above CPL', 0, SEL.UCODE, TARGET, GP, SEL.UCODE],
    ['DPL below CPL', 3, SEL.KCODE, TARGET, GP, SEL.KCODE],
    ['conforming code of less privilege', 0, SEL.USER_CONFORMING, TARGET, GP, SEL.USER_CONFORMING],
    ['not present', 0, SEL.ABSENT_CODE, TARGET, NP, SEL.ABSENT_CODE],
    ['L and D', 0, SEL.LONG_AND_32, TARGET, GP, SEL.LONG_AND_32],
    ['an offset that is not canonical', 0, SEL.KCODE, 1n << 47n, GP, 0],
    ['a gate that is not present', 0, SEL.ABSENT_GATE, TARGET, NP, SEL.ABSENT_GATE],
    ['a gate that is too privileged', 3, SEL.KERNEL_GATE | 3, TARGET, GP, SEL.KERNEL_GATE],
    ['a gate whose DPL is below the RPL', 0, SEL.KERNEL_GATE | 3, TARGET, GP, SEL.KERNEL_GATE],
    ['a gate to less privileged code', 0, SEL.RING1_GATE, TARGET, GP, SEL.CODE1],
  ])('raises at %s', (_, cpl, selector, offset, fault, code) => {
    system.reset(cpl);
    expect(far(name, selector, offset)).toEqual({ fault, code });
    expect([state.rip, state.cpl, system.gpr(GPR.RSP)]).toEqual([BigInt(AT.CODE), cpl, BigInt(AT.STACK)]);
  });
  // prettier-ignore
  it.each<[string, number, number, bigint, number, number]>([
    ['a null selector', 0xec, 0, TARGET, GP, 0],
    ['data', 0xec, SEL.KDATA, TARGET, GP, SEL.KDATA],
    ['code beyond the GDT', 0xec, SEL.BEYOND, TARGET, GP, SEL.BEYOND],
    ['32-bit code', 0xec, SEL.CODE32, TARGET, GP, SEL.CODE32],
    ['absent code', 0xec, SEL.ABSENT_CODE, TARGET, NP, SEL.ABSENT_CODE],
    ['an address that is not canonical', 0xec, SEL.KCODE, 1n << 47n, GP, 0],
  ])('raises at a gate with %s', (_, access, selector, offset, fault, code) => {
    system.write(AT.GDT + SEL.GATE, ...gate(access, selector, offset));
    expect(far(name, SEL.GATE)).toEqual({ fault, code });
  });
  it('raises at a gate whose upper half has a type', () => {
    const [low, high] = gate(0xec, SEL.KCODE, TARGET);
    system.write(AT.GDT + SEL.GATE, low, high | (1n << 40n));
    expect(far(name, SEL.GATE)).toEqual({ fault: GP, code: SEL.GATE });
  });
  it('through a gate at the same privilege ignores the offset in the pointer', () => {
    expect(far(name, SEL.GATE, 1n << 47n)).toEqual(JUMPED);
    expect([state.rip, state.cpl]).toEqual([GATE_TARGET, 0]);
  });
  it('to 32-bit code enters compatibility mode', () => {
    expect(far(name, SEL.CODE32)).toEqual(JUMPED);
    expect([state.rip, segmentSelector(state, SEGMENT.CS), is64BitMode(state)]).toEqual([TARGET, SEL.CODE32, false]);
  });
  it('to 32-bit code raises #GP at an offset beyond its limit', () => {
    expect(far(name, SEL.CODE32, 0x1_0000_0000n)).toEqual({ fault: GP, code: 0 });
    system.write(AT.GDT + SEL.CODE32, descriptor(0x9b, 4, 0, 0xa7ff));
    expect(far(name, SEL.CODE32)).toEqual({ fault: GP, code: 0 });
    expect(far(name, SEL.CODE32, TARGET - 1n)).toEqual(JUMPED);
  });
});

it('JMP to compatibility mode leaves 32 bits of RSP', () => {
  state.setGpr(GPR.RSP, 0xabcd_0000_c000n);
  expect(far('farJump', SEL.CODE32)).toEqual(JUMPED);
  expect(system.gpr(GPR.RSP)).toBe(0xc000n);
});

describe('CALL', () => {
  it('pushes CS and the next RIP at the operand size', () => {
    far('farCall', SEL.KCODE);
    expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.STACK - 16));
    expect(stack(2)).toEqual([BigInt(AT.CODE + 3), BigInt(SEL.KCODE)]);
  });
  it('of 32 bits pushes two words of 32 bits', () => {
    far('farCall', SEL.KCODE, TARGET, 4);
    expect(stack(1)).toEqual([BigInt(AT.CODE + 3) | (BigInt(SEL.KCODE) << 32n)]);
  });
  it('through a gate to more privilege switches the stack and keeps the old one on it', () => {
    system.reset(3);
    expect(far('farCall', SEL.GATE | 3)).toEqual(JUMPED);
    expect([state.rip, state.cpl, segmentSelector(state, SEGMENT.CS)]).toEqual([GATE_TARGET, 0, SEL.KCODE]);
    expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.RSP0 - 32));
    expect(stack(4)).toEqual([BigInt(AT.CODE + 3), BigInt(SEL.UCODE | 3), BigInt(AT.STACK), BigInt(SEL.UDATA | 3)]);
    expect(segmentSelector(state, SEGMENT.SS)).toBe(0);
  });
  it('to more privilege raises #TS when the TSS is too short, #SS when its stack is not canonical', () => {
    system.reset(3);
    writeSegment(state, SEGMENT.TR, { ...readSegment(state, SEGMENT.TR), limit: 10 });
    expect(far('farCall', SEL.GATE | 3)).toEqual({ fault: TS, code: SEL.TSS });
    system.reset(3);
    system.write(AT.TSS + 4, 0x8000_0000_0010n);
    expect(far('farCall', SEL.GATE | 3)).toEqual({ fault: SS, code: 0 });
    expect(state.cpl).toBe(3);
  });
  it('that cannot push has changed nothing', () => {
    state.setGpr(GPR.RSP, 0x4000_0008n);
    expect(far('farCall', SEL.CONFORMING)).toMatchObject({ fault: VECTOR.PF });
    expect([state.rip, system.gpr(GPR.RSP)]).toEqual([BigInt(AT.CODE), 0x4000_0008n]);
    expect((system.read(AT.GDT + SEL.CONFORMING) >> 40n) & 1n).toBe(0n);
  });
});

it('JMP through a gate to more privilege raises #GP', () => {
  system.reset(3);
  expect(far('farJump', SEL.GATE | 3)).toEqual({ fault: GP, code: SEL.KCODE });
});

describe('RET', () => {
  const ret = (released: number | null, ...words: readonly (bigint | number)[]): Ending => {
    system.write(AT.STACK - 64, ...words);
    state.setGpr(GPR.RSP, BigInt(AT.STACK - 64));
    return system.execute('farReturn', { hasImmediate: released !== null, immediateNumber: released ?? 0 });
  };
  it('returns at the same privilege and releases bytes', () => {
    expect(ret(24, TARGET, SEL.KCODE)).toEqual(JUMPED);
    expect([state.rip, system.gpr(GPR.RSP), state.cpl]).toEqual([TARGET, BigInt(AT.STACK - 64 + 16 + 24), 0]);
  });
  it('releases up to 65535 bytes: the immediate has no sign', () => {
    ret(-1, TARGET, SEL.KCODE);
    expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.STACK - 64 + 16 + 0xffff));
  });
  it('returns to less privilege with the stack found behind the released bytes, and releases there too', () => {
    expect(ret(8, TARGET, SEL.UCODE | 3, 0x77, 0xc000, SEL.UDATA | 3)).toEqual(JUMPED);
    expect([state.rip, system.gpr(GPR.RSP), state.cpl]).toEqual([TARGET, 0xc008n, 3]);
    expect(segmentSelector(state, SEGMENT.SS)).toBe(SEL.UDATA | 3);
    expect(segmentSelector(state, SEGMENT.DS)).toBe(0);
  });
  it('undoes a call through a gate', () => {
    system.reset(3);
    far('farCall', SEL.GATE | 3);
    expect(system.execute('farReturn')).toEqual(JUMPED);
    expect([state.rip, state.cpl, system.gpr(GPR.RSP)]).toEqual([BigInt(AT.CODE + 3), 3, BigInt(AT.STACK)]);
  });
  // prettier-ignore
  it.each<[string, readonly (bigint | number)[], number, number]>([
    ['a null CS', [TARGET, 0], GP, 0],
    ['data as CS', [TARGET, SEL.KDATA], GP, SEL.KDATA],
    ['absent CS', [TARGET, SEL.ABSENT_CODE], NP, SEL.ABSENT_CODE],
    ['RIP that is not canonical', [1n << 47n, SEL.KCODE], GP, 0],
    ['null SS in ring 3', [TARGET, SEL.UCODE | 3, 0xc000, 0], GP, 0],
    ['SS of another privilege', [TARGET, SEL.UCODE | 3, 0xc000, SEL.KDATA], GP, SEL.KDATA],
  ])('raises at %s', (_, words, fault, code) => {
    expect(ret(null, ...words)).toEqual({ fault, code });
    expect([state.rip, state.cpl]).toEqual([BigInt(AT.CODE), 0]);
  });
  it('never returns to more privilege', () => {
    system.reset(3);
    expect(ret(null, TARGET, SEL.KCODE)).toEqual({ fault: GP, code: SEL.KCODE });
  });
});
