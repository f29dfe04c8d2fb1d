// Loading and storing segment registers, descriptor tables and the task register; asking about selectors.

import { beforeEach, describe, expect, it } from 'vitest';
import { readRflags } from '../../src/cpu/rflags.ts';
import {
  readSegment,
  segmentBase,
  segmentSelector,
  setSegmentBase,
  writeSegment,
} from '../../src/cpu/segments/segments.ts';
import { CR4, GPR, RFLAGS, SEGMENT, SEGMENT_ATTRIBUTE, SHADOW } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT, LDT_LIMIT, SEL, TSS_LIMIT, descriptor } from './systemImage.ts';
import { TestSystem, type Ending } from './system.ts';

const system = new TestSystem();
const { state } = system;
const { GP, NP, SS, UD } = VECTOR;
const NEXT = { outcome: 'next' } as const;
const GP0 = { fault: GP, code: 0 } as const;
const UNDEFINED = { fault: UD, code: null } as const;
const MEMORY = { isMemory: true, address: BigInt(AT.DATA), segment: SEGMENT.DS } as const;
const NOT_CANONICAL = 1n << 47n;

beforeEach(() => void system.reset());

/** MOV Sreg, AX. */
const load = (segment: number, selector: number): Ending => {
  state.setGpr(GPR.RAX, 0xffff_ffff_ffff_0000n | BigInt(selector));
  return system.execute('loadSegment', { reg0: segment, reg1: GPR.RAX });
};

describe('MOV to a data segment', () => {
  it('loads base, limit and attributes from the descriptor and marks it accessed', () => {
    expect(load(SEGMENT.FS, SEL.BASED_DATA | 3)).toEqual(NEXT);
    const expected = { selector: SEL.BASED_DATA | 3, base: 0x1234_5678n, limit: 0xffff_ffff, attributes: 0xc0f3 };
    expect(readSegment(state, SEGMENT.FS)).toEqual(expected);
    expect((system.read(AT.GDT + SEL.BASED_DATA) >> 40n) & 0xffn).toBe(0xf3n);
  });
  it('reads the LDT for selectors with TI', () => {
    expect(load(SEGMENT.GS, SEL.LOCAL_DATA)).toEqual(NEXT);
    expect(segmentBase(state, SEGMENT.GS)).toBe(0x1000n);
  });
  it('takes bytes as limit without G', () => {
    system.write(AT.GDT + SEL.KDATA, descriptor(0x93, 4, 0xfedc_ba98, 0x1_2345));
    load(SEGMENT.DS, SEL.KDATA);
    expect(readSegment(state, SEGMENT.DS)).toEqual({
      selector: SEL.KDATA,
      base: 0xfedc_ba98n,
      limit: 0x1_2345,
      attributes: 0x4093,
    });
  });
  it.each([0, 1, 2, 3])('takes null selector %i', (selector) => {
    setSegmentBase(state, SEGMENT.FS, 0x55n);
    expect(load(SEGMENT.FS, selector)).toEqual(NEXT);
    expect(readSegment(state, SEGMENT.FS)).toEqual({
      selector,
      base: 0n,
      limit: 0,
      attributes: SEGMENT_ATTRIBUTE.UNUSABLE,
    });
  });
  it.each([SEGMENT.ES, SEGMENT.DS, SEGMENT.FS, SEGMENT.GS])('reads memory operands (segment %i)', (segment) => {
    system.write(AT.DATA, SEL.KDATA);
    expect(system.execute('loadSegment', { reg0: segment, ...MEMORY })).toEqual(NEXT);
    expect(segmentSelector(state, segment)).toBe(SEL.KDATA);
  });
  // prettier-ignore
  it.each<[string, 0 | 1 | 3, number, number | null]>([
    ['data of ring 0, RPL 0', 0, SEL.KDATA, null],
    ['data of ring 0, RPL 3', 0, SEL.KDATA | 3, GP],
    ['data of ring 1 from ring 0', 0, SEL.DATA1, null],
    ['data of ring 1 from ring 1', 1, SEL.DATA1 | 1, null],
    ['data of ring 0 from ring 1', 1, SEL.KDATA, GP],
    ['data of ring 0 from ring 3', 3, SEL.KDATA, GP],
    ['data of ring 3 from ring 3', 3, SEL.UDATA | 3, null],
    ['read-only data', 0, SEL.READ_ONLY, null],
    ['readable code', 0, SEL.KCODE, null],
    ['execute-only code', 0, SEL.EXECUTE_ONLY, GP],
    ['readable conforming code from ring 3', 3, SEL.CONFORMING | 3, null],
    ['readable code of ring 0 from ring 3', 3, SEL.KCODE | 3, GP],
    ['a TSS', 0, SEL.TSS, GP],
    ['an LDT', 0, SEL.LDT, GP],
    ['a call gate', 0, SEL.GATE, GP],
    ['absent data', 0, SEL.ABSENT_DATA, NP],
    ['beyond the GDT', 0, SEL.BEYOND, GP],
    ['beyond the LDT', 0, SEL.BEYOND_LDT, GP],
  ])('%s (CPL %i)', (_, cpl, selector, fault) => {
    system.reset(cpl);
    expect(load(SEGMENT.ES, selector)).toEqual(fault === null ? NEXT : { fault, code: selector & ~3 });
    if (fault !== null) expect(segmentSelector(state, SEGMENT.ES)).not.toBe(selector);
  });
  it('raises for the LDT while LDTR is null', () => {
    system.execute('lldt', { reg0: GPR.RBX });
    expect(load(SEGMENT.DS, SEL.LOCAL_DATA)).toEqual({ fault: GP, code: SEL.LOCAL_DATA });
  });
});

describe('MOV to SS', () => {
  // prettier-ignore
  it.each<[string, 0 | 1 | 3, number, number | null, number]>([
    ['data of the same ring', 0, SEL.KDATA, null, 0],
    ['null in ring 0', 0, 0, null, 0],
    ['null with RPL 1 in ring 0', 0, 1, GP, 0],
    ['null with RPL 1 in ring 1', 1, 1, null, 0],
    ['null in ring 3', 3, 3, GP, 0],
    ['RPL above CPL', 0, SEL.KDATA | 1, GP, SEL.KDATA],
    ['DPL above CPL', 0, SEL.UDATA, GP, SEL.UDATA],
    ['read-only data', 0, SEL.READ_ONLY, GP, SEL.READ_ONLY],
    ['code', 0, SEL.KCODE, GP, SEL.KCODE],
    ['absent data', 0, SEL.ABSENT_DATA, SS, SEL.ABSENT_DATA],
    ['beyond the GDT', 0, SEL.BEYOND, GP, SEL.BEYOND],
  ])('%s (CPL %i)', (_, cpl, selector, fault, code) => {
    system.reset(cpl);
    expect(load(SEGMENT.SS, selector)).toEqual(fault === null ? { outcome: 'end' } : { fault, code });
    expect(state.shadow).toBe(fault === null ? SHADOW.MOV_SS : 0);
  });
  it('CS and registers that do not exist are #UD', () => {
    for (const segment of [SEGMENT.CS, 6, 7]) expect(load(segment, SEL.KDATA)).toEqual(UNDEFINED);
  });
});

describe('PUSH, POP and far pointers', () => {
  it('PUSH FS writes the selector, zero-extended to the operand size', () => {
    writeSegment(state, SEGMENT.FS, { ...readSegment(state, SEGMENT.FS), selector: 0xffff });
    system.write(AT.STACK - 8, -1n);
    system.execute('pushSegment', { reg0: SEGMENT.FS, width: 8 });
    expect([system.gpr(GPR.RSP), system.read(AT.STACK - 8)]).toEqual([BigInt(AT.STACK - 8), 0xffffn]);
  });
  it('POP GS loads like MOV, and keeps RSP when it faults', () => {
    system.write(AT.STACK - 8, SEL.BASED_DATA);
    state.setGpr(GPR.RSP, BigInt(AT.STACK - 8));
    expect(system.execute('popSegment', { reg0: SEGMENT.GS, width: 8 })).toEqual(NEXT);
    expect([system.gpr(GPR.RSP), segmentBase(state, SEGMENT.GS)]).toEqual([BigInt(AT.STACK), 0x1234_5678n]);
    system.write(AT.STACK - 8, SEL.TSS);
    state.setGpr(GPR.RSP, BigInt(AT.STACK - 8));
    expect(system.execute('popSegment', { reg0: SEGMENT.GS, width: 8 })).toEqual({ fault: GP, code: SEL.TSS });
    expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.STACK - 8));
  });
  it.each([
    ['lfs', SEGMENT.FS],
    ['lgs', SEGMENT.GS],
  ] as const)('%s loads the segment and the offset, or nothing', (name, segment) => {
    // prettier-ignore
    system.write(AT.DATA, 0x1111_2222_3333_4444n, SEL.BASED_DATA);
    expect(system.execute(name, { reg0: GPR.RDX, width: 8, ...MEMORY })).toEqual(NEXT);
    expect([system.gpr(GPR.RDX), segmentBase(state, segment)]).toEqual([0x1111_2222_3333_4444n, 0x1234_5678n]);
    system.write(AT.DATA, 0n, SEL.ABSENT_DATA);
    expect(system.execute(name, { reg0: GPR.RDX, width: 8, ...MEMORY })).toEqual({ fault: NP, code: SEL.ABSENT_DATA });
    expect(system.gpr(GPR.RDX)).toBe(0x1111_2222_3333_4444n);
  });
  it('LSS leaves no shadow', () => {
    system.write(AT.DATA, 0x4000n | (BigInt(SEL.KDATA) << 32n));
    expect(system.execute('lss', { reg0: GPR.RSP, width: 4, ...MEMORY })).toEqual({ outcome: 'end' });
    expect([system.gpr(GPR.RSP), state.shadow]).toEqual([0x4000n, 0]);
  });
});

describe('stores of selectors', () => {
  it.each([
    [8, 0x10n],
    [4, 0x10n],
    [2, 0x1111_1111_1111_0010n],
  ])('to a register of %i bytes', (width, expected) => {
    state.setGpr(GPR.RDX, 0x1111_1111_1111_1111n);
    system.execute('storeSegment', { reg0: GPR.RDX, reg1: SEGMENT.SS, width });
    expect(system.gpr(GPR.RDX)).toBe(expected);
  });
  it('to memory are 16 bits wide', () => {
    system.write(AT.DATA, -1n);
    system.execute('storeSegment', { reg0: SEGMENT.CS, width: 8, ...MEMORY });
    expect(system.read(AT.DATA)).toBe(0xffff_ffff_ffff_0008n);
  });
});

describe('LDTR and TR', () => {
  const table = (name: 'lldt' | 'ltr', selector: number): Ending => {
    state.setGpr(GPR.RAX, BigInt(selector));
    return system.execute(name, { reg0: GPR.RAX });
  };
  it('LLDT loads a 64-bit base', () => {
    system.write(AT.GDT + SEL.LDT + 8, 0xffff_8000n);
    expect(table('lldt', SEL.LDT)).toEqual(NEXT);
    const expected = { selector: SEL.LDT, base: 0xffff_8000_0000_7000n, limit: LDT_LIMIT, attributes: 0x82 };
    expect(readSegment(state, SEGMENT.LDTR)).toEqual(expected);
  });
  it('LTR marks the TSS busy, in memory and in TR', () => {
    expect(table('ltr', SEL.OTHER_TSS)).toEqual(NEXT);
    const expected = { selector: SEL.OTHER_TSS, base: BigInt(AT.TSS), limit: TSS_LIMIT, attributes: 0x8b };
    expect(readSegment(state, SEGMENT.TR)).toEqual(expected);
    expect((system.read(AT.GDT + SEL.OTHER_TSS) >> 40n) & 0xffn).toBe(0x8bn);
    expect(table('ltr', SEL.OTHER_TSS)).toEqual({ fault: GP, code: SEL.OTHER_TSS });
  });
  // prettier-ignore
  it.each<['lldt' | 'ltr', string, number, number, number]>([
    ['ltr', 'null', 0, GP, 0],
    ['ltr', 'in the LDT', SEL.LOCAL_DATA, GP, SEL.LOCAL_DATA],
    ['ltr', 'a busy TSS', SEL.BUSY_TSS, GP, SEL.BUSY_TSS],
    ['ltr', 'an LDT', SEL.LDT, GP, SEL.LDT],
    ['ltr', 'data', SEL.KDATA, GP, SEL.KDATA],
    ['ltr', 'beyond the GDT', SEL.BEYOND, GP, SEL.BEYOND],
    ['lldt', 'in the LDT', SEL.LOCAL_DATA, GP, SEL.LOCAL_DATA],
    ['lldt', 'a TSS', SEL.OTHER_TSS, GP, SEL.OTHER_TSS],
    ['lldt', 'code', SEL.KCODE, GP, SEL.KCODE],
  ])('%s raises: %s', (name, _, selector, fault, code) => {
    expect(table(name, selector)).toEqual({ fault, code });
  });
  it('an absent descriptor is #NP, a base that is not canonical #GP', () => {
    system.write(AT.GDT + SEL.LDT, descriptor(0x02, 0, AT.LDT, 15));
    expect(table('lldt', SEL.LDT)).toEqual({ fault: NP, code: SEL.LDT });
    system.write(AT.GDT + SEL.OTHER_TSS + 8, 0x8000n);
    expect(table('ltr', SEL.OTHER_TSS)).toEqual({ fault: GP, code: SEL.OTHER_TSS });
  });
  it('a descriptor that only half lies in the GDT is beyond it', () => {
    state.gdtrLimit = SEL.LDT + 14;
    expect(table('lldt', SEL.LDT)).toEqual({ fault: GP, code: SEL.LDT });
  });
});

describe('GDTR and IDTR', () => {
  it.each([
    ['lgdt', 'gdtrBase', 'gdtrLimit'],
    ['lidt', 'idtrBase', 'idtrLimit'],
  ] as const)('%s', (name, base, limit) => {
    // prettier-ignore
    system.write(AT.DATA, 0x8000_1234_5678_0fffn, 0xffff_ffff_ffff_ffffn);
    expect(system.execute(name, MEMORY)).toEqual(NEXT);
    expect([state[base], state[limit]]).toEqual([0xffff_8000_1234_5678n, 0xfff]);
    system.write(AT.DATA, NOT_CANONICAL << 16n, NOT_CANONICAL >> 48n);
    expect(system.execute(name, MEMORY)).toEqual(GP0);
    expect(state[base]).toBe(0xffff_8000_1234_5678n);
  });
  it.each([
    ['sgdt', AT.GDT, 0xff],
    ['sidt', AT.IDT, 0xfff],
  ] as const)('%s stores ten bytes', (name, base, limit) => {
    // prettier-ignore
    system.write(AT.DATA, -1n, -1n);
    expect(system.execute(name, MEMORY)).toEqual(NEXT);
    expect(system.read(AT.DATA)).toBe((BigInt(base) << 16n) | BigInt(limit));
    expect(system.read(AT.DATA + 8)).toBe(0xffff_ffff_ffff_0000n);
  });
});

describe('privilege', () => {
  beforeEach(() => void system.reset(3));
  it.each(['lgdt', 'lidt', 'lldt', 'ltr'] as const)('%s is #GP(0) in ring 3', (name) => {
    expect(system.execute(name, { reg0: 0, ...MEMORY })).toEqual(GP0);
  });
  it.each(['sgdt', 'sidt', 'sldt', 'str', 'smsw'] as const)('%s tells ring 3, unless CR4.UMIP is set', (name) => {
    expect(system.execute(name, { reg0: 0, ...MEMORY })).toEqual(NEXT);
    state.cr4 |= CR4.UMIP;
    expect(system.execute(name, { reg0: 0, ...MEMORY })).toEqual(GP0);
  });
});

describe('LAR, LSL, VERR, VERW', () => {
  const ask = (name: 'lar' | 'lsl' | 'verr' | 'verw', selector: number): bigint | null => {
    state.setGpr(GPR.RAX, BigInt(selector));
    state.setGpr(GPR.RDX, 0n);
    const single = name === 'verr' || name === 'verw';
    expect(system.execute(name, single ? { reg0: GPR.RAX } : { reg0: GPR.RDX, reg1: GPR.RAX, width: 4 })).toEqual(NEXT);
    return readRflags(state) & RFLAGS.ZF ? system.gpr(GPR.RDX) : null;
  };
  // prettier-ignore
  it.each<[string, 0 | 3, number, bigint | null, bigint | null, boolean, boolean]>([
    // LAR, LSL, VERR, VERW
    ['data of ring 0', 0, SEL.KDATA, 0xcf_9300n, 0xffff_ffffn,  true,  true],
    ['data of ring 0 from ring 3', 3, SEL.KDATA, null, null,        false, false],
    ['data with RPL above DPL', 0, SEL.KDATA | 3, null, null,       false, false],
    ['read-only data', 0, SEL.READ_ONLY, 0xcf_9100n, 0xffff_ffffn,  true,  false],
    ['code', 0, SEL.KCODE, 0xaf_9b00n, 0xffff_ffffn,  true,  false],
    ['execute-only code', 0, SEL.EXECUTE_ONLY, 0xaf_9900n, 0xffff_ffffn, false, false],
    ['conforming code from ring 3', 3, SEL.CONFORMING | 3, 0xaf_9e00n, 0xffff_ffffn, true, false],
    ['absent data', 0, SEL.ABSENT_DATA, 0xcf_1300n, 0xffff_ffffn,  true,  true],
    ['a TSS', 0, SEL.TSS, 0x8b00n,    0x67n,         false, false],
    ['an LDT', 0, SEL.LDT, 0x8200n,    0xfn,          false, false],
    ['a call gate', 0, SEL.GATE, 0xec00n,    null,          false, false],
    ['null', 0, 0, null,      null,          false, false],
    ['beyond the GDT', 0, SEL.BEYOND, null,      null,          false, false],
  ])('%s (CPL %i)', (_, cpl, selector, rights, limit, readable, writable) => {
    system.reset(cpl);
    expect(ask('lar', selector)).toBe(rights);
    expect(ask('lsl', selector)).toBe(limit);
    expect(ask('verr', selector) !== null).toBe(readable);
    expect(ask('verw', selector) !== null).toBe(writable);
  });
});

describe('bases of FS and GS', () => {
  it.each([
    ['rdfsbase', 'wrfsbase', SEGMENT.FS],
    ['rdgsbase', 'wrgsbase', SEGMENT.GS],
  ] as const)('%s and %s', (read, write, segment) => {
    // prettier-ignore
    expect(system.execute(read, { reg0: 0 })).toEqual(UNDEFINED);
    expect(system.execute(write, { reg0: 0 })).toEqual(UNDEFINED);
    state.cr4 |= CR4.FSGSBASE;
    state.setGpr(GPR.RAX, 0xffff_8765_4321_0000n);
    expect(system.execute(write, { reg0: GPR.RAX, width: 8 })).toEqual(NEXT);
    expect(system.execute(read, { reg0: GPR.RDX, width: 8 })).toEqual(NEXT);
    expect([segmentBase(state, segment), system.gpr(GPR.RDX)]).toEqual([
      0xffff_8765_4321_0000n,
      0xffff_8765_4321_0000n,
    ]);
    expect(system.execute(write, { reg0: GPR.RAX, width: 4 })).toEqual(NEXT);
    expect(segmentBase(state, segment)).toBe(0x4321_0000n);
    state.setGpr(GPR.RAX, NOT_CANONICAL);
    expect(system.execute(write, { reg0: GPR.RAX, width: 8 })).toEqual(GP0);
  });
});
