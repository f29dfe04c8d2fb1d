// Operands of a decoded instruction as plain text, one each, in a form of our own that icedOperands.ts writes too: registers by
// name, `4 ss:[ebp+esi<<2-8]`, `to 1234`, `far 8:1234`, immediates in hexadecimal.

import { MODE, RIP, type Decoded, type Mode } from '../../src/x86/decoder.ts';
import { operandsOf, type FormOperand } from '../../src/x86/forms.ts';
import { SEGMENTS, type Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { FORMS } from '../../src/x86/tables.ts';
import { gprName } from '../../src/x86/text.ts';

/** Operands of rows that nobody writes: the flags of PUSHF, XMM0 of BLENDVPS. */
const UNWRITTEN = new Set(['Fv', 'XMM0']);

/** Operands as they are written. */
export function operandTexts(insn: Decoded, mode: Mode, next: bigint): string[] {
  const row = ROWS[insn.row]!;
  const operands = operandsOf(FORMS[insn.form]!, row).filter(({ operand }) => !UNWRITTEN.has(operand.notation));
  const first = operands.findIndex(({ kind }) => kind === 'immediate');
  return [...impliedMemory(insn, mode, row), ...operands.map((o, i) => operandText(insn, mode, next, o, i > first))];
}

/** Memory that the mnemonic implies, which decoding still gives a segment and an address size. */
function impliedMemory(insn: Decoded, mode: Mode, { mnemonic }: Row): string[] {
  const segment = segmentText(SEGMENTS[insn.segment]!, mode);
  if (mnemonic === 'xlat') return [`1 ${segment}:[${gprName(3, insn.addressSize)}+al<<0+0x0]`];
  if (!/^v?maskmov(q|dqu)$/.test(mnemonic)) return [];
  return [`${mnemonic === 'maskmovq' ? 8 : 16} ${segment}:[${gprName(7, insn.addressSize)}]`];
}

function operandText(insn: Decoded, mode: Mode, next: bigint, o: FormOperand, isSecond: boolean): string {
  switch (o.kind) {
    case 'register':
      return registerText(insn, o);
    case 'memory':
      return `${bytesOf(insn, mode, o)} ${memoryText(insn, mode, o)}`;
    case 'implicit':
      return o.operand.notation === '1' ? '0x1' : o.operand.notation.toLowerCase();
    case 'immediate':
      return immediateText(insn, mode, next, o, isSecond);
  }
}

function registerText(insn: Decoded, { operand, slot, width }: FormOperand): string {
  const number = [insn.reg0, insn.reg1, insn.reg2, insn.reg3][slot]!;
  switch (operand.file) {
    case 'gpr':
      return gprName(number, width === 0 ? insn.addressSize : width);
    case 'segment':
      return SEGMENTS[number]!;
    case 'vector':
      return `${width === 256 ? 'ymm' : 'xmm'}${number}`;
    default:
      return `${{ control: 'cr', debug: 'dr', mmx: 'mm', x87: 'st', mask: 'k', tile: 'tmm' }[operand.file!]}${number}`;
  }
}

/** Bytes that are accessed; 0 where the size is nobody's business (LEA, INVLPG) or not a number (XSAVE). */
function bytesOf(insn: Decoded, mode: Mode, { operand, width }: FormOperand): number {
  const narrow = insn.width === 16;
  switch (operand.memorySize) {
    case 'p':
      return insn.width / 8 + 2;
    case 'a':
      return insn.width / 4;
    case 's':
      return mode === MODE.CODE64 ? 10 : 6;
    case 'env':
      return narrow ? 14 : 28;
    case 'state':
      return narrow ? 94 : 108;
    case 'fx':
      return 512;
    default:
      return width / 8;
  }
}

/** In 64-bit mode an override by ES, CS, SS or DS means nothing. */
export const segmentText = (name: string, mode: Mode): string =>
  mode === MODE.CODE64 && name !== 'fs' && name !== 'gs' ? 'flat' : name;

function memoryText(insn: Decoded, mode: Mode, { operand }: FormOperand): string {
  const segment = segmentText(SEGMENTS[insn.segment]!, mode);
  switch (operand.addressing) {
    case 'si':
      return `${segment}:[${gprName(6, insn.addressSize)}]`;
    case 'di':
      return `${segmentText('es', mode)}:[${gprName(7, insn.addressSize)}]`;
    case 'offset':
      return `${segment}:[${hex(insn.addressSize, wide(insn))}]`;
    default:
      return `${segment}:[${modrmText(insn, operand.addressing === 'vector')}]`;
  }
}

function modrmText({ base, index, scale, disp, addressSize }: Decoded, isVector: boolean): string {
  const parts: string[] = [];
  if (base >= 0) parts.push(base === RIP && addressSize === 32 ? 'eip' : gprName(base, addressSize));
  if (index >= 0) parts.push(`${isVector ? `vector ${index}` : gprName(index, addressSize)}<<${scale}`);
  parts.push(hex(addressSize, BigInt(disp)));
  return parts.join('+');
}

export const hex = (width: number, value: bigint): string => `0x${BigInt.asUintN(width, value).toString(16)}`;
const wide = ({ immLo, immHi }: Decoded): bigint => (BigInt(immHi) << 32n) | BigInt(immLo >>> 0);

function immediateText(
  insn: Decoded,
  mode: Mode,
  next: bigint,
  { operand, width }: FormOperand,
  isSecond: boolean,
): string {
  switch (operand.immediate) {
    case 'jb':
    case 'jz':
      return `to ${hex(mode === MODE.CODE64 ? 64 : insn.width, next + BigInt(insn.immLo))}`;
    case 'p':
      return `far ${hex(16, BigInt(insn.imm2))}:${hex(insn.width, BigInt(insn.immLo))}`;
    case 'b':
      return hex(8, BigInt(isSecond ? insn.imm2 : insn.immLo));
    case 'w':
      return hex(16, BigInt(insn.immLo));
    default:
      return hex(insn.width || width, wide(insn));
  }
}
