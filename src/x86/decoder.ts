// Decodes one instruction: bytes in, plain numbers out, into an object that is reused. scan.ts reads what stands before the
// operands; tables.ts says what the bytes mean; select.ts ends with registers and the form. Executes nothing and reads no
// processor state but the mode. Nothing is allocated for an instruction.

import { INVALID, MODE, RIP, type Decoded, type Mode } from './decoded.ts';
import { OK, REX_B, REX_W, REX_X, Scan } from './scan.ts';
import { isAdmitted, selectForm, selectRegisters } from './select.ts';
import { DIMENSION, IMMEDIATE, ROW, ROW_FIELD, TABLES } from './tables.ts';

export { Decoded, INVALID, MAX_LENGTH, MODE, RIP, TOO_LONG, TRUNCATED, type Mode } from './decoded.ts';

const { slotBase, slotDimensions, cells, rowBits } = TABLES;
const scan = new Scan();

/**
 * Decodes the instruction at `at`; bytes from `end` on are not read.
 * @returns its length, INVALID (#UD), TRUNCATED (it needs bytes beyond `end`), or TOO_LONG (#GP(0)).
 */
export function decode(bytes: Uint8Array, at: number, end: number, mode: Mode, out: Decoded): number {
  out.form = out.row = -1;
  out.length = 0;
  scan.begin(bytes, at, end, mode);
  let status = scan.toOpcode();
  if (status === OK) status = findRow();
  if (status !== OK) return status;
  sizes();
  status = memoryOperand(out);
  if (status === OK) status = immediates(out);
  if (status !== OK) return status;
  if (scan.lock && !(scan.isMemory && scan.bits & ROW.LOCK)) return INVALID;
  selectRegisters(scan, out);
  if (!isAdmitted(scan, out)) return INVALID;
  selectForm(scan, out);
  return (out.length = scan.at - at);
}

const SS = 2;
const DS = 3;
const SP = 4;
const BP = 5;

/** 16-bit addressing: base and index by rm (SDM vol. 2, table 2-1). */
const BASE16 = [3, 3, 5, 5, 6, 7, 5, 3];
const INDEX16 = [6, 7, 6, 7, -1, -1, -1, -1];

/** Opcode, and what its slot asks for, to a row. */
function findRow(): number {
  const slot = (scan.map << 8) | scan.opcode;
  const dimensions = slotDimensions[slot]!;
  let cell = 0;
  if (dimensions !== 0) {
    if (dimensions & DIMENSION.MODRM) {
      if (scan.at >= scan.limit) return scan.short;
      scan.modrm = scan.code[scan.at++]!;
    }
    if (dimensions & DIMENSION.MODE) cell = scan.is64 ? 1 : 0;
    if (dimensions & DIMENSION.PREFIX) cell = cell * 4 + scan.column;
    if (dimensions & DIMENSION.W) cell = cell * 2 + (scan.rex >> 3);
    if (dimensions & DIMENSION.B) cell = cell * 2 + (scan.rex & REX_B);
    if (dimensions & DIMENSION.L) cell = cell * 2 + scan.vexL;
    if (dimensions & DIMENSION.MOD) cell = cell * 2 + (scan.modrm >= 0xc0 ? 1 : 0);
    if (dimensions & DIMENSION.REG) cell = cell * 8 + ((scan.modrm >> 3) & 7);
    if (dimensions & DIMENSION.RM) cell = cell * 8 + (scan.modrm & 7);
  }
  scan.row = cells[slotBase[slot]! + cell]! - 1;
  if (scan.row < 0) return INVALID;
  scan.bits = rowBits[scan.row]!;
  return scan.vvvv !== 0 && !(scan.bits & ROW.VVVV) ? INVALID : OK;
}

/** Operand and address size. */
function sizes(): void {
  const is32 = scan.mode === MODE.CODE32;
  const isToggled = scan.size66 && (scan.bits & ROW.OPERAND_SIZE) !== 0;
  if (!scan.is64) {
    scan.operandSize = isToggled === is32 ? 16 : 32;
    scan.addressSize = scan.addr67 === is32 ? 16 : 32;
    return;
  }
  if (scan.rex & REX_W || scan.bits & ROW.F64) scan.operandSize = 64;
  else if (isToggled) scan.operandSize = 16;
  else scan.operandSize = scan.bits & ROW.D64 ? 64 : 32;
  scan.addressSize = scan.addr67 ? 32 : 64;
}

/** The rm operand if it is memory: SIB and displacement. */
function memoryOperand(out: Decoded): number {
  out.base = out.index = -1;
  out.scale = out.disp = 0;
  out.segment = scan.segment >= 0 ? scan.segment : DS;
  scan.isMemory = scan.modrm < 0xc0 && (scan.bits & (ROW.MODRM | ROW.IGNORES_MOD)) === ROW.MODRM;
  if (!scan.isMemory) return OK;
  const mod = scan.modrm >> 6;
  let displacement = mod === 1 ? 1 : 0;
  if (scan.addressSize === 16) {
    if (scan.bits & ROW.SIB) return INVALID;
    if (mod === 2 || (scan.modrm & 0xc7) === 6) displacement = 2;
    if ((scan.modrm & 0xc7) !== 6) {
      out.base = BASE16[scan.modrm & 7]!;
      out.index = INDEX16[scan.modrm & 7]!;
    }
  } else {
    let low = scan.modrm & 7;
    if (low === SP) {
      if (scan.at >= scan.limit) return scan.short;
      const sib = scan.code[scan.at++]!;
      low = sib & 7;
      out.index = ((sib >> 3) & 7) | ((scan.rex & REX_X) << 2);
      out.scale = sib >> 6;
      if (out.index === SP && !(scan.bits & ROW.VSIB)) out.index = -1;
      if (out.index < 0) out.scale = 0;
    } else if (scan.bits & ROW.SIB) return INVALID;
    if (mod === 2) displacement = 4;
    if (low === BP && mod === 0) {
      displacement = 4;
      if (scan.is64 && (scan.modrm & 7) === BP) out.base = RIP;
    } else out.base = low | ((scan.rex & REX_B) << 3);
  }
  if (scan.segment < 0 && (out.base === BP || (out.base === SP && scan.addressSize !== 16))) out.segment = SS;
  if (scan.at + displacement > scan.limit) return scan.short;
  out.disp = displacement === 0 ? 0 : signedAt(displacement);
  scan.at += displacement;
  return OK;
}

/** The little-endian number of 1, 2 or 4 bytes at the cursor, sign-extended. */
function signedAt(size: number): number {
  if (size === 1) return (scan.code[scan.at]! << 24) >> 24;
  if (size === 2) return ((scan.code[scan.at]! | (scan.code[scan.at + 1]! << 8)) << 16) >> 16;
  return (
    scan.code[scan.at]! |
    (scan.code[scan.at + 1]! << 8) |
    (scan.code[scan.at + 2]! << 16) |
    (scan.code[scan.at + 3]! << 24)
  );
}

function immediates(out: Decoded): number {
  out.immLo = out.immHi = out.imm2 = 0;
  const kind = (scan.bits >> ROW_FIELD.IMMEDIATE) & 15;
  if (kind === IMMEDIATE.NONE) return OK;
  const size = immediateSize(kind);
  if (scan.at + size > scan.limit) return scan.short;
  out.immLo = signedAt(Math.min(size, 4));
  scan.at += Math.min(size, 4);
  if (size === 8) {
    out.immHi = signedAt(4);
    scan.at += 4;
  } else if (ZERO_EXTENDED[kind] === 0) out.immHi = out.immLo >> 31;
  else if (size < 4) out.immLo &= size === 1 ? 0xff : 0xffff;
  if (kind === IMMEDIATE.FAR_POINTER) {
    if (scan.at + 2 > scan.limit) return scan.short;
    out.imm2 = signedAt(2) & 0xffff;
    scan.at += 2;
  } else if (scan.bits & ROW.IMM2) {
    if (scan.at >= scan.limit) return scan.short;
    out.imm2 = scan.code[scan.at++]!;
  }
  return OK;
}

const ZERO_EXTENDED = new Uint8Array(16);
for (const kind of [IMMEDIATE.BYTE, IMMEDIATE.WORD, IMMEDIATE.FAR_POINTER, IMMEDIATE.OFFSET, IMMEDIATE.REGISTER])
  ZERO_EXTENDED[kind] = 1;

/** Bytes of an immediate. */
function immediateSize(kind: number): number {
  switch (kind) {
    case IMMEDIATE.WORD:
      return 2;
    case IMMEDIATE.AT_MOST_32:
    case IMMEDIATE.RELATIVE:
    case IMMEDIATE.FAR_POINTER:
      return scan.operandSize === 16 ? 2 : 4;
    case IMMEDIATE.FULL:
      return scan.operandSize >> 3;
    case IMMEDIATE.OFFSET:
      return scan.addressSize >> 3;
    default:
      return 1;
  }
}
