// Memory operands of microcode outside 64-bit mode: bases are added, limits and kinds are checked, also where an instruction names
// its address by a register. What can be asked of other machines too is in test/system/{real,protected}.s.

import { beforeEach, expect, it } from 'vitest';
import { readSegment, writeSegment } from '../../src/cpu/segments/segments.ts';
import { GPR, SEGMENT } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { LegacySystem } from './legacySystem.ts';
import { AT } from './systemImage.ts';

const system = new LegacySystem();
const { state } = system;
const NEXT = { outcome: 'next' } as const;
const GP0 = { fault: VECTOR.GP, code: 0 } as const;
const SS0 = { fault: VECTOR.SS, code: 0 } as const;
const LINE = 64;

/** Gives a segment register a base and a limit. */
const narrow = (segment: number, base: number, limit: number): void =>
  writeSegment(state, segment, { ...readSegment(state, segment), base: BigInt(base), limit });

beforeEach(() => void system.protectedMode());

it('MOVDIR64B writes to ES, with its base and limit', () => {
  const source = { isMemory: true, offset: BigInt(AT.DATA), segment: SEGMENT.DS, reg0: GPR.RDI, addressSize: 4 };
  system.write(AT.DATA, 0x1122_3344_5566_7788n);
  narrow(SEGMENT.ES, 0x1_5000, LINE - 1);
  expect(system.execute('movdir64b', source)).toEqual(NEXT);
  expect(system.read(0x1_5000)).toBe(0x1122_3344_5566_7788n);
  state.setGpr(GPR.RDI, BigInt(LINE));
  expect(system.execute('movdir64b', source)).toEqual(GP0);
  state.setGpr(GPR.RDI, 0n);
  narrow(SEGMENT.DS, 0, AT.DATA + LINE - 2);
  expect(system.execute('movdir64b', source)).toEqual(GP0);
});

it('INVPCID takes 32 bits of its register, and checks all of its descriptor', () => {
  const operands = { isMemory: true, offset: BigInt(AT.DATA), segment: SEGMENT.DS, reg0: GPR.RAX, width: 4 };
  state.setGpr(GPR.RAX, 0xffff_ffff_0000_0002n);
  expect(system.execute('invpcid', operands)).toEqual(NEXT);
  narrow(SEGMENT.DS, 0, AT.DATA + 14);
  expect(system.execute('invpcid', operands)).toEqual(GP0);
});

it.each([
  [SEGMENT.DS, GP0],
  [SEGMENT.SS, SS0],
])('MONITOR reads a byte through its segment (%i)', (segment, beyond) => {
  narrow(segment, 0, AT.DATA);
  state.setGpr(GPR.RAX, BigInt(AT.DATA));
  expect(system.execute('monitor', { segment, addressSize: 4 })).toEqual(NEXT);
  state.setGpr(GPR.RAX, BigInt(AT.DATA + 1));
  expect(system.execute('monitor', { segment, addressSize: 4 })).toEqual(beyond);
});

it('LGDT and SGDT have six bytes, of which a 16-bit LGDT takes five', () => {
  const operands = { isMemory: true, offset: BigInt(AT.DATA), segment: SEGMENT.DS };
  system.write(AT.DATA, 0xab12_3456_0fffn);
  narrow(SEGMENT.DS, 0, AT.DATA + 5);
  expect(system.execute('lgdt', { ...operands, width: 4 })).toEqual(NEXT);
  expect([state.gdtrBase, state.gdtrLimit]).toEqual([0xab12_3456n, 0xfff]);
  expect(system.execute('lidt', { ...operands, width: 2 })).toEqual(NEXT);
  expect(state.idtrBase).toBe(0x12_3456n);
  system.write(AT.DATA, 0xaaaa_0000_0000_0000n);
  expect(system.execute('sgdt', { ...operands, width: 2 })).toEqual(NEXT);
  expect(system.read(AT.DATA)).toBe(0xaaaa_ab12_3456_0fffn);
  narrow(SEGMENT.DS, 0, AT.DATA + 4);
  expect(system.execute('sgdt', { ...operands, width: 4 })).toEqual(GP0);
});

it('a selector is stored with 16 bits, where the segment may be written', () => {
  const operands = { isMemory: true, offset: BigInt(AT.DATA), segment: SEGMENT.CS, reg0: SEGMENT.DS, width: 4 };
  expect(system.execute('storeSegment', operands)).toEqual(GP0);
  narrow(SEGMENT.ES, AT.DATA, 1);
  expect(system.execute('storeSegment', { ...operands, segment: SEGMENT.ES, offset: 0n })).toEqual(NEXT);
  expect(system.read(AT.DATA)).toBe(BigInt(readSegment(state, SEGMENT.DS).selector));
});
