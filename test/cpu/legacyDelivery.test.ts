// Event delivery outside long mode: through the IDT of protected mode and the vector table of real mode; what is left behind when
// it fails (SDM vol. 3, 6.12 to 6.15 and 20.1.4).

import { beforeEach, describe, expect, it } from 'vitest';
import { deliverEntryEvent, deliverFault, deliverSoftwareEvent } from '../../src/cpu/events/delivery.ts';
import { raise } from '../../src/cpu/fault.ts';
import { EVENT_TYPE, hasErrorCode, interruption, vectorOf, type EventType } from '../../src/cpu/events/interruption.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import { readSegment, segmentBase, segmentSelector, writeSegment } from '../../src/cpu/segments/segments.ts';
import { GPR, RFLAGS, SEGMENT } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { LegacySystem, SEL32, gate32 } from './legacySystem.ts';
import type { Ending } from './system.ts';
import { AT, handler } from './systemImage.ts';

const system = new LegacySystem();
const { cpu, state } = system;
const EXTERNAL = 0x40;
const DELIVERED = { outcome: 'next' } as const;

const inject = (type: EventType, vector: number): Ending => {
  state.entryEvent = interruption(type, vector);
  return system.attempt(() => void deliverEntryEvent(cpu));
};
const interrupt = (): Ending => inject(EVENT_TYPE.EXTERNAL, EXTERNAL);
const raiseAndDeliver = (raiser: () => never): Ending => {
  expect(() => raiser()).toThrow();
  return system.attempt(() => deliverFault(cpu));
};
const handled = (): number => (Number(state.rip) - AT.HANDLERS) >> 4;
const top = (): number => Number(system.gpr(GPR.RSP));

describe('protected mode', () => {
  beforeEach(() => void system.protectedMode());

  it('pushes EFLAGS, CS and EIP, and the error code of an exception', () => {
    writeRflags(state, RFLAGS.FIXED | RFLAGS.IF);
    expect(raiseAndDeliver(() => raise.gp(0x28))).toEqual(DELIVERED);
    expect(handled()).toBe(VECTOR.GP);
    expect(top()).toBe(AT.STACK - 16);
    expect(system.words(top(), 4)).toEqual([0x28, AT.CODE, SEL32.CODE, RFLAGS.FIXED | RFLAGS.IF | RFLAGS.RF]);
    expect(readRflags(state)).toBe(RFLAGS.FIXED);
  });

  it('goes to SS0:ESP0 from ring 3, and to a 16-bit stack from a 16-bit TSS', () => {
    system.protectedMode(3);
    expect(interrupt()).toEqual(DELIVERED);
    expect(system.words(top(), 5)).toEqual([AT.CODE, SEL32.USER_CODE | 3, 2, AT.STACK, SEL32.USER_DATA | 3]);
    expect([top(), state.cpl, segmentSelector(state, SEGMENT.SS)]).toEqual([AT.RSP0 - 20, 0, SEL32.DATA]);

    system.protectedMode(3);
    system.write(AT.TSS + 2, BigInt(0xf000) | (BigInt(SEL32.STACK16) << 16n));
    writeSegment(state, SEGMENT.TR, { ...readSegment(state, SEGMENT.TR), limit: 0x2b, attributes: 0x83 });
    expect(interrupt()).toEqual(DELIVERED);
    expect([top(), segmentSelector(state, SEGMENT.SS)]).toEqual([0xf000 - 20, SEL32.STACK16]);
  });

  it('pushes words of 16 bits through a 16-bit gate', () => {
    system.write(AT.IDT + 8 * EXTERNAL, gate32(0x86, SEL32.CODE, 0xffff_0000 | handler(EXTERNAL)));
    expect(interrupt()).toEqual(DELIVERED);
    expect([handled(), top()]).toEqual([EXTERNAL, AT.STACK - 6]);
    expect(system.halves(top(), 3)).toEqual([AT.CODE, SEL32.CODE, 2]);
  });

  it('stops by name at a task gate, after its checks', () => {
    system.write(AT.IDT + 8 * EXTERNAL, gate32(0x85, SEL32.OTHER_TSS, 0));
    expect(interrupt()).toMatchObject({ stopped: expect.stringContaining('task switches') as string });
    system.write(AT.IDT + 8 * EXTERNAL, gate32(0x85, SEL32.BUSY_TSS, 0));
    expect(interrupt()).toEqual(DELIVERED);
    expect([handled(), system.words(top(), 1)[0]]).toEqual([VECTOR.GP, SEL32.BUSY_TSS | 1]);
  });

  it('raises what its stack raises in its place: #TS with EXT, unless a program asked', () => {
    system.protectedMode(3);
    system.write(AT.IDT + 8 * VECTOR.TS, gate32(0x8e, SEL32.CONFORMING, handler(VECTOR.TS)));
    system.write(AT.TSS + 4, BigInt(AT.RSP0) | (BigInt(SEL32.USER_DATA) << 32n));
    expect(interrupt()).toEqual(DELIVERED);
    expect([handled(), system.words(top(), 1)[0], state.cpl]).toEqual([VECTOR.TS, SEL32.USER_DATA | 1, 3]);
    state.setGpr(GPR.RSP, BigInt(AT.STACK));
    system.attempt(() => deliverSoftwareEvent(cpu, EVENT_TYPE.SOFT_INTERRUPT, EXTERNAL, 2));
    expect([handled(), system.words(top(), 1)[0]]).toEqual([VECTOR.TS, SEL32.USER_DATA]);
  });

  it('that leaves for a page of the stack has changed nothing, and tells the event', () => {
    system.protectedMode(3);
    system.unmap(AT.RSP0 - 0x1000);
    const before = system.memory();
    expect(interrupt()).toEqual({ exit: 'EPT_VIOLATION' });
    expect(vectorOf(state.vectoringEvent)).toBe(EXTERNAL);
    expect([state.rip, state.cpl, top()]).toEqual([BigInt(AT.CODE), 3, AT.STACK]);
    expect(Buffer.compare(system.memory(), before)).toBe(0);
  });

  it('shuts down when no handler of a double fault is there', () => {
    state.idtrLimit = 0;
    expect(interrupt()).toEqual({ exit: 'TRIPLE_FAULT' });
  });
});

describe('real mode', () => {
  beforeEach(() => void system.realMode());

  it('pushes FLAGS, CS and IP, clears IF, TF and AC, and loads CS:IP', () => {
    writeRflags(state, RFLAGS.FIXED | RFLAGS.IF | RFLAGS.AC | RFLAGS.CF);
    system.write(AT.IDT + 4 * EXTERNAL, 0x1234_5678n);
    expect(interrupt()).toEqual(DELIVERED);
    expect(system.halves(top(), 3)).toEqual([AT.CODE, 0, 0x203]);
    expect([state.rip, segmentBase(state, SEGMENT.CS), top()]).toEqual([0x5678n, 0x1_2340n, AT.STACK - 6]);
    expect(readRflags(state)).toBe(RFLAGS.FIXED | RFLAGS.CF);
  });

  it('knows no error codes', () => {
    cpu.controls.exceptionBitmap = 1 << VECTOR.GP;
    expect(raiseAndDeliver(() => raise.gp(0))).toEqual({ exit: 'EXCEPTION_NMI' });
    expect(hasErrorCode(state.exitInfo)).toBe(false);
    cpu.controls.exceptionBitmap = 0;
    expect(raiseAndDeliver(() => raise.gp(0))).toEqual(DELIVERED);
    expect([handled(), top()]).toEqual([VECTOR.GP, AT.STACK - 6]);
  });

  it('raises #GP for a vector beyond the table, then a double fault, then shuts down', () => {
    state.idtrLimit = 4 * EXTERNAL + 2;
    expect(interrupt()).toEqual(DELIVERED);
    expect(handled()).toBe(VECTOR.GP);
    system.realMode();
    state.idtrLimit = 4 * VECTOR.DF + 3;
    expect(interrupt()).toEqual(DELIVERED);
    expect(handled()).toBe(VECTOR.DF);
    state.idtrLimit = 3;
    expect(interrupt()).toEqual({ exit: 'TRIPLE_FAULT' });
  });

  it('wraps SP within 64 KiB, and raises #SS where a word does not fit', () => {
    state.setGpr(GPR.RSP, 0x1234_0002n);
    expect(interrupt()).toEqual(DELIVERED);
    expect(system.gpr(GPR.RSP)).toBe(0x1234_fffcn);
    system.realMode();
    state.setGpr(GPR.RSP, 1n);
    expect(interrupt()).toEqual({ exit: 'TRIPLE_FAULT' });
  });

  it('an NMI blocks others', () => {
    expect(inject(EVENT_TYPE.NMI, VECTOR.NMI)).toEqual(DELIVERED);
    expect([handled(), state.nmiBlocked]).toEqual([VECTOR.NMI, 1]);
  });
});
