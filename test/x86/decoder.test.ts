// The decoder against iced-x86, in all three operating modes: random strings, and mutations of what rows look like. This is a piece
// of what `npm run decoder` compares: always the same one.

import { CodeExt, Decoder, DecoderOptions, EncodingKind, Instruction } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { Decoded, decode, INVALID, MODE, TOO_LONG, TRUNCATED, type Mode } from '../../src/x86/decoder.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { FORMS } from '../../src/x86/tables.ts';
import { Agreement, codeNames, KNOWN_DIFFERENCES, type KnownDifference } from './agreement.ts';
import { samplesOf } from './samples.ts';
import { MODES, mutatedStrings, randomStrings, SIZE } from './strings.ts';

const STRINGS = 40_000;
const SEED = 1;

describe('the decoder agrees with iced-x86', () => {
  it.each(MODES)('on random strings (mode %i)', (mode) => {
    expect(new Agreement().compare(randomStrings(STRINGS, SEED, mode), mode).differences).toEqual([]);
  });

  it.each(MODES)('on mutations of every row (mode %i)', (mode) => {
    const agreement = new Agreement().compare(mutatedStrings(STRINGS, SEED, mode), mode);
    expect(agreement.differences).toEqual([]);
    expect(agreement.rows.size).toBeGreaterThan(1550);
  });

  it.each(MODES)('on every row as it stands (mode %i)', (mode) => {
    const samples = ROWS.flatMap((row) => samplesOf(row, mode));
    expect(new Agreement().compare(joined(samples), mode).differences).toEqual([]);
  });

  it.each<[string, (insn: Decoded) => void]>([
    ['a register', (insn) => (insn.reg0 = (insn.reg0 + 1) & 7)],
    ['a displacement', (insn) => (insn.disp += 1)],
    ['an immediate', (insn) => (insn.immLo ^= 0x80)],
    ['a segment', (insn) => (insn.segment ^= 1)],
    ['a prefix', (insn) => (insn.lock = !insn.lock)],
    ['a length', (insn) => (insn.length += 1)],
  ])('which a decoder that gets %s wrong does not', (_, spoil) => {
    const wrong: typeof decode = (bytes, at, end, mode, insn) => {
      const length = decode(bytes, at, end, mode, insn);
      if (length <= 0) return length;
      spoil(insn);
      return insn.length;
    };
    const agreement = new Agreement(wrong).compare(mutatedStrings(2000, SEED, MODE.CODE32), MODE.CODE32);
    expect(agreement.differences.length).toBeGreaterThan(100);
  });

  it('and its rows reach every encoding that iced has, outside the known differences', () => {
    const seen = new Set<number>();
    const iced = new Instruction();
    for (const [mode] of MODES) {
      const samples = ROWS.flatMap((row) => samplesOf(row, mode)).flatMap((s) => [
        s,
        prefixed(s, 0x66),
        prefixed(s, 0x67),
      ]);
      const decoder = new Decoder(16 << mode, joined(samples), DecoderOptions.None);
      for (let i = 0; i < samples.length; i++) {
        decoder.position = i * SIZE;
        decoder.decodeOut(iced);
        seen.add(iced.code);
      }
      decoder.free();
    }
    iced.free();
    const missing = [...codeNames]
      .filter(([code, name]) => !seen.has(code) && isInScope(code, name))
      .map(([, name]) => name);
    expect(missing).toEqual([]);
  });

  it('and each known difference concerns an encoding of iced or a row', () => {
    const concerns = ({ iced, ours }: KnownDifference): boolean =>
      [...codeNames.values()].some((name) => iced?.test(name)) || ROWS.some(({ mnemonic }) => ours?.test(mnemonic));
    expect(KNOWN_DIFFERENCES.filter((known) => !concerns(known))).toEqual([]);
  });
});

function joined(strings: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(strings.length * SIZE);
  strings.forEach((string, i) => bytes.set(string, i * SIZE));
  return bytes;
}

function prefixed(bytes: Uint8Array, prefix: number): Uint8Array {
  const out = new Uint8Array(SIZE);
  out[0] = prefix;
  out.set(bytes.subarray(0, SIZE - 1), 1);
  return out;
}

/** Whether an iced code is an instruction of its own in the maps that we have. */
function isInScope(code: number, name: string): boolean {
  const info = CodeExt.opCode(code);
  try {
    const isOurs = info.encoding === EncodingKind.Legacy || info.encoding === EncodingKind.VEX;
    if (!isOurs || !info.isInstruction || info.fwait || info.decoderOption !== DecoderOptions.None) return false;
    return !KNOWN_DIFFERENCES.some((known) => known.iced?.test(name));
  } finally {
    info.free();
  }
}

describe('lengths at the edges', () => {
  const insn = new Decoded();
  const lengthOf = (hex: string, mode: Mode = MODE.CODE64, pad = 20): number => {
    const given = hex.split(' ').map((byte) => parseInt(byte, 16));
    const bytes = new Uint8Array(Math.max(given.length, pad));
    bytes.set(given);
    return decode(bytes, 0, bytes.length, mode, insn);
  };

  it('takes 15 bytes, and calls 16 too long', () => {
    const prefixes = (n: number): string => Array<string>(n).fill('2e').join(' ');
    expect(lengthOf(`${prefixes(14)} 90`)).toBe(15);
    expect(lengthOf(`${prefixes(15)} 90`)).toBe(TOO_LONG);
    expect(lengthOf(`${prefixes(10)} 05 00 00 00 00`)).toBe(15);
    expect(lengthOf(`${prefixes(11)} 05 00 00 00 00`)).toBe(TOO_LONG);
    expect(lengthOf(prefixes(20))).toBe(TOO_LONG);
  });

  it('wants bytes beyond the end only while 15 are not reached', () => {
    expect(lengthOf('48 b8 00 00', MODE.CODE64, 0)).toBe(TRUNCATED);
    expect(lengthOf('66 66 66', MODE.CODE64, 0)).toBe(TRUNCATED);
    expect(lengthOf('0f 38', MODE.CODE64, 0)).toBe(TRUNCATED);
    expect(decode(new Uint8Array(0), 0, 0, MODE.CODE64, insn)).toBe(TRUNCATED);
  });

  it('leaves no form behind after an invalid encoding', () => {
    lengthOf('90');
    expect(insn.form).not.toBe(-1);
    expect(lengthOf('06')).toBe(INVALID);
    expect([insn.form, insn.row, insn.length]).toEqual([-1, -1, 0]);
    expect(FORMS[insn.form]).toBeUndefined();
  });
});
