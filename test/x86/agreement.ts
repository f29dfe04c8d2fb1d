// What decoder.ts and iced-x86 say of the same strings: length, validity, mnemonic, prefixes and operands must be the same, but for
// differences that have a reason here.

import { Code, Decoder, DecoderOptions, Instruction, Mnemonic } from 'iced-x86';
import { Decoded, decode, INVALID, MODE, TRUNCATED, type Mode } from '../../src/x86/decoder.ts';
import { mnemonicOf } from '../../src/x86/forms.ts';
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { FORMS } from '../../src/x86/tables.ts';
import { icedOperandTexts } from './icedOperands.ts';
import { operandTexts } from './ourOperands.ts';
import { SIZE } from './strings.ts';

/** Where strings are decoded: branch targets count from here. */
const RIP = 0x1000n;

export const codeNames = namesOf(Code);
const mnemonicNames = namesOf(Mnemonic);
function namesOf(enumeration: object): Map<number, string> {
  const names = new Map<number, string>();
  for (const [name, value] of Object.entries(enumeration)) if (typeof value === 'number') names.set(value, name);
  return names;
}

/** A difference that has a reason: matched by iced's name of the encoding, or our mnemonic. */
export interface KnownDifference {
  readonly iced?: RegExp;
  readonly ours?: RegExp;
  readonly reason: string;
}

/** Some concern encodings that iced has, but decodes only when it is told of another processor. */
export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  { iced: /^(EVEX|MVEX|XOP|D3NOW)_/, reason: 'outside: see rows.ts' },
  { iced: /^Femms$/, reason: '3DNow!, outside' },
  { iced: /^(Xstore|Xcrypt|Xsha|Montmul|Ccs_|Via_)/, reason: "VIA's PadLock, outside" },
  { iced: /^(Tdcall|Seamret|Seamops|Seamcall)$/, reason: 'only inside TDX, outside' },
  { iced: /^(Rmp|Psmash|Pvalidate|Pbndkb)/, reason: 'SEV-SNP and total storage encryption, outside' },
  { iced: /^Popw_CS$/, reason: '0F pops CS on the 8086 alone' },
  { iced: /^Ud0$/, reason: 'UD0 without ModRM: processors before the Pentium Pro' },
  {
    iced: /^(Loop|Loope|Loopne|Jrcxz)_rel8_16(_RCX)?$/,
    reason: "AMD's 66 on near branches in 64-bit mode; Intel ignores it",
  },
  { iced: /^VEX_Vpermil2p/, reason: "XOP's, never offered: iced calls the low half of the register byte an operand" },
  { iced: /^Xbegin_rel16$/, reason: 'RTM, never offered: its target is not cut to 16 bits as that of a branch is' },
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

function isSameMnemonic(iced: string, row: Row, width: number): boolean {
  const ours = mnemonicOf(row, width);
  if (iced === ours || ALIASES[iced] === ours) return true;
  // iced names widths that are ours to tell (movsb, iretq, pushfd, pcmpestrm64), and calls far transfers like near ones.
  return iced.startsWith(ours) ? /^([bwdq]|64)$/.test(iced.slice(ours.length)) : `${iced}f` === ours;
}

/** What became of many strings. */
export class Agreement {
  strings = 0;
  /** Strings that begin with an instruction, for both. */
  valid = 0;
  /** Indices of the rows that were met. */
  readonly rows = new Set<number>();
  /** How often each known difference was met. */
  readonly known = new Map<KnownDifference, number>();
  readonly differences: string[] = [];
  readonly #decode: typeof decode;

  constructor(decoder = decode) {
    this.#decode = decoder;
  }

  /** Compares strings of SIZE bytes each. */
  compare(bytes: Uint8Array, mode: Mode): this {
    const decoder = new Decoder(16 << mode, bytes, DecoderOptions.None);
    const iced = new Instruction();
    const insn = new Decoded();
    for (let at = 0; at < bytes.length; at += SIZE) {
      decoder.position = at;
      decoder.ip = RIP;
      decoder.decodeOut(iced);
      const length = this.#decode(bytes, at, at + SIZE, mode, insn);
      this.strings++;
      const difference =
        differenceOf(iced, insn, Math.max(length, INVALID), mode) ?? cutDifference(bytes, at, length, mode);
      if (length > 0) this.rows.add(insn.row);
      if (length > 0 && iced.code !== Code.INVALID) this.valid++;
      if (difference !== null) this.#differs(iced, insn.row, difference, mode, bytes.subarray(at, at + SIZE));
    }
    iced.free();
    decoder.free();
    return this;
  }

  #differs(iced: Instruction, row: number, difference: string, mode: Mode, string: Uint8Array): void {
    const name = codeNames.get(iced.code)!;
    const ours = ROWS[row];
    const known = KNOWN_DIFFERENCES.find((k) => k.iced?.test(name) || (ours && k.ours?.test(ours.mnemonic)));
    if (known) this.known.set(known, (this.known.get(known) ?? 0) + 1);
    else {
      const what = ours ? `${ours.text} ${ours.mnemonic}` : 'invalid';
      this.differences.push(
        `${16 << mode}-bit ${Buffer.from(string).toString('hex')}: ${difference} (iced ${name}, ours ${what})`,
      );
    }
  }
}

const say = (what: string, theirs: unknown, ours: unknown): string | null =>
  theirs === ours ? null : `${what}: iced ${theirs}, ours ${ours}`;

/** What iced and we say differently of a string; null if nothing. `length`: ours, 0 for what is no instruction. */
function differenceOf(iced: Instruction, insn: Decoded, length: number, mode: Mode): string | null {
  const theirs = iced.code === Code.INVALID ? INVALID : iced.length;
  if (theirs !== length) return say('length', theirs, length);
  if (length === INVALID) return null;
  const row = ROWS[insn.row]!;
  const name = mnemonicNames.get(iced.mnemonic)!.toLowerCase();
  if (!isSameMnemonic(name, row, insn.width)) return say('mnemonic', name, row.mnemonic);
  const form = FORMS[insn.form]!;
  if (!(mode === MODE.CODE64 ? form.in64 : form.outside64)) return `${form.name} is no form of this mode`;
  return prefixDifference(iced, insn, row) ?? operandDifference(iced, insn, mode);
}

function prefixDifference(iced: Instruction, insn: Decoded, row: Row): string | null {
  const lock = say('LOCK', iced.hasLockPrefix, insn.lock);
  if (lock !== null || row.rep === undefined) return lock;
  const repeats = iced.hasRepnePrefix ? 'repnz' : iced.hasRepePrefix ? 'repz' : '';
  return say('REP', row.rep === 'rep' && repeats !== '' ? 'rep' : repeats, FORMS[insn.form]!.rep);
}

/** Instructions that iced gives a wider register than counts: LTR, ARPL, MOV to a segment register; UMWAIT and VMOVMSKPS with W. */
const LOW_WORD = /_r(32|64)m16|^(Umwait|Tpause)_r64|Vp?movmsk(ps|pd|b)_r64/;
/** Hints, and INVLPG: they access nothing, and how large their operand is or whether they have a second one is a matter of naming. */
const UNACCESSED = /^(Reservednop|Prefetch|Invlpg_)/;

/** What of the operands is compared. */
function readingOf(name: string): (texts: readonly string[]) => readonly string[] {
  if (LOW_WORD.test(name)) return (texts) => texts.map(lowWord);
  return UNACCESSED.test(name) ? (texts) => [withoutSize(texts[0]!)] : (texts) => texts;
}

function operandDifference(iced: Instruction, insn: Decoded, mode: Mode): string | null {
  const next = RIP + BigInt(insn.length);
  const read = readingOf(codeNames.get(iced.code)!);
  const ours = read(operandTexts(insn, mode, next));
  // The size of some areas is the microcode's affair (MOVDIR64B, XSAVE): their rows do not tell.
  const sized = (text: string, i: number): string => (ours[i]?.startsWith('0 ') ? `0 ${withoutSize(text)}` : text);
  const theirs = read(icedOperandTexts(iced, mode, insn.addressSize, next)).map(sized);
  return say('operands', theirs.join(', '), ours.join(', '));
}
const lowWord = (text: string): string => text.replace(/^[er]([a-ds][xpi])$/, '$1').replace(/^(r\d+)[dw]$/, '$1');
const withoutSize = (text: string): string => text.replace(/^\d+ /, '');

/** A string that ends within its instruction needs more bytes, and one that ends behind it none: null, or what else is said. */
function cutDifference(bytes: Uint8Array, at: number, length: number, mode: Mode): string | null {
  if (length <= 0) return null;
  const end = bytes[at + SIZE - 1]! % length;
  const cut = decode(bytes, at, at + end, mode, scratch);
  return cut === TRUNCATED ? null : `cut after ${end} bytes: ${cut} instead of TRUNCATED`;
}
const scratch = new Decoded();
