import { describe, expect, it } from 'vitest';
import { Decoded, decode, MODE, TRUNCATED } from '../../src/x86/decoder.ts';
import { operandsOf } from '../../src/x86/forms.ts';
import { row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { FORMS, compile, formByName } from '../../src/x86/tables.ts';
import { samplesOf } from './samples.ts';

const MODES = [MODE.CODE64, MODE.CODE32, MODE.CODE16];
const name = (index: number): string => `${ROWS[index]!.text} ${ROWS[index]!.mnemonic}`;

describe('rows', () => {
  it('decode back to themselves in every mode that they are valid in, and in no other', () => {
    const insn = new Decoded();
    const wrong: string[] = [];
    ROWS.forEach((sampled, index) => {
      for (const mode of MODES) {
        const isValid =
          sampled.modes === 'only64' ? mode === MODE.CODE64 : sampled.modes !== 'no64' || mode !== MODE.CODE64;
        // VEX.W and REX.W choose 64-bit registers: without them some rows have no place outside 64-bit mode.
        if (isValid && sampled.encoding.w === 1 && !sampled.encoding.vex && mode !== MODE.CODE64) continue;
        const hit = samplesOf(sampled, mode).some(
          (bytes) => decode(bytes, 0, 16, mode, insn) > 0 && insn.row === index,
        );
        if (hit !== isValid) wrong.push(`${name(index)} in mode ${mode}`);
      }
    });
    expect(wrong).toEqual([]);
  });

  it('decode to a form that is there in the mode', () => {
    const insn = new Decoded();
    for (const sampled of ROWS)
      for (const mode of MODES)
        for (const bytes of samplesOf(sampled, mode)) {
          if (decode(bytes, 0, 16, mode, insn) <= 0) continue;
          const form = FORMS[insn.form];
          if (!(mode === MODE.CODE64 ? form?.in64 : form?.outside64))
            expect.fail(`${name(insn.row)} in mode ${mode}: ${bytes}`);
        }
  });

  it('ask for more bytes wherever the instruction is cut', () => {
    const insn = new Decoded();
    for (const sampled of ROWS)
      for (const bytes of samplesOf(sampled, MODE.CODE64).slice(0, 12)) {
        const length = decode(bytes, 0, 16, MODE.CODE64, insn);
        for (let end = 0; end < length; end++)
          if (decode(bytes, 0, end, MODE.CODE64, insn) !== TRUNCATED)
            expect.fail(`${sampled.text} cut at ${end}: ${bytes}`);
      }
  });

  it('refuse two that claim the same bytes equally', () => {
    expect(() => compile([row('F3 0F B8 /r', 'popcnt', 'Gv,Ev'), row('F3 0F B8 /r', 'other', 'Gv,Ev')])).toThrow(
      "row 'F3 0F B8 /r' popcnt and row 'F3 0F B8 /r' other claim the same bytes",
    );
  });

  it('give the more specific row the bytes that two match', () => {
    const { rowBits, cells, slotBase } = compile([row('90+r', 'xchg', 'Zv,rAX'), row('90', 'nop')]);
    expect(rowBits.length).toBe(2);
    expect(cells[slotBase[0x90]!]).toBe(2);
    expect(cells[slotBase[0x91]!]).toBe(1);
  });

  it('refuse a notation that nobody defined', () => {
    expect(() => row('0F ZZ', 'oops')).toThrow("encoding '0F ZZ': 'ZZ' is no part of the notation");
    expect(() => row('0F 10 /r', 'oops', 'Ev,%q')).toThrow("operand '%q' is not in the notation");
  });
});

describe('forms', () => {
  it('have names of their own, by which they are found', () => {
    for (const form of FORMS) expect(formByName(form.name)).toBe(form);
    expect(formByName('add.32.m.q')).toBeUndefined();
  });

  it.each([
    ['01 c8', 'add.32.r.r'],
    ['03 c1', 'add.32.r.r'],
    ['05 01 00 00 00', 'add.32.r.i'],
    ['48 83 00 01', 'add.64.m.i'],
    ['67 00 08', 'add.8.m32.r'],
    ['65 00 08', 'add.8.s.r'],
    ['f3 48 a5', 'rep.movs.64.m'],
    ['f2 a6', 'repnz.cmps.8.m'],
    ['f3 67 a7', 'repz.cmps.32.m32'],
    ['64 ac', 'lods.8.s64'],
    ['64 aa', 'stos.8.m'],
    ['67 d7', 'xlat.8.m32'],
    ['e3 00', 'jcxz.64.j.a64'],
    ['67 e2 00', 'loop.64.j.a32'],
    ['66 50', 'push.16.r'],
    ['0f b6 c0', 'movzx.32.r.rb'],
    ['0f b7 00', 'movzx.32.r.mw'],
    ['48 98', 'cdqe.64'],
    ['d3 e0', 'shl.32.r.cl'],
    ['a1 00 00 00 00 00 00 00 00', 'mov.32.r.o'],
    ['0f 20 c0', 'mov.64.r.cr'],
    ['f4', 'hlt'],
    ['c5 fc 58 c1', 'vaddps.256.x.x.x'],
  ])('%s is %s in 64-bit mode', (hex, expected) => {
    const bytes = Uint8Array.from(hex.split(' '), (byte) => parseInt(byte, 16));
    const insn = new Decoded();
    expect(decode(bytes, 0, bytes.length, MODE.CODE64, insn)).toBe(bytes.length);
    expect(FORMS[insn.form]!.name).toBe(expected);
  });

  it.each([
    ['50', 'push.32.r.ss'],
    ['66 50', 'push.16.r.ss'],
    ['00 08', 'add.8.s.r'],
    ['f3 a4', 'rep.movs.8.s32'],
    ['67 a4', 'movs.8.s16'],
    ['c3', 'ret.32.ss'],
  ])('%s is %s in 32-bit code', (hex, expected) => {
    const bytes = Uint8Array.from(hex.split(' '), (byte) => parseInt(byte, 16));
    const insn = new Decoded();
    expect(decode(bytes, 0, bytes.length, MODE.CODE32, insn)).toBe(bytes.length);
    expect(FORMS[insn.form]!.name).toBe(expected);
  });

  it('say where each operand is', () => {
    const places = operandsOf(formByName('imul.32.r.m.i')!).map(({ kind, slot, width }) => ({ kind, slot, width }));
    expect(places).toEqual([
      { kind: 'register', slot: 0, width: 32 },
      { kind: 'memory', slot: -1, width: 32 },
      { kind: 'immediate', slot: -1, width: 32 },
    ]);
    expect(operandsOf(formByName('add.64.m.r')!).map((o) => o.slot)).toEqual([-1, 0]);
  });
});
