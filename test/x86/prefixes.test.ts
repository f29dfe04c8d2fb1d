// What prefixes do: order, priority, and where they are illegal (SDM vol. 2, sections 2.1 and 2.2).

import { describe, expect, it } from 'vitest';
import { Decoded, decode, INVALID, MODE, type Mode } from '../../src/x86/decoder.ts';
import { FORMS } from '../../src/x86/tables.ts';

const insn = new Decoded();

/** The form's name, or 'invalid'. Every string is one whole instruction, or none. */
function decoded(hex: string, mode: Mode = MODE.CODE64): string {
  const bytes = Uint8Array.from(hex.split(' '), (byte) => parseInt(byte, 16));
  const length = decode(bytes, 0, bytes.length, mode, insn);
  if (length === INVALID) return 'invalid';
  expect(length).toBe(bytes.length);
  return FORMS[insn.form]!.name;
}

describe('REX', () => {
  it.each([
    ['48 89 c0', 'mov.64.r.r', 'counts right before the opcode'],
    ['48 66 89 c0', 'mov.16.r.r', 'is forgotten when a legacy prefix follows'],
    ['48 40 89 c0', 'mov.32.r.r', 'gives way to a second one'],
    ['66 48 89 c0', 'mov.64.r.r', 'W goes before 66'],
    ['66 48 0f 6e c0', 'movq.64.x.r', 'W stands beside a mandatory 66'],
    ['f3 48 0f b8 c0', 'popcnt.64.r.r', 'stands between a mandatory prefix and the opcode'],
    ['48 f3 0f b8 c0', 'popcnt.32.r.r', 'before the mandatory prefix is forgotten'],
    ['48 c5 f8 58 c1', 'invalid', 'may not come before VEX'],
  ])('%s: %s, REX %s', (hex, name) => expect(decoded(hex)).toBe(name));

  it('makes bytes 4 to 7 SPL to DIL instead of AH to BH', () => {
    decoded('88 e0');
    expect([insn.reg0, insn.reg1]).toEqual([0, 16]);
    decoded('40 88 e0');
    expect([insn.reg0, insn.reg1]).toEqual([0, 4]);
    decoded('45 88 e0');
    expect([insn.reg0, insn.reg1]).toEqual([8, 12]);
  });

  it('is INC and DEC outside 64-bit mode', () => {
    expect(decoded('40', MODE.CODE32)).toBe('inc.32.r');
    expect(decoded('4f', MODE.CODE16)).toBe('dec.16.r');
  });

  it('B makes 90 an exchange with R8, except behind F3', () => {
    expect(decoded('90')).toBe('nop');
    expect(decoded('41 90')).toBe('xchg.32.r.r');
    expect(decoded('f3 90')).toBe('pause');
    expect(decoded('f3 49 90')).toBe('pause');
  });
});

describe('mandatory prefixes', () => {
  it.each([
    ['0f 58 c1', 'addps.128.x.x'],
    ['66 0f 58 c1', 'addpd.128.x.x'],
    ['f3 0f 58 c1', 'addss.32.x.x'],
    ['f2 0f 58 c1', 'addsd.64.x.x'],
    ['66 f3 0f 58 c1', 'addss.32.x.x'],
    ['f3 66 0f 58 c1', 'addss.32.x.x'],
    ['f3 f2 0f 58 c1', 'addsd.64.x.x'],
    ['f2 f3 0f 58 c1', 'addss.32.x.x'],
    ['66 0f 38 f1 08', 'movbe.16.m.r'],
    ['66 f2 0f 38 f1 c8', 'crc32.16.r.r'],
    ['f3 0f bc c0', 'tzcnt.32.r.r'],
    ['f2 0f bc c0', 'bsf.32.r.r'],
    ['66 f3 0f bc c0', 'tzcnt.16.r.r'],
    ['66 c5 f8 58 c1', 'invalid'],
    ['f3 c5 f8 58 c1', 'invalid'],
  ])('%s is %s', (hex, name) => expect(decoded(hex)).toBe(name));
});

describe('LOCK', () => {
  it.each([
    ['f0 01 08', 'add.32.m.r'],
    ['f0 01 c8', 'invalid'],
    ['f0 03 08', 'invalid'],
    ['f0 39 08', 'invalid'],
    ['f0 89 08', 'invalid'],
    ['f0 86 08', 'xchg.8.m.r'],
    ['f0 86 c8', 'invalid'],
    ['f0 0f b1 08', 'cmpxchg.32.m.r'],
    ['f0 0f c7 08', 'cmpxchg8b.64.m'],
    ['f0 0f ba 28 01', 'bts.32.m.i'],
    ['f0 0f ba 20 01', 'invalid'],
    ['f0 90', 'invalid'],
    ['f0 f0 ff 00', 'inc.32.m'],
  ])('%s is %s', (hex, name) => {
    expect(decoded(hex)).toBe(name);
    if (name !== 'invalid') expect(insn.lock).toBe(true);
  });
});

describe('segment overrides', () => {
  const FS = 4;
  const GS = 5;

  it('of ES, CS, SS and DS mean nothing in 64-bit mode, and do not undo FS or GS', () => {
    expect(decoded('26 8b 00')).toBe('mov.32.r.m');
    expect(insn.segment).toBe(3);
    expect(decoded('64 2e 8b 00')).toBe('mov.32.r.s');
    expect(insn.segment).toBe(FS);
    decoded('64 65 8b 00');
    expect(insn.segment).toBe(GS);
  });

  it('all count in 32-bit code, the last one wins', () => {
    decoded('64 26 8b 00', MODE.CODE32);
    expect(insn.segment).toBe(0);
  });

  it('are SS by default for RBP and RSP as base, not for R13, R12 or RIP', () => {
    const segmentOf = (hex: string): number => (decoded(hex), insn.segment);
    expect(segmentOf('8b 45 00')).toBe(2);
    expect(segmentOf('8b 04 24')).toBe(2);
    expect(segmentOf('41 8b 45 00')).toBe(3);
    expect(segmentOf('41 8b 04 24')).toBe(3);
    expect(segmentOf('8b 05 00 00 00 00')).toBe(3);
    expect(segmentOf('8b 04 2d 00 00 00 00')).toBe(3);
  });

  it('leave the destination of a string alone', () => {
    expect(decoded('64 aa')).toBe('stos.8.m');
    expect(insn.segment).toBe(0);
    expect(decoded('64 a4')).toBe('movs.8.s64');
    expect(insn.segment).toBe(FS);
  });
});

describe('operand and address size', () => {
  it.each([
    ['66 e9 00 00 00 00', 'jmp.64.j', '66 means nothing to a near branch'],
    ['66 c3', 'ret.64', 'nor to a return'],
    ['66 0f 84 00 00 00 00', 'je.64.j', 'nor to a conditional one'],
    ['66 68 00 00', 'push.16.i', '66 makes a push 16 bits wide'],
    ['66 c7 00 00 00', 'mov.16.m.i', '66 shortens an immediate'],
    ['48 c7 00 00 00 00 00', 'mov.64.m.i', 'REX.W does not lengthen it'],
    ['48 b8 00 00 00 00 00 00 00 00', 'mov.64.r.i', 'except that of MOV to a register'],
    ['67 a1 00 00 00 00', 'mov.32.r.o32', '67 shortens an address in the instruction'],
    ['67 8b 05 00 00 00 00', 'mov.32.r.m32', '67 makes EIP the base'],
  ])('%s is %s: %s', (hex, name) => expect(decoded(hex)).toBe(name));

  it.each([
    ['66 e9 00 00', 'jmp.16.j', MODE.CODE32],
    ['66 e9 00 00 00 00', 'jmp.32.j', MODE.CODE16],
    ['8b 46 00', 'mov.16.r.s', MODE.CODE16],
    ['67 8b 04 24', 'mov.16.r.s', MODE.CODE16],
    ['67 8b 46 00', 'mov.32.r.s', MODE.CODE32],
    ['a1 00 00', 'mov.16.r.os', MODE.CODE16],
  ] as const)('%s is %s outside 64-bit mode', (hex, name, mode) => expect(decoded(hex, mode)).toBe(name));
});

describe('encodings that have no instruction', () => {
  it.each([
    ['0f 20 c8', 'CR1'],
    ['0f 22 e8', 'CR5'],
    ['44 0f 20 c8', 'CR9'],
    ['44 0f 21 c0', 'DR8'],
    ['8e c8', 'a load of CS'],
    ['8e f0', 'segment register 6'],
    ['8c f8', 'a store of segment register 7'],
    ['06', 'PUSH ES in 64-bit mode'],
    ['62 f1 7c 48 58 c1', 'EVEX'],
    ['8f e8 78 c0 c0 00', 'XOP'],
    ['0f 0f c0 9e', '3DNow!'],
    ['c5 e8 77', 'VEX.vvvv without an operand for it'],
    ['c4 e2 69 92 04 00', 'a gather whose index is its destination'],
    ['c4 e2 69 92 00', 'a gather without SIB'],
  ])('%s: %s', (hex) => expect(decoded(hex)).toBe('invalid'));

  it.each([
    ['0f b9 c0', 'ud1.32.r.r'],
    ['0f ff 40 01', 'ud0.32.r.m'],
    ['0f 0b', 'ud2'],
    ['0f 1e fa', 'nop.32.r'],
    ['f3 0f 1e fa', 'endbr64'],
    ['0f 18 e0', 'nop.32.r'],
    ['0f 0d 18', 'nop.32.m.r'],
    ['44 0f 20 c0', 'mov.64.r.cr'],
    ['0f 20 00', 'mov.64.r.cr'],
  ])('but %s is %s', (hex, name) => expect(decoded(hex)).toBe(name));
});
