// Exceptions during the delivery of events: SDM vol. 3, tables 6-4 and 6-5, as a table and in action.

import { beforeEach, describe, expect, it } from 'vitest';
import { deliverFault } from '../../src/cpu/events/delivery.ts';
import { escalate, eventClass, exceptionClass, type ExceptionClass } from '../../src/cpu/events/doubleFault.ts';
import { raise } from '../../src/cpu/fault.ts';
import { EVENT_TYPE, interruption } from '../../src/cpu/events/interruption.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT, SEL, gate, handler } from './systemImage.ts';
import { TestSystem, type Ending } from './system.ts';

// prettier-ignore
const CLASSES: Record<ExceptionClass, number[]> = {
  'benign': [1, 2, 3, 4, 5, 6, 7, 9, 15, 16, 17, 18, 19, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31],
  'contributory': [0, 10, 11, 12, 13, 21],
  'page fault': [14],
  'double fault': [8],
};

it.each(Object.entries(CLASSES))('%s: vectors %j', (name, vectors) => {
  for (const vector of vectors) expect(exceptionClass(vector)).toBe(name);
});

// prettier-ignore
it.each<[ExceptionClass, ExceptionClass, string]>([
  ['benign', 'benign', 'serial'],       ['benign', 'contributory', 'serial'],       ['benign', 'page fault', 'serial'],
  ['contributory', 'benign', 'serial'], ['contributory', 'contributory', 'double'], ['contributory', 'page fault', 'serial'],
  ['page fault', 'benign', 'serial'],   ['page fault', 'contributory', 'double'],   ['page fault', 'page fault', 'double'],
  ['double fault', 'benign', 'serial'], ['double fault', 'contributory', 'triple'], ['double fault', 'page fault', 'triple'],
])('%s, then %s: %s', (first, second, expected) => {
  expect(escalate(first, second)).toBe(expected);
});

it('interrupts, NMIs and software interrupts are benign whatever their vector', () => {
  const { EXTERNAL, NMI, SOFT_INTERRUPT, SOFT_EXCEPTION, PRIVILEGED_SOFT_EXCEPTION, EXCEPTION } = EVENT_TYPE;
  for (const type of [EXTERNAL, NMI, SOFT_INTERRUPT, SOFT_EXCEPTION, PRIVILEGED_SOFT_EXCEPTION]) {
    expect(eventClass(interruption(type, VECTOR.GP))).toBe('benign');
  }
  expect(eventClass(interruption(EXCEPTION, VECTOR.GP, true))).toBe('contributory');
});

describe('in action', () => {
  const system = new TestSystem();
  const { cpu, state } = system;
  beforeEach(() => void system.reset());

  const raiseAndDeliver = (raiser: () => never): Ending => {
    expect(() => raiser()).toThrow();
    return system.attempt(() => deliverFault(cpu));
  };
  const breakGate = (vector: number): void => system.write(AT.IDT + 16 * vector, ...gate(0x0e, SEL.KCODE, 0n));
  /** A stack whose page is not mapped: every push faults. */
  const breakStack = (): void => state.setGpr(GPR.RSP, 0x4000_0000n);
  const withIst = (vector: number): void =>
    system.write(AT.IDT + 16 * vector, ...gate(0x8e, SEL.KCODE, BigInt(handler(vector)), 1));
  const vector = (): number => (Number(state.rip) - AT.HANDLERS) >> 4;
  const errorCode = (): bigint => system.read(system.gpr(GPR.RSP));

  it('#GP whose gate is absent is #DF with error code 0, at the instruction', () => {
    breakGate(VECTOR.GP);
    expect(raiseAndDeliver(() => raise.gp(0x10))).toEqual({ outcome: 'next' });
    expect(vector()).toBe(VECTOR.DF);
    expect([errorCode(), system.read(system.gpr(GPR.RSP) + 8n)]).toEqual([0n, BigInt(AT.CODE)]);
  });
  it('#UD whose gate is absent is #NP: a benign exception comes first', () => {
    breakGate(VECTOR.UD);
    raiseAndDeliver(() => raise.ud());
    expect([vector(), errorCode()]).toEqual([VECTOR.NP, BigInt(VECTOR.UD * 8 + 3)]);
  });
  it('#GP whose stack is not mapped is #PF on the stack of its own', () => {
    breakStack();
    withIst(VECTOR.PF);
    raiseAndDeliver(() => raise.gp(0));
    expect(vector()).toBe(VECTOR.PF);
    expect(state.cr2).toBe(0x4000_0000n - 8n);
  });
  it('#PF whose stack is not mapped is #DF, and CR2 tells the second address', () => {
    breakStack();
    withIst(VECTOR.DF);
    raiseAndDeliver(() => raise.pf(0x1234n, 0));
    expect(vector()).toBe(VECTOR.DF);
    expect(state.cr2).toBe(0x4000_0000n - 8n);
  });
  it('#UD, then #PF, then #PF is #DF', () => {
    breakStack();
    withIst(VECTOR.DF);
    raiseAndDeliver(() => raise.ud());
    expect(vector()).toBe(VECTOR.DF);
  });
  it('a fault in the delivery of #DF is a triple fault, which exits at the instruction', () => {
    breakStack();
    const rip = state.rip;
    expect(raiseAndDeliver(() => raise.ud())).toEqual({ exit: 'TRIPLE_FAULT' });
    expect(state.rip).toBe(rip);
    expect(system.gpr(GPR.RSP)).toBe(0x4000_0000n);
  });
  it('an IDT with limit 0 is a triple fault at the first exception', () => {
    state.idtrLimit = 0;
    expect(raiseAndDeliver(() => raise.ud())).toEqual({ exit: 'TRIPLE_FAULT' });
  });
  it('the second exception exits before it becomes a double fault, if it is intercepted', () => {
    breakGate(VECTOR.GP);
    cpu.controls.exceptionBitmap = 1 << VECTOR.NP;
    expect(raiseAndDeliver(() => raise.gp(0x10))).toEqual({ exit: 'EXCEPTION_NMI' });
    expect(cpu.exit()).toMatchObject({ vector: VECTOR.NP });
    expect(state.vectoringEvent).toBe(interruption(EVENT_TYPE.EXCEPTION, VECTOR.GP, true));
    expect(state.vectoringErrorCode).toBe(0x10);
  });
  it('the double fault itself may be intercepted', () => {
    breakGate(VECTOR.GP);
    cpu.controls.exceptionBitmap = 1 << VECTOR.DF;
    expect(raiseAndDeliver(() => raise.gp(0x10))).toEqual({ exit: 'EXCEPTION_NMI' });
    expect(cpu.exit()).toMatchObject({ vector: VECTOR.DF, errorCode: 0 });
  });
});
