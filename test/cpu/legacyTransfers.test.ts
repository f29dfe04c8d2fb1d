// Far transfers, returns and segment loads outside 64-bit mode, called directly: what stops by name, what a failure leaves alone,
// what the core needs to be told. What the manual says of the rest: test/system/{real,protected,gates32,compat}.s.

import { beforeEach, describe, expect, it } from 'vitest';
import { CODE } from '../../src/cpu/segments/codeMode.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { readSegment, segmentSelector, writeSegment } from '../../src/cpu/segments/segments.ts';
import { GPR, RFLAGS, SEGMENT, SEGMENT_ATTRIBUTE, SHADOW } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { GATE_TARGET, LegacySystem, PARAMETERS, SEL32, gate32 } from './legacySystem.ts';
import { AT } from './systemImage.ts';

const system = new LegacySystem();
const { state } = system;
const JUMPED = { outcome: 'jump' } as const;
const NEXT = { outcome: 'next' } as const;
const { GP, SS } = VECTOR;
const TASKS = { stopped: expect.stringContaining('task switches are not implemented') as string };
const far = (name: 'farJump' | 'farCall', selector: number, offset = 0n) =>
  system.execute(name, { immediate: offset, immediate2: selector, width: 4, length: 7 });
const push = (...words: readonly number[]): void => {
  const at = AT.STACK - 4 * words.length;
  words.forEach((word, i) => system.writeBytes(at + 4 * i, [word, word >> 8, word >> 16, word >> 24]));
  state.setGpr(GPR.RSP, BigInt(at));
};
const top = (): number => Number(system.gpr(GPR.RSP));

describe('protected mode', () => {
  beforeEach(() => void system.protectedMode());

  it.each(['farJump', 'farCall'] as const)('%s to a TSS or a task gate stops by name', (name) => {
    expect(far(name, SEL32.OTHER_TSS)).toMatchObject(TASKS);
    expect(far(name, SEL32.TASK_GATE)).toMatchObject(TASKS);
  });
  it.each<[string, number, number]>([
    ['that is busy', SEL32.BUSY_TSS, SEL32.BUSY_TSS],
    ['behind a gate that names a busy one', SEL32.TASK_GATE, SEL32.BUSY_TSS],
  ])('a TSS %s is #GP', (_, selector, code) => {
    system.write(AT.GDT + SEL32.TASK_GATE, gate32(0xe5, SEL32.BUSY_TSS, 0));
    expect(far('farJump', selector)).toEqual({ fault: GP, code });
  });

  it('IRET under NT stops by name, and so does one to virtual-8086 mode; not in ring 3', () => {
    writeRflags(state, RFLAGS.FIXED | RFLAGS.NT);
    expect(system.execute('iret', { width: 4 })).toMatchObject(TASKS);
    writeRflags(state, RFLAGS.FIXED);
    push(0x1000, 0, RFLAGS.VM | 2);
    const stopped = expect.stringContaining('virtual-8086 mode') as string;
    expect(system.execute('iret', { width: 4 })).toMatchObject({ stopped });
    system.protectedMode(3);
    push(0x1000, SEL32.USER_CODE | 3, RFLAGS.VM | 2);
    expect(system.execute('iret', { width: 4 })).toEqual(JUMPED);
    expect(readRflags(state)).toBe(RFLAGS.FIXED);
  });

  it('a call gate copies parameters and loads the stack of ring 0', () => {
    system.protectedMode(3);
    push(0x1111, 0x2222);
    expect(far('farCall', SEL32.CALL_GATE)).toEqual(JUMPED);
    expect([state.rip, state.cpl, top()]).toEqual([BigInt(GATE_TARGET), 0, AT.RSP0 - 4 * (4 + PARAMETERS)]);
    const saved = [AT.CODE + 7, SEL32.USER_CODE | 3, 0x1111, 0x2222, AT.STACK - 8, SEL32.USER_DATA | 3];
    expect(system.words(top(), 6)).toEqual(saved);
  });
  it('one of 16 bits copies words of 16 bits', () => {
    system.protectedMode(3);
    push(0x2222_1111);
    expect(far('farCall', SEL32.CALL_GATE16)).toEqual(JUMPED);
    const saved = [AT.CODE + 7, SEL32.USER_CODE | 3, 0x1111, 0x2222, AT.STACK - 4, SEL32.USER_DATA | 3];
    expect(system.halves(top(), 6)).toEqual(saved);
  });
  it('a call gate whose stack is not there has changed nothing', () => {
    system.protectedMode(3);
    push(0x1111, 0x2222);
    system.write(AT.GDT + SEL32.STACK16, 0x0000_9300_0000_0004n);
    system.write(AT.TSS + 4, BigInt(0x10) | (BigInt(SEL32.STACK16) << 32n));
    const memory = system.memory();
    expect(far('farCall', SEL32.CALL_GATE)).toEqual({ fault: SS, code: SEL32.STACK16 });
    expect([state.rip, state.cpl, top()]).toEqual([BigInt(AT.CODE), 3, AT.STACK - 8]);
    expect(Buffer.compare(system.memory(), memory)).toBe(0);
  });

  it('a direct transfer beyond the limit of its code has changed nothing', () => {
    expect(far('farCall', SEL32.SHORT_CODE, 0x1000n)).toEqual({ fault: GP, code: 0 });
    expect([top(), segmentSelector(state, SEGMENT.CS)]).toEqual([AT.STACK, SEL32.CODE]);
    expect(far('farCall', SEL32.SHORT_CODE, 0xfffn)).toEqual(JUMPED);
    expect(system.words(top(), 2)).toEqual([AT.CODE + 7, SEL32.CODE]);
  });

  it('a return to ring 3 takes away segments, and releases bytes of both stacks', () => {
    push(AT.CODE, SEL32.USER_CODE | 3, 0, AT.STACK, SEL32.USER_DATA | 3);
    const insn = { width: 4, hasImmediate: true, immediate: 4n, immediateNumber: 4 };
    expect(system.execute('farReturn', insn)).toEqual(JUMPED);
    expect([state.cpl, top()]).toEqual([3, AT.STACK + 4]);
    expect(readSegment(state, SEGMENT.DS)).toMatchObject({ selector: 0 });
    expect(readSegment(state, SEGMENT.DS).attributes & SEGMENT_ATTRIBUTE.UNUSABLE).not.toBe(0);
  });

  it('a load that makes segments felt ends the block, others go on', () => {
    expect(state.mode).toBe(CODE.FLAT32);
    state.setGpr(GPR.RAX, BigInt(SEL32.USER_DATA));
    expect(system.execute('loadSegment', { reg0: SEGMENT.ES, reg1: GPR.RAX })).toEqual(NEXT);
    state.setGpr(GPR.RAX, BigInt(SEL32.STACK16));
    expect(system.execute('loadSegment', { reg0: SEGMENT.ES, reg1: GPR.RAX })).toEqual({ outcome: 'end' });
    expect(state.mode).toBe(CODE.SEGMENTED32);
  });
  it('POP SS pops from the old stack, and casts a shadow', () => {
    push(SEL32.STACK16);
    expect(system.execute('popSegment', { reg0: SEGMENT.SS, width: 4 })).toEqual({ outcome: 'end' });
    expect([top(), segmentSelector(state, SEGMENT.SS), state.shadow]).toEqual([AT.STACK, SEL32.STACK16, SHADOW.MOV_SS]);
  });
  it('LES that faults loads neither register', () => {
    system.write(AT.DATA, 0x1234_5678n | (BigInt(SEL32.TSS) << 32n));
    state.setGpr(GPR.RBX, 1n);
    const memory = { isMemory: true, offset: BigInt(AT.DATA), segment: SEGMENT.DS };
    expect(system.execute('les', { reg0: GPR.RBX, width: 4, ...memory })).toEqual({ fault: GP, code: SEL32.TSS });
    expect([system.gpr(GPR.RBX), segmentSelector(state, SEGMENT.ES)]).toEqual([1n, SEL32.DATA]);
  });
  it('POPA and PUSHA that do not fit change nothing', () => {
    writeSegment(state, SEGMENT.SS, { ...readSegment(state, SEGMENT.SS), limit: AT.STACK + 0x1e });
    expect(system.execute('popa', { width: 4 })).toEqual({ fault: SS, code: 0 });
    state.setGpr(GPR.RSP, 0x1cn);
    expect(system.execute('pusha', { width: 4 })).toEqual({ fault: SS, code: 0 });
    expect(top()).toBe(0x1c);
  });
});

describe('real mode', () => {
  beforeEach(() => void system.realMode());

  it('a load of CS or another segment moves the base alone', () => {
    writeSegment(state, SEGMENT.ES, { selector: 0, base: 0n, limit: 0xffff_ffff, attributes: 0xc093 });
    state.setGpr(GPR.RAX, 0xf00dn);
    expect(system.execute('loadSegment', { reg0: SEGMENT.ES, reg1: GPR.RAX })).toEqual(NEXT);
    const unreal = { selector: 0xf00d, base: 0xf_00d0n, limit: 0xffff_ffff, attributes: 0xc093 };
    expect(readSegment(state, SEGMENT.ES)).toEqual(unreal);
    expect(far('farJump', 0x1234, 0x5678n)).toEqual(JUMPED);
    expect(readSegment(state, SEGMENT.CS)).toMatchObject({ selector: 0x1234, base: 0x1_2340n, limit: 0xffff });
    expect([state.rip, state.cpl]).toEqual([0x5678n, 0]);
  });
  it('a segment that was null in protected mode is data again', () => {
    const { UNUSABLE } = SEGMENT_ATTRIBUTE;
    writeSegment(state, SEGMENT.ES, { selector: 0, base: 0n, limit: 0xffff, attributes: UNUSABLE });
    state.setGpr(GPR.RAX, 0x1000n);
    system.execute('loadSegment', { reg0: SEGMENT.ES, reg1: GPR.RAX });
    expect(readSegment(state, SEGMENT.ES).attributes).toBe(0x93);
  });
  it('a far call beyond the limit of CS pushes nothing', () => {
    expect(far('farCall', 0, 0x1_0000n)).toEqual({ fault: GP, code: 0 });
    expect([top(), state.rip]).toEqual([AT.STACK, BigInt(AT.CODE)]);
  });
  it('IRET leaves VIF and VIP alone, and unblocks NMIs', () => {
    state.nmiBlocked = 1;
    writeRflags(state, RFLAGS.FIXED | RFLAGS.VIP);
    push(0x1000, 0, RFLAGS.VIF | RFLAGS.VM | RFLAGS.ID | 2);
    expect(system.execute('iret', { width: 4 })).toEqual(JUMPED);
    expect([readRflags(state), state.nmiBlocked]).toEqual([RFLAGS.FIXED | RFLAGS.VIP | RFLAGS.ID, 0]);
  });
});
