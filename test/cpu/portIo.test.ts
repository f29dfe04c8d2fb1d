// Port I/O: each access leaves once and is replayed once; permissions, widths, strings.

import { beforeEach, describe, expect, it } from 'vitest';
import { Controls } from '../../src/cpu/controls.ts';
import { EXIT, type ExitReason } from '../../src/cpu/exit.ts';
import { writeRflags } from '../../src/cpu/rflags.ts';
import { readSegment, setSegmentBase, writeSegment } from '../../src/cpu/segments/segments.ts';
import { GPR, RFLAGS, SEGMENT } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { AT } from './systemImage.ts';
import { TestSystem } from './system.ts';

const system = new TestSystem();
const { cpu, state } = system;

const reset = (cpl: 0 | 3 = 0): void => {
  system.reset(cpl);
  cpu.controls = new Controls();
  cpu.controls.exceptionBitmap = 0xffff_ffff;
};
beforeEach(() => reset());

const load = (bytes: readonly number[]): void => system.writeBytes(AT.CODE, bytes);
const enter = (budget = 100): ExitReason => cpu.enter(budget, Infinity);

describe('IN and OUT', () => {
  // prettier-ignore
  it.each<[string, number[], number, 1 | 2 | 4, bigint]>([
    ['in $0x80, %al', [0xe4, 0x80], 0x80, 1, 0x1122_3344_5566_77efn],
    ['in $0x80, %ax', [0x66, 0xe5, 0x80], 0x80, 2, 0x1122_3344_5566_cdefn],
    ['in $0x80, %eax', [0xe5, 0x80], 0x80, 4, 0x89ab_cdefn],
    ['in %dx, %al', [0xec], 0x3f8, 1, 0x1122_3344_5566_77efn],
    ['in %dx, %eax', [0xed], 0x3f8, 4, 0x89ab_cdefn],
    ['rex.w in %dx, %eax', [0x48, 0xed], 0x3f8, 4, 0x89ab_cdefn],
  ])('%s', (_, bytes, port, size, result) => {
    load([...bytes, 0xf4]);
    state.setGpr(GPR.RAX, 0x1122_3344_5566_7788n);
    state.setGpr(GPR.RDX, 0xffff_ffff_ffff_03f8n);
    expect(enter()).toBe(EXIT.IO_INSTRUCTION);
    expect(cpu.exit()).toEqual({ reason: 'IO_INSTRUCTION', rip: BigInt(AT.CODE), length: bytes.length, port, size, direction: 'in', value: 0 });
    expect(cpu.used).toBe(0);
    cpu.complete(0x89ab_cdefn);
    expect(enter()).toBe(EXIT.HLT);
    expect([cpu.used, system.gpr(GPR.RAX)]).toEqual([1, result]);
  });
  // prettier-ignore
  it.each<[string, number[], number, 1 | 2 | 4, number]>([
    ['out %al, $0xe9', [0xe6, 0xe9], 0xe9, 1, 0x88],
    ['out %ax, %dx', [0x66, 0xef], 0x604, 2, 0x7788],
    ['out %eax, %dx', [0xef], 0x604, 4, 0x9566_7788],
  ])('%s', (_, bytes, port, size, value) => {
    load([...bytes, 0xf4]);
    state.setGpr(GPR.RAX, 0x1122_3344_9566_7788n);
    state.setGpr(GPR.RDX, 0x604n);
    expect(enter()).toBe(EXIT.IO_INSTRUCTION);
    expect(cpu.exit()).toMatchObject({ port, size, direction: 'out', value });
    cpu.complete(0n);
    expect(enter()).toBe(EXIT.HLT);
    expect(cpu.used).toBe(1);
  });
  it('a port that does not exit stops by name: nothing is behind it', () => {
    cpu.controls.setPortExits(0x80, false);
    load([0xe4, 0x80]);
    expect(enter()).toBe(EXIT.STOPPED);
    load([0xe5, 0x7e]); // touches 0x7e to 0x81
    cpu.setRip(BigInt(AT.CODE));
    expect(enter()).toBe(EXIT.IO_INSTRUCTION);
  });
});

describe('strings', () => {
  const BEHIND = 0xf4;
  /** Serves accesses until HLT; gives the values written and the units used. */
  const serve = (values: number[] = []): { written: number[]; units: number; exits: number } => {
    const written: number[] = [];
    let units = 0;
    for (let exits = 0; ; exits++) {
      const reason = enter();
      units += cpu.used;
      if (reason !== EXIT.IO_INSTRUCTION) {
        expect(reason).toBe(EXIT.HLT);
        return { written, units, exits };
      }
      const exit = cpu.exit();
      if (exit.reason === 'IO_INSTRUCTION' && exit.direction === 'out') written.push(exit.value);
      cpu.complete(BigInt(values[exits] ?? 0));
    }
  };
  it('REP INSB stores each byte once, one unit an iteration', () => {
    load([0xf3, 0x6c, BEHIND]);
    state.setGpr(GPR.RCX, 3n);
    state.setGpr(GPR.RDI, BigInt(AT.DATA));
    expect(serve([0x11, 0x22, 0x33])).toEqual({ written: [], units: 3, exits: 3 });
    expect(system.read(AT.DATA)).toBe(0x33_2211n);
    expect([system.gpr(GPR.RCX), system.gpr(GPR.RDI)]).toEqual([0n, BigInt(AT.DATA + 3)]);
  });
  it('REP OUTSD reads downwards with DF', () => {
    load([0xf3, 0x6f, BEHIND]);
    writeRflags(state, RFLAGS.FIXED | RFLAGS.DF);
    system.write(AT.DATA, 0x2222_2222_1111_1111n);
    state.setGpr(GPR.RCX, 2n);
    state.setGpr(GPR.RSI, BigInt(AT.DATA + 4));
    expect(serve()).toEqual({ written: [0x2222_2222, 0x1111_1111], units: 2, exits: 2 });
    expect(system.gpr(GPR.RSI)).toBe(BigInt(AT.DATA - 4));
  });
  it('a count of zero does nothing in one unit', () => {
    load([0xf3, 0x6e, BEHIND]);
    expect(serve()).toEqual({ written: [], units: 1, exits: 0 });
  });
  it('without REP they do one element and leave RCX alone', () => {
    load([0x66, 0x6d, BEHIND]);
    state.setGpr(GPR.RCX, 5n);
    state.setGpr(GPR.RDI, BigInt(AT.DATA));
    expect(serve([0xabcd]).units).toBe(1);
    expect([system.read(AT.DATA), system.gpr(GPR.RCX)]).toEqual([0xabcdn, 5n]);
  });
  it('32-bit addresses wrap and zero the upper halves', () => {
    load([0x67, 0xf3, 0x6c, BEHIND]);
    state.setGpr(GPR.RCX, 0xffff_0000_0000_0001n);
    state.setGpr(GPR.RDI, 0xffff_0000_0000_0000n | BigInt(AT.DATA));
    expect(serve([0x5a]).units).toBe(1);
    expect([system.read(AT.DATA), system.gpr(GPR.RDI), system.gpr(GPR.RCX)]).toEqual([0x5an, BigInt(AT.DATA + 1), 0n]);
  });
  it('OUTS goes through FS and GS, not through DS', () => {
    setSegmentBase(state, SEGMENT.DS, 0x1000n);
    setSegmentBase(state, SEGMENT.GS, 8n);
    system.write(AT.DATA, 0x11n, 0x22n);
    state.setGpr(GPR.RSI, BigInt(AT.DATA));
    load([0x6e, BEHIND]);
    expect(serve().written).toEqual([0x11]);
    cpu.setRip(BigInt(AT.CODE));
    state.setGpr(GPR.RSI, BigInt(AT.DATA));
    load([0x65, 0x6e, BEHIND]);
    expect(serve().written).toEqual([0x22]);
  });
  it('INS to memory that cannot be written faults before the port is touched', () => {
    load([0x6c]);
    state.setGpr(GPR.RDI, 0x4000_0000n);
    expect(enter()).toBe(EXIT.EXCEPTION_NMI);
    expect(cpu.exit()).toMatchObject({ vector: VECTOR.PF, errorCode: 2 });
  });
});

describe('permission in ring 3', () => {
  const MAP = 0x68;
  /** The TSS has a bitmap of `bytes` bytes behind it. */
  const withBitmap = (bytes: readonly number[]): void => {
    system.write(AT.TSS + 96, BigInt(MAP) << 48n);
    system.writeBytes(AT.TSS + MAP, bytes);
    writeSegment(state, SEGMENT.TR, { ...readSegment(state, SEGMENT.TR), limit: MAP + bytes.length - 1 });
  };
  const attempt = (port: number, bytes: readonly number[] = [0xec]): ExitReason => {
    load(bytes);
    state.setGpr(GPR.RDX, BigInt(port));
    return enter();
  };
  beforeEach(() => reset(3));

  it('comes from IOPL', () => {
    expect(attempt(0x10)).toBe(EXIT.EXCEPTION_NMI);
    expect(cpu.exit()).toMatchObject({ vector: VECTOR.GP, errorCode: 0 });
    reset(3);
    writeRflags(state, RFLAGS.FIXED | RFLAGS.IOPL);
    expect(attempt(0x10)).toBe(EXIT.IO_INSTRUCTION);
  });
  // prettier-ignore
  it.each<[string, number[], number, number[], boolean]>([
    ['its bit is clear', [0xff, 0xff, 0xfe, 0xff], 0x10, [0xec], true],
    ['its bit is set', [0xff, 0xff, 0xfe, 0xff], 0x11, [0xec], false],
    ['four clear bits across two bytes', [0x3f, 0xfc, 0xff], 6, [0xed], true],
    ['one of four bits is set', [0x3f, 0xfe, 0xff], 6, [0xed], false],
    ['the second byte that is always read lies beyond the limit', [0, 0], 8, [0xec], false],
    ['the bitmap is too short', [0, 0, 0], 0x3f8, [0xec], false],
  ])('comes from the bitmap: %s', (_, bitmap, port, bytes, allowed) => {
    withBitmap(bitmap);
    expect(attempt(port, bytes)).toBe(allowed ? EXIT.IO_INSTRUCTION : EXIT.EXCEPTION_NMI);
  });
  it('a TSS without room for the bitmap’s offset allows nothing', () => {
    withBitmap([0, 0, 0]);
    writeSegment(state, SEGMENT.TR, { ...readSegment(state, SEGMENT.TR), limit: 0x66 });
    expect(attempt(0)).toBe(EXIT.EXCEPTION_NMI);
  });
});
