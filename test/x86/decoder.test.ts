// The decoder against iced-x86: length, validity and mnemonic of random and mutated encodings in all three modes.

import { Code, CodeExt, Decoder, DecoderOptions, EncodingKind, Instruction, Mnemonic } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { Decoded, decode, INVALID, MODE, TOO_LONG, TRUNCATED, type Mode } from '../../src/x86/decoder.ts';
import { mnemonicOf } from '../../src/x86/forms.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { FORMS } from '../../src/x86/tables.ts';
import { generator, samplesOf } from './samples.ts';

const MODES: readonly [Mode, number][] = [
  [MODE.CODE64, 64],
  [MODE.CODE32, 32],
  [MODE.CODE16, 16],
];
const SIZE = 16;

const codeNames = new Map<number, string>();
for (const [name, value] of Object.entries(Code)) if (typeof value === 'number') codeNames.set(value, name);
const mnemonicNames = new Map<number, string>();
for (const [name, value] of Object.entries(Mnemonic)) if (typeof value === 'number') mnemonicNames.set(value, name);

/** What iced-x86 decodes and we do not, or the other way round: matched by iced's name of the encoding, or ours. */
const KNOWN_DIFFERENCES: readonly { readonly iced?: RegExp; readonly ours?: RegExp; readonly reason: string }[] = [
  { iced: /^(EVEX|MVEX|XOP|D3NOW)_/, reason: 'outside: see rows.ts' },
  { iced: /^Femms$/, reason: '3DNow!, outside' },
  { iced: /^(Xstore|Xcrypt|Xsha|Montmul|Ccs_|Via_)/, reason: "VIA's PadLock, outside" },
  { iced: /^(Tdcall|Seamret|Seamops|Seamcall)$/, reason: 'only inside TDX, outside' },
  { iced: /^(Rmp|Psmash|Pvalidate|Pbndkb)/, reason: 'SEV-SNP and total storage encryption, outside' },
  { iced: /^VEX_(Urdmsr|Uwrmsr)/, reason: 'VEX map 7, outside' },
  { iced: /^Popw_CS$/, reason: '0F pops CS on the 8086 alone' },
  { iced: /^Ud0$/, reason: 'UD0 without ModRM: processors before the Pentium Pro' },
  {
    iced: /^(Loop|Loope|Loopne|Jrcxz)_rel8_16(_RCX)?$/,
    reason: "AMD's 66 on near branches in 64-bit mode; Intel ignores it",
  },
  { ours: /ptwrite$/, reason: 'iced refuses PTWRITE with 66; it is never offered' },
];

/** Our mnemonic where iced calls the same encoding something else. */
const ALIASES: Readonly<Record<string, string>> = {
  reservednop: 'nop',
  prefetch: 'nop',
  prefetchw: 'nop',
  prefetchit0: 'nop',
  prefetchit1: 'nop',
  wait: 'fwait',
  sal: 'shl',
  jecxz: 'jcxz',
  jrcxz: 'jcxz',
  vmgexit: 'vmmcall',
  sysretq: 'sysret',
  sysexitq: 'sysexit',
};

function sameMnemonic(iced: string, index: number, width: number): boolean {
  const ours = mnemonicOf(ROWS[index]!, width);
  if (iced === ours || ALIASES[iced] === ours) return true;
  // iced names widths that are ours to tell (movsb, iretq, pushfd, pcmpestrm64), and calls far transfers like near ones.
  return iced.startsWith(ours) ? /^([bwdq]|64)$/.test(iced.slice(ours.length)) : `${iced}f` === ours;
}

/** Compares `count` strings of 16 bytes each; returns what differs and is not known to. */
function compare(bytes: Uint8Array, mode: Mode, bitness: number): string[] {
  const decoder = new Decoder(bitness, bytes, DecoderOptions.None);
  const iced = new Instruction();
  const insn = new Decoded();
  const differences: string[] = [];
  for (let at = 0; at < bytes.length; at += SIZE) {
    decoder.position = at;
    decoder.decodeOut(iced);
    const theirs = iced.code === Code.INVALID ? 0 : iced.length;
    const ours = Math.max(0, decode(bytes, at, at + SIZE, mode, insn));
    const name = codeNames.get(iced.code)!;
    const row = ours > 0 ? ROWS[insn.row]! : undefined;
    const sameName =
      theirs === 0 || ours === 0 || sameMnemonic(mnemonicNames.get(iced.mnemonic)!.toLowerCase(), insn.row, insn.width);
    if (theirs === ours && sameName) continue;
    const isKnown = KNOWN_DIFFERENCES.some(
      (known) => known.iced?.test(name) || (row && known.ours?.test(row.mnemonic)),
    );
    if (isKnown) continue;
    const hex = Buffer.from(bytes.subarray(at, at + SIZE)).toString('hex');
    differences.push(`${bitness}-bit ${hex}: iced ${name} ${theirs}, ours ${row?.text} ${row?.mnemonic} ${ours}`);
  }
  iced.free();
  decoder.free();
  return differences;
}

const PREFIXES = [0x66, 0xf3, 0xf2, 0xf0, 0x67, 0x2e, 0x64, 0x48, 0x41, 0x44, 0x4f, 0x40];

/** Random bytes, with prefixes and opcode maps met more often than by chance. */
function randomStrings(count: number, seed: number, is64: boolean): Uint8Array {
  const next = generator(seed);
  const bytes = new Uint8Array(count * SIZE);
  for (let at = 0; at < bytes.length; at += SIZE) {
    for (let i = 0; i < SIZE; i++) bytes[at + i] = next() >>> 11;
    let p = at;
    for (let n = next() % 3; n > 0; n--) bytes[p++] = PREFIXES[next() % PREFIXES.length]!;
    const kind = next() % 8;
    if (kind < 3) bytes[p++] = 0x0f;
    if (kind === 2) bytes[p++] = next() & 1 ? 0x38 : 0x3a;
    if (kind !== 3 && kind !== 4) continue;
    bytes[p++] = kind === 3 ? 0xc5 : 0xc4;
    if (kind === 4) bytes[p] = (bytes[p]! & 0xe0) | (1 + (next() % 3));
    if (!is64) bytes[p]! |= 0xc0;
    if (next() & 1) bytes[kind === 3 ? p : p + 1]! |= 0x78;
  }
  return bytes;
}

/** The rows' own encodings, one byte of each changed, or a prefix put before. */
function mutatedStrings(count: number, seed: number, mode: Mode): Uint8Array {
  const next = generator(seed);
  const samples = ROWS.flatMap((row) => samplesOf(row, mode));
  const bytes = new Uint8Array(count * SIZE);
  for (let at = 0; at < bytes.length; at += SIZE) {
    const sample = samples[next() % samples.length]!;
    if (next() & 1) {
      bytes[at] = PREFIXES[next() % PREFIXES.length]!;
      bytes.set(sample.subarray(0, SIZE - 1), at + 1);
    } else {
      bytes.set(sample, at);
      bytes[at + (next() % 6)] = next() >>> 9;
    }
  }
  return bytes;
}

describe('the decoder agrees with iced-x86', () => {
  it.each(MODES)('on random strings (mode %i, %i bits)', (mode, bitness) => {
    expect(compare(randomStrings(100_000, bitness, mode === MODE.CODE64), mode, bitness)).toEqual([]);
  });

  it.each(MODES)('on mutations of every row (mode %i, %i bits)', (mode, bitness) => {
    expect(compare(mutatedStrings(60_000, bitness, mode), mode, bitness)).toEqual([]);
  });

  it.each(MODES)('on every row as it stands (mode %i, %i bits)', (mode, bitness) => {
    const samples = ROWS.flatMap((row) => samplesOf(row, mode));
    expect(compare(joined(samples), mode, bitness)).toEqual([]);
  });

  it('and its rows reach every encoding that iced has, outside the known differences', () => {
    const seen = new Set<number>();
    const iced = new Instruction();
    for (const [mode, bitness] of MODES) {
      const samples = ROWS.flatMap((row) => samplesOf(row, mode)).flatMap((s) => [
        s,
        prefixed(s, 0x66),
        prefixed(s, 0x67),
      ]);
      const decoder = new Decoder(bitness, joined(samples), DecoderOptions.None);
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
