// Registers, addresses and immediates of decoded instructions, against iced-x86.

import { Code, Decoder, DecoderOptions, Instruction, OpKind, Register } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { Decoded, decode, MODE, type Mode } from '../../src/x86/decoder.ts';
import { operandsOf, type Form, type FormOperand } from '../../src/x86/forms.ts';
import { SEGMENTS } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { FORMS } from '../../src/x86/tables.ts';
import { gprName } from '../../src/x86/text.ts';
import { generator, samplesOf } from './samples.ts';

const registerNames = new Map<number, string>();
for (const [name, value] of Object.entries(Register))
  if (typeof value === 'number') registerNames.set(value, name.toLowerCase());

/** iced spells r8b r8l. */
const iced8 = (name: string): string => name.replace(/^(r\d+)b$/, '$1l');

function registerName(insn: Decoded, { operand, slot, width }: FormOperand): string {
  const number = [insn.reg0, insn.reg1, insn.reg2, insn.reg3][slot]!;
  switch (operand.file) {
    case 'gpr':
      return iced8(gprName(number, width === 0 ? insn.addressSize : width));
    case 'segment':
      return SEGMENTS[number]!;
    case 'control':
      return `cr${number}`;
    case 'debug':
      return `dr${number}`;
    case 'mmx':
      return `mm${number}`;
    case 'x87':
      return `st${number}`;
    case 'mask':
      return `k${number}`;
    case 'tile':
      return `tmm${number}`;
    default:
      return `${width === 256 ? 'ymm' : 'xmm'}${number}`;
  }
}

function memoryText(insn: Decoded, isVector: boolean, mode: Mode): string {
  const base = insn.base < 0 ? 'none' : gprName(insn.base, insn.addressSize);
  const index = insn.index < 0 ? 'none' : isVector ? String(insn.index) : gprName(insn.index, insn.addressSize);
  return `${segmentText(SEGMENTS[insn.segment]!, mode)}:${base}+${index}<<${insn.scale}+${insn.base === 16 ? 0 : insn.disp}`;
}

function icedMemoryText(iced: Instruction, addressSize: number, isVector: boolean, mode: Mode): string {
  const isRip = iced.memoryBase === Register.RIP || iced.memoryBase === Register.EIP;
  const index = registerNames.get(iced.memoryIndex)!;
  const disp = isRip ? 0 : Number(BigInt.asIntN(Math.min(addressSize, 32), iced.memoryDisplacement));
  const scale = iced.memoryIndex === Register.None ? 0 : Math.log2(iced.memoryIndexScale);
  const indexText = isVector ? index.replace(/^[xy]mm/, '') : index;
  return `${segmentText(registerNames.get(iced.memorySegment)!, mode)}:${registerNames.get(iced.memoryBase)}+${indexText}<<${scale}+${disp}`;
}

const ADDRESSED = new Set([OpKind.Memory]);
const NEAR = new Set([OpKind.NearBranch16, OpKind.NearBranch32, OpKind.NearBranch64]);
const BYTE_IMMEDIATES = new Set([OpKind.Immediate8, OpKind.Immediate8_2nd]);

const anySize = (name: string): string => name.replace(/^[er]([a-z]{2})$/, '$1').replace(/^(r\d+)[dw]$/, '$1');

/** In 64-bit mode an override by ES, CS, SS or DS means nothing, and iced names it all the same. */
const segmentText = (name: string, mode: Mode): string =>
  mode === MODE.CODE64 && name !== 'fs' && name !== 'gs' ? 'flat' : name;

/** The difference between an operand of ours and iced's, or undefined. */
function differs(
  insn: Decoded,
  form: Form,
  o: FormOperand,
  iced: Instruction,
  i: number,
  next: bigint,
  mode: Mode,
): string | undefined {
  const kind = iced.opKind(i);
  const say = (ours: unknown, theirs: unknown): string | undefined =>
    ours === theirs ? undefined : `operand ${i} (${o.operand.notation}): iced ${theirs}, ours ${ours}`;
  if (kind === OpKind.Register) {
    if (o.kind !== 'register') return o.kind === 'implicit' ? undefined : say(o.kind, 'register');
    const [ours, theirs] = [registerName(insn, o), registerNames.get(iced.opRegister(i))!];
    // Where only the low part of a register counts (LTR, ARPL), iced names it by the operand size: compare which it is.
    return o.operand.size === 'w' || o.operand.size === 'd' ? say(anySize(ours), anySize(theirs)) : say(ours, theirs);
  }
  if (ADDRESSED.has(kind)) {
    if (o.kind !== 'memory') return say(o.kind, 'memory');
    if (o.operand.addressing === 'offset') {
      const address = BigInt.asUintN(64, (BigInt(insn.immHi) << 32n) | BigInt(insn.immLo >>> 0));
      const theirs = segmentText(registerNames.get(iced.memorySegment)!, mode);
      return say(
        `${segmentText(SEGMENTS[insn.segment]!, mode)}:${address}`,
        `${theirs}:${BigInt.asUintN(64, iced.memoryDisplacement)}`,
      );
    }
    const isVector = o.operand.addressing === 'vector';
    return say(memoryText(insn, isVector, mode), icedMemoryText(iced, insn.addressSize, isVector, mode));
  }
  if (NEAR.has(kind)) {
    const width = form.width === 0 ? 64 : form.width;
    return say(BigInt.asUintN(width, next + BigInt(insn.immLo)), BigInt.asUintN(width, iced.nearBranchTarget));
  }
  if (kind < OpKind.Immediate8 || o.kind !== 'immediate') return undefined;
  const isSecond = kind === OpKind.Immediate8_2nd;
  const width = BYTE_IMMEDIATES.has(kind) ? 8 : o.operand.immediate === 'w' ? 16 : form.width;
  const value = isSecond ? BigInt(insn.imm2) : (BigInt(insn.immHi) << 32n) | BigInt(insn.immLo >>> 0);
  return say(BigInt.asUintN(width, value), BigInt.asUintN(width, iced.immediate(i)));
}

const PREFIXES = [0x66, 0x67, 0x64, 0x65, 0x36, 0x40, 0x41, 0x42, 0x44, 0x48, 0x4f];

function compare(mode: Mode, bitness: number): string[] {
  const next = generator(bitness);
  const differences: string[] = [];
  const insn = new Decoded();
  const iced = new Instruction();
  const bytes = new Uint8Array(16);
  const buffer = new Uint8Array(16 * 4000);
  const samples = ROWS.flatMap((row) => samplesOf(row, mode));
  for (let round = 0; round < 12; round++) {
    for (let at = 0; at < buffer.length; at += 16) {
      for (let i = 0; i < 16; i++) bytes[i] = next() >>> 7;
      const sample = samples[next() % samples.length]!;
      const tail = sample.findLastIndex((byte) => byte !== 0) + 1;
      const hasPrefix = next() & 1;
      if (hasPrefix) bytes[0] = PREFIXES[next() % PREFIXES.length]!;
      bytes.set(sample.subarray(0, tail), hasPrefix);
      // Other registers and addressing modes than the sample's.
      if (next() & 1) bytes[tail - 1 + hasPrefix] = next() >>> 5;
      buffer.set(bytes, at);
    }
    const decoder = new Decoder(bitness, buffer, DecoderOptions.None);
    for (let at = 0; at < buffer.length; at += 16) {
      decoder.position = at;
      decoder.ip = 0x1000n;
      decoder.decodeOut(iced);
      if (iced.code === Code.INVALID || decode(buffer, at, at + 16, mode, insn) <= 0) continue;
      const form = FORMS[insn.form]!;
      const row = ROWS[insn.row]!;
      const operands = operandsOf(form, row).filter((o) => o.operand.notation !== 'Fv');
      if (operands.length !== iced.opCount) continue;
      operands.forEach((o, i) => {
        const difference = differs(insn, form, o, iced, i, 0x1000n + BigInt(insn.length), mode);
        if (difference === undefined) return;
        const hex = Buffer.from(buffer.subarray(at, at + insn.length)).toString('hex');
        differences.push(`${hex} ${row.text} ${row.mnemonic} ${difference}`);
      });
    }
    decoder.free();
  }
  iced.free();
  return differences;
}

describe('operands agree with iced-x86', () => {
  it.each([
    [MODE.CODE64, 64],
    [MODE.CODE32, 32],
    [MODE.CODE16, 16],
  ])('in mode %i (%i bits)', (mode, bitness) => {
    expect(compare(mode as Mode, bitness)).toEqual([]);
  });
});
