// Event delivery through the 64-bit IDT: gates, stacks, frames, flags, and what is left behind when it fails.

import { beforeEach, describe, expect, it } from 'vitest';
import {
  deliverDebugTrap,
  deliverEntryEvent,
  deliverFault,
  deliverSoftwareEvent,
} from '../../src/cpu/events/delivery.ts';
import { guestFault, raise } from '../../src/cpu/fault.ts';
import { EVENT_TYPE, interruption, type EventType } from '../../src/cpu/events/interruption.ts';
import { readRflags, writeRflags } from '../../src/cpu/rflags.ts';
import {
  readSegment,
  segmentLimit,
  segmentSelector,
  setSegmentBase,
  writeSegment,
} from '../../src/cpu/segments/segments.ts';
import { ACTIVITY, DR6, GPR, RFLAGS, SEGMENT, SHADOW } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT, SEL, TSS_LIMIT, gate, handler } from './systemImage.ts';
import { TestSystem, type Ending } from './system.ts';

const system = new TestSystem();
const { cpu, state } = system;
const EXTERNAL = 0x40;

beforeEach(() => void system.reset());

/** Injects an event and enters. */
const inject = (type: EventType, vector: number, errorCode: number | null = null, length = 0): Ending => {
  state.entryEvent = interruption(type, vector, errorCode !== null);
  state.entryErrorCode = errorCode ?? 0;
  state.entryLength = length;
  return system.attempt(() => void deliverEntryEvent(cpu));
};
const interrupt = (): Ending => inject(EVENT_TYPE.EXTERNAL, EXTERNAL);
/** Raises an exception at RIP and delivers it. */
const raiseAndDeliver = (raiser: () => never): Ending => {
  expect(() => raiser()).toThrow();
  return system.attempt(() => deliverFault(cpu));
};
const setGate = (
  vector: number,
  access: number,
  selector: number = SEL.KCODE,
  offset = BigInt(handler(vector)),
  ist = 0,
): void => system.write(AT.IDT + 16 * vector, ...gate(access, selector, offset, ist));
/** Words of the frame from RSP up. */
const frame = (words: number): bigint[] =>
  Array.from({ length: words }, (_, i) => system.read(system.gpr(GPR.RSP) + BigInt(8 * i)));
const DELIVERED = { outcome: 'next' } as const;

/** The vector whose handler runs, and the error code on its stack. */
const handled = (): { vector: number; code: bigint } => ({
  vector: (Number(state.rip) - AT.HANDLERS) >> 4,
  code: frame(1)[0]!,
});

describe('the frame', () => {
  it('is RIP, CS, RFLAGS, RSP, SS on the current stack, aligned to 16 bytes, when privilege does not change', () => {
    writeRflags(state, RFLAGS.FIXED | RFLAGS.IF | RFLAGS.CF | RFLAGS.AC);
    state.setGpr(GPR.RSP, BigInt(AT.STACK - 5));
    expect(interrupt()).toEqual(DELIVERED);
    expect(state.rip).toBe(BigInt(handler(EXTERNAL)));
    expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.STACK - 16 - 40));
    expect(frame(5)).toEqual([BigInt(AT.CODE), 0x08n, 0x4_0203n, BigInt(AT.STACK - 5), 0x10n]);
    expect(segmentSelector(state, SEGMENT.SS)).toBe(SEL.KDATA);
  });

  it('has the error code below RIP for exceptions that push one', () => {
    expect(raiseAndDeliver(() => raise.gp(0x28))).toEqual(DELIVERED);
    expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.STACK - 48));
    expect(frame(6)).toEqual([0x28n, BigInt(AT.CODE), 0x08n, 0x1_0002n, BigInt(AT.STACK), 0x10n]);
  });

  it.each([
    [0, AT.RSP0, SEL.KCODE],
    [1, AT.RSP1, SEL.CODE1],
  ])('goes to the stack of ring %i in the TSS when a program in ring 3 is interrupted', (cpl, top, selector) => {
    system.reset(3);
    writeRflags(state, RFLAGS.FIXED | RFLAGS.IF);
    setGate(EXTERNAL, 0x8e, selector);
    expect(interrupt()).toEqual(DELIVERED);
    expect(state.cpl).toBe(cpl);
    expect(system.gpr(GPR.RSP)).toBe(BigInt(top - 40));
    expect(frame(5)).toEqual([BigInt(AT.CODE), BigInt(SEL.UCODE | 3), 0x202n, BigInt(AT.STACK), BigInt(SEL.UDATA | 3)]);
    expect(segmentSelector(state, SEGMENT.CS)).toBe(selector | cpl);
    expect(segmentSelector(state, SEGMENT.SS)).toBe(cpl);
  });

  it('goes to the IST stack if the gate names one, even without a change of privilege', () => {
    setGate(EXTERNAL, 0x8e, SEL.KCODE, BigInt(handler(EXTERNAL)), 1);
    expect(interrupt()).toEqual(DELIVERED);
    expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.IST1 - 40));
    expect(frame(5)[3]).toBe(BigInt(AT.STACK));
    expect(segmentSelector(state, SEGMENT.SS)).toBe(SEL.KDATA);
  });

  it('aligns the stacks that the TSS names too', () => {
    system.reset(3);
    system.write(AT.TSS + 4, AT.RSP0 - 1);
    expect(interrupt()).toEqual(DELIVERED);
    expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.RSP0 - 16 - 40));
  });

  it('stays on the current stack for a conforming handler, which keeps the CPL', () => {
    system.reset(3);
    setGate(EXTERNAL, 0x8e, SEL.CONFORMING);
    expect(interrupt()).toEqual(DELIVERED);
    expect(state.cpl).toBe(3);
    expect(system.gpr(GPR.RSP)).toBe(BigInt(AT.STACK - 40));
    expect(segmentSelector(state, SEGMENT.CS)).toBe(SEL.CONFORMING | 3);
  });
});

describe('flags', () => {
  const before = RFLAGS.FIXED | RFLAGS.IF | RFLAGS.TF | RFLAGS.NT | RFLAGS.RF | RFLAGS.DF | RFLAGS.AC;
  it('lose TF, NT and RF, and IF too through an interrupt gate', () => {
    writeRflags(state, before);
    interrupt();
    expect(readRflags(state)).toBe(RFLAGS.FIXED | RFLAGS.DF | RFLAGS.AC);
  });
  it('keep IF through a trap gate', () => {
    writeRflags(state, before);
    setGate(EXTERNAL, 0x8f);
    interrupt();
    expect(readRflags(state)).toBe(RFLAGS.FIXED | RFLAGS.DF | RFLAGS.AC | RFLAGS.IF);
  });
  it.each([
    ['a fault', (): Ending => raiseAndDeliver(() => raise.ud()), true],
    ['a debug exception of MOV DR', (): Ending => raiseAndDeliver(() => raise.db(DR6.BD)), true],
    ['an interrupt', interrupt, false],
    ['a debug trap', (): Ending => system.attempt(() => deliverDebugTrap(cpu)), false],
    ['an instruction breakpoint', (): Ending => raiseAndDeliver(() => raise.db(DR6.B0)), false],
    [
      'INT n',
      (): Ending => system.attempt(() => deliverSoftwareEvent(cpu, EVENT_TYPE.SOFT_INTERRUPT, EXTERNAL, 2)),
      false,
    ],
    ['a double fault', (): Ending => inject(EVENT_TYPE.EXCEPTION, VECTOR.DF, 0), false],
  ])('saved by %s: RF', (_, deliver, expected) => {
    expect(deliver()).toEqual(DELIVERED);
    const words = state.rip === BigInt(handler(VECTOR.DF)) ? 6 : 5;
    expect((frame(words)[words - 3]! & BigInt(RFLAGS.RF)) !== 0n).toBe(expected);
  });
});

describe('software interrupts', () => {
  const soft = (type: EventType, vector: number): Ending =>
    system.attempt(() => deliverSoftwareEvent(cpu, type, vector, 2));

  it('return behind the instruction', () => {
    expect(soft(EVENT_TYPE.SOFT_INTERRUPT, EXTERNAL)).toEqual(DELIVERED);
    expect(frame(1)[0]).toBe(BigInt(AT.CODE + 2));
  });
  it.each([
    ['INT n', EVENT_TYPE.SOFT_INTERRUPT, 0x20, 0x20 * 8 + 2],
    ['INT3', EVENT_TYPE.SOFT_EXCEPTION, VECTOR.BP, VECTOR.BP * 8 + 2],
    ['INTO', EVENT_TYPE.SOFT_EXCEPTION, VECTOR.OF, VECTOR.OF * 8 + 2],
  ])(
    '%s through a gate more privileged than the program is #GP with the IDT bit and no EXT, at the instruction',
    (_, type, vector, code) => {
      system.reset(3);
      setGate(vector, 0x8e);
      expect(soft(type, vector)).toEqual(DELIVERED);
      expect(handled()).toEqual({ vector: VECTOR.GP, code: BigInt(code) });
      expect(frame(2)[1]).toBe(BigInt(AT.CODE));
    },
  );
  it('INT1 asks for no gate privilege', () => {
    system.reset(3);
    expect(soft(EVENT_TYPE.PRIVILEGED_SOFT_EXCEPTION, VECTOR.DB)).toEqual(DELIVERED);
    expect(state.rip).toBe(BigInt(handler(VECTOR.DB)));
  });
  it('interrupts and exceptions ask for no gate privilege', () => {
    system.reset(3);
    setGate(EXTERNAL, 0x8e);
    expect(interrupt()).toEqual(DELIVERED);
    expect(state.rip).toBe(BigInt(handler(EXTERNAL)));
  });
  it('INT 13 pushes no error code, and a fault in its delivery is no double fault', () => {
    expect(soft(EVENT_TYPE.SOFT_INTERRUPT, VECTOR.GP)).toEqual(DELIVERED);
    expect(frame(1)[0]).toBe(BigInt(AT.CODE + 2));
    system.reset();
    setGate(VECTOR.GP, 0x0e);
    expect(soft(EVENT_TYPE.SOFT_INTERRUPT, VECTOR.GP)).toEqual(DELIVERED);
    expect(handled()).toEqual({ vector: VECTOR.NP, code: BigInt(VECTOR.GP * 8 + 2) });
  });
});

describe('a bad gate', () => {
  const GATE_ERROR = EXTERNAL * 8 + 2 + 1;
  // prettier-ignore
  it.each<[string, () => void, number, number]>([
    ['beyond the IDT limit', () => (state.idtrLimit = 16 * EXTERNAL + 14), VECTOR.GP, GATE_ERROR],
    ['a 16-bit interrupt gate', () => setGate(EXTERNAL, 0x86), VECTOR.GP, GATE_ERROR],
    ['a task gate', () => setGate(EXTERNAL, 0x85), VECTOR.GP, GATE_ERROR],
    ['a call gate', () => setGate(EXTERNAL, 0x8c), VECTOR.GP, GATE_ERROR],
    ['a code descriptor', () => setGate(EXTERNAL, 0x9e), VECTOR.GP, GATE_ERROR],
    ['not present', () => setGate(EXTERNAL, 0x0e), VECTOR.NP, GATE_ERROR],
    ['of the wrong type and not present', () => setGate(EXTERNAL, 0x0c), VECTOR.GP, GATE_ERROR],
    ['with a null selector', () => setGate(EXTERNAL, 0x8e, 3), VECTOR.GP, 1],
    ['with a selector beyond the GDT', () => setGate(EXTERNAL, 0x8e, SEL.BEYOND | 3), VECTOR.GP, SEL.BEYOND | 1],
    ['with a selector beyond the LDT', () => setGate(EXTERNAL, 0x8e, SEL.BEYOND_LDT), VECTOR.GP, SEL.BEYOND_LDT | 1],
    ['to a data segment', () => setGate(EXTERNAL, 0x8e, SEL.KDATA), VECTOR.GP, SEL.KDATA | 1],
    ['to a system segment', () => setGate(EXTERNAL, 0x8e, SEL.TSS), VECTOR.GP, SEL.TSS | 1],
    ['to less privileged code', () => setGate(EXTERNAL, 0x8e, SEL.UCODE), VECTOR.GP, SEL.UCODE | 1],
    ['to 32-bit code', () => setGate(EXTERNAL, 0x8e, SEL.CODE32), VECTOR.GP, SEL.CODE32 | 1],
    ['to code with both L and D', () => setGate(EXTERNAL, 0x8e, SEL.LONG_AND_32), VECTOR.GP, SEL.LONG_AND_32 | 1],
    ['to code that is not present', () => setGate(EXTERNAL, 0x8e, SEL.ABSENT_CODE), VECTOR.NP, SEL.ABSENT_CODE | 1],
    ['to an address that is not canonical', () => setGate(EXTERNAL, 0x8e, SEL.KCODE, 0x8000_0000_0000n), VECTOR.GP, 1],
    ['with an IST stack beyond the TSS', () => {
      setGate(EXTERNAL, 0x8e, SEL.KCODE, 0n, 1);
      writeSegment(state, SEGMENT.TR, { ...readSegment(state, SEGMENT.TR), limit: 42 });
    }, VECTOR.TS, SEL.TSS | 1],
    ['with an IST stack that is not canonical', () => {
      setGate(EXTERNAL, 0x8e, SEL.KCODE, 0n, 1);
      system.write(AT.TSS + 36, 0x8000_0000_0010n);
    }, VECTOR.SS, 1],
    ['with a stack that leaves canonical addresses downwards', () => state.setGpr(GPR.RSP, 0xffff_8000_0000_0010n), VECTOR.SS, 1],
  ])('%s', (_, arrange, vector, code) => {
    arrange();
    // The fault's own delivery needs a stack: IST2, unless the TSS is cut short.
    system.write(AT.TSS + 44, AT.RSP2);
    if (segmentLimit(state, SEGMENT.TR) === TSS_LIMIT) setGate(vector, 0x8e, SEL.KCODE, BigInt(handler(vector)), 2);
    expect(interrupt()).toEqual(DELIVERED);
    expect(handled()).toEqual({ vector, code: BigInt(code) });
    expect(frame(2)[1]).toBe(BigInt(AT.CODE));
  });
});

describe('side effects', () => {
  it('#PF loads CR2 when it is raised, not when it is injected', () => {
    raiseAndDeliver(() => raise.pf(0x1234_5678n, 2));
    expect(state.cr2).toBe(0x1234_5678n);
    system.reset();
    inject(EVENT_TYPE.EXCEPTION, VECTOR.PF, 2);
    expect(state.cr2).toBe(0n);
  });
  it('#DB tells its causes in DR6 and clears DR7.GD', () => {
    const dr = (n: number): bigint => state.views.u64[state.at('dr', n) >> 3]!;
    state.views.u64[state.at('dr', 6) >> 3] = 0xffff_0ff0n | DR6.B1 | DR6.BD;
    state.views.u64[state.at('dr', 7) >> 3] = 0x2400n;
    state.pendingDb = Number(DR6.BS | DR6.B3);
    system.attempt(() => deliverDebugTrap(cpu));
    expect(dr(6)).toBe(0xffff_0ff0n | DR6.BD | DR6.BS | DR6.B3);
    expect(dr(7)).toBe(0x400n);
    expect(state.pendingDb).toBe(0);
  });
  it('an NMI blocks NMIs, other events do not', () => {
    interrupt();
    expect(state.nmiBlocked).toBe(0);
    inject(EVENT_TYPE.NMI, VECTOR.NMI);
    expect(state.nmiBlocked).toBe(1);
  });
  it('an NMI whose delivery faults blocks NMIs all the same', () => {
    setGate(VECTOR.NMI, 0x0e);
    expect(inject(EVENT_TYPE.NMI, VECTOR.NMI)).toEqual(DELIVERED);
    expect(handled()).toEqual({ vector: VECTOR.NP, code: BigInt(VECTOR.NMI * 8 + 3) });
    expect(state.nmiBlocked).toBe(1);
  });
  it('delivery ends interrupt shadows and wakes a halted CPU', () => {
    state.shadow = SHADOW.STI | SHADOW.MOV_SS;
    state.activity = ACTIVITY.HALTED;
    interrupt();
    expect([state.shadow, state.activity]).toEqual([0, ACTIVITY.ACTIVE]);
  });
  it('sets the accessed bit of the handler’s code segment', () => {
    setGate(EXTERNAL, 0x8e, SEL.CONFORMING);
    interrupt();
    expect((system.read(AT.GDT + SEL.CONFORMING) >> 40n) & 1n).toBe(1n);
    expect(readSegment(state, SEGMENT.CS).attributes & 1).toBe(1);
  });
  it('an injected software event returns behind its instruction', () => {
    inject(EVENT_TYPE.SOFT_INTERRUPT, EXTERNAL, null, 2);
    expect(frame(1)[0]).toBe(BigInt(AT.CODE + 2));
  });
  it('does nothing without an event', () => {
    state.entryEvent = 0;
    expect(deliverEntryEvent(cpu)).toBe(false);
    expect(state.rip).toBe(BigInt(AT.CODE));
  });
});

describe('a delivery that exits', () => {
  it('leaves no trace but the vectoring event, and succeeds when it is injected again', () => {
    writeRflags(state, RFLAGS.FIXED | RFLAGS.IF | RFLAGS.TF);
    setSegmentBase(state, SEGMENT.FS, 7n);
    const page = AT.STACK - 0x1000;
    state.setGpr(GPR.RSP, BigInt(page + 0x10)); // the frame crosses into the page below
    system.unmap(page - 0x1000);
    const memory = system.memory();
    const rip = state.rip;
    expect(raiseAndDeliver(() => raise.gp(0x18))).toEqual({ exit: 'EPT_VIOLATION' });
    expect(state.vectoringEvent).toBe(interruption(EVENT_TYPE.EXCEPTION, VECTOR.GP, true));
    expect(state.vectoringErrorCode).toBe(0x18);
    expect(state.exitLength).toBe(0);
    expect(state.rip).toBe(rip);
    expect(system.gpr(GPR.RSP)).toBe(BigInt(page + 0x10));
    expect(readRflags(state)).toBe(RFLAGS.FIXED | RFLAGS.IF | RFLAGS.TF);
    const paging = (at: number): boolean => at >= AT.TABLES && (at < AT.GDT || at >= AT.PAGE_TABLE);
    const different = [...system.memory().entries()].filter(([at, byte]) => byte !== memory[at] && !paging(at));
    expect(different).toEqual([]);
  });
  it('tells the length of the instruction for software events', () => {
    system.unmap(AT.STACK - 0x1000);
    expect(system.attempt(() => deliverSoftwareEvent(cpu, EVENT_TYPE.SOFT_INTERRUPT, EXTERNAL, 2))).toEqual({
      exit: 'EPT_VIOLATION',
    });
    expect(state.vectoringEvent).toBe(interruption(EVENT_TYPE.SOFT_INTERRUPT, EXTERNAL));
    expect(state.exitLength).toBe(2);
    expect(state.rip).toBe(BigInt(AT.CODE));
  });
});

describe('the exception bitmap', () => {
  beforeEach(() => (cpu.controls.exceptionBitmap = 0xffff_ffff));

  it('exits with the page fault’s address and error code, and leaves CR2 alone', () => {
    expect(raiseAndDeliver(() => raise.pf(0x5000n, 6))).toEqual({ exit: 'EXCEPTION_NMI' });
    expect(cpu.exit()).toEqual({
      reason: 'EXCEPTION_NMI',
      vector: VECTOR.PF,
      errorCode: 6,
      rip: BigInt(AT.CODE),
      length: 0,
    });
    expect(state.exitQualification).toBe(0x5000n);
    expect(state.cr2).toBe(0n);
  });
  it('exits for INT3 with its length, and not for INT 3', () => {
    expect(system.attempt(() => deliverSoftwareEvent(cpu, EVENT_TYPE.SOFT_EXCEPTION, VECTOR.BP, 1))).toEqual({
      exit: 'EXCEPTION_NMI',
    });
    expect(cpu.exit()).toMatchObject({ vector: VECTOR.BP, errorCode: null, length: 1 });
    expect(system.attempt(() => deliverSoftwareEvent(cpu, EVENT_TYPE.SOFT_INTERRUPT, VECTOR.BP, 2))).toEqual(DELIVERED);
  });
  it('exits for a single step before DR6 changes', () => {
    state.pendingDb = Number(DR6.BS);
    expect(system.attempt(() => deliverDebugTrap(cpu))).toEqual({ exit: 'EXCEPTION_NMI' });
    expect(state.exitQualification).toBe(DR6.BS);
    expect(state.views.u64[state.at('dr', 6) >> 3]).toBe(0n);
  });
  it('exits for an exception raised in delivery, and tells the event that was being delivered', () => {
    setGate(EXTERNAL, 0x0e);
    expect(interrupt()).toEqual({ exit: 'EXCEPTION_NMI' });
    expect(cpu.exit()).toMatchObject({ vector: VECTOR.NP, errorCode: EXTERNAL * 8 + 3 });
    expect(state.vectoringEvent).toBe(interruption(EVENT_TYPE.EXTERNAL, EXTERNAL));
  });
  it('does not exit for injected exceptions', () => {
    expect(inject(EVENT_TYPE.EXCEPTION, VECTOR.GP, 0)).toEqual(DELIVERED);
  });
});

it('the fault object is free again once an exception is delivered', () => {
  raiseAndDeliver(() => raise.gp(8));
  expect(raiseAndDeliver(() => raise.ud())).toEqual(DELIVERED);
  expect(guestFault.vector).toBe(VECTOR.UD);
});
