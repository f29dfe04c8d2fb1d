// Decodes one instruction: bytes in, plain numbers out, into an object that is reused. Knows prefixes, ModRM and immediates;
// what the bytes mean comes from tables.ts. Executes nothing and reads no processor state but the mode.

import { MAP } from './encoding.ts';
import { ADDRESSING, WIDTH_RULE } from './forms.ts';
import { CHECK, DIMENSION, PLAN, ROW, ROW_SHIFT, TABLES } from './tables.ts';

/** The code's operating mode: its default operand and address size. */
export const MODE = { CODE16: 0, CODE32: 1, CODE64: 2 } as const;
export type Mode = (typeof MODE)[keyof typeof MODE];

/** What `decode` returns instead of a length. */
export const INVALID = 0;
/** The instruction goes on beyond `end`: give it more bytes. */
export const TRUNCATED = -1;
/** Longer than 15 bytes: #GP(0). */
export const TOO_LONG = -2;

export const MAX_LENGTH = 15;
/** `base` of a RIP-relative operand. */
export const RIP = 16;

/** A decoded instruction. One object serves all calls: copy what must outlive the next. */
export class Decoded {
  /** Bytes; 0 after an invalid encoding. */
  length = 0;
  /** Index in FORMS; -1 after an invalid encoding. */
  form = -1;
  /** Index in ROWS; -1 after an invalid encoding. */
  row = -1;
  /** Bits of the operation. */
  width = 0;
  /** Register numbers of the register operands in operand order (-1: none); AH, CH, DH, BH are 16 to 19. */
  reg0 = -1;
  reg1 = -1;
  reg2 = -1;
  reg3 = -1;
  /** Memory operand: base register (-1 none, 16 RIP), index register (-1 none; a vector register with VSIB), shift of the index. */
  base = -1;
  index = -1;
  scale = 0;
  /** Displacement, sign-extended to 32 bits. */
  disp = 0;
  /** Immediate, relative displacement or memory offset, extended to 64 bits as the instruction uses it. */
  immLo = 0;
  immHi = 0;
  /** Second immediate (ENTER), selector of a far pointer. */
  imm2 = 0;
  /** Segment of the memory operand: index into SEGMENTS. */
  segment = 3;
  /** Bits. */
  addressSize = 64;
  lock = false;
  /** 0 none, 1 F3, 2 F2. */
  rep = 0;
  /** VEX: register number (0 if unused) and vector length (0: 128, 1: 256). */
  vvvv = 0;
  vexL = 0;
}

const { slotBase, slotDimensions, cells, rowBits, rowWidth, registerPlan, memoryPlan } = TABLES;
const { rowForms, rowAddressings, rowRepeats, formIndex } = TABLES;

/** Classes of first bytes. */
const NONE = 0;
const SEGMENT_PREFIX = 1;
const OPERAND_SIZE = 2;
const ADDRESS_SIZE = 3;
const LOCK = 4;
const REPNE = 5;
const REP = 6;
const REX = 7;
const ESCAPE = 8;
const VEX3 = 9;
const VEX2 = 10;

const CLASS = new Uint8Array(256);
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) CLASS[byte] = SEGMENT_PREFIX;
for (let byte = 0x40; byte < 0x50; byte++) CLASS[byte] = REX;
CLASS[0x66] = OPERAND_SIZE;
CLASS[0x67] = ADDRESS_SIZE;
CLASS[0xf0] = LOCK;
CLASS[0xf2] = REPNE;
CLASS[0xf3] = REP;
CLASS[0x0f] = ESCAPE;
CLASS[0xc4] = VEX3;
CLASS[0xc5] = VEX2;

const SS = 2;
const DS = 3;
const FS = 4;

const REX_W = 8;
const REX_R = 4;
const REX_X = 2;
const REX_B = 1;

/** 16-bit addressing: base and index by rm (SDM vol. 2, table 2-1). */
const BASE16 = [3, 3, 5, 5, 6, 7, 5, 3];
const INDEX16 = [6, 7, 6, 7, -1, -1, -1, -1];
const BP = 5;
const SP = 4;

/**
 * Decodes the instruction at `at`; bytes from `end` on are not read.
 * @returns its length, INVALID (#UD), TRUNCATED (it needs bytes beyond `end`), or TOO_LONG (#GP(0)).
 */
export function decode(bytes: Uint8Array, at: number, end: number, mode: Mode, out: Decoded): number {
  const is64 = mode === MODE.CODE64;
  const limit = end < at + MAX_LENGTH ? end : at + MAX_LENGTH;
  const short = end < at + MAX_LENGTH ? TRUNCATED : TOO_LONG;
  let p = at;
  let segment = -1;
  let size66 = false;
  let addr67 = false;
  let lock = false;
  let rep = 0;
  let rex = 0;
  let hasRex = false;
  let byte = 0;
  let kind = 0;

  out.form = out.row = -1;
  out.length = 0;

  // Legacy prefixes in any order; a REX that is not followed by the opcode is forgotten.
  for (;;) {
    if (p >= limit) return short;
    byte = bytes[p++]!;
    kind = CLASS[byte]!;
    if (kind === NONE || kind >= ESCAPE) break;
    if (kind === REX) {
      if (!is64) break;
      hasRex = true;
      rex = byte & 15;
      continue;
    }
    hasRex = false;
    rex = 0;
    if (kind === SEGMENT_PREFIX) {
      if (byte >= 0x64) segment = byte - 0x64 + FS;
      else if (!is64) segment = (byte >> 3) & 3;
    } else if (kind === OPERAND_SIZE) size66 = true;
    else if (kind === ADDRESS_SIZE) addr67 = true;
    else if (kind === LOCK) lock = true;
    else rep = kind === REP ? 1 : 2;
  }

  let map: number = MAP.ONE;
  let prefix = rep === 1 ? 2 : rep === 2 ? 3 : size66 ? 1 : 0;
  let vvvv = 0;
  let vexL = 0;
  let isVex = false;
  if (kind === ESCAPE) {
    if (p >= limit) return short;
    byte = bytes[p++]!;
    map = byte === 0x38 ? MAP.X0F38 : byte === 0x3a ? MAP.X0F3A : MAP.X0F;
    if (map !== MAP.X0F) {
      if (p >= limit) return short;
      byte = bytes[p++]!;
    }
  } else if (kind >= VEX3) {
    if (p >= limit) return short;
    const payload = bytes[p]!;
    // Outside 64-bit mode C4 and C5 are LES and LDS unless their ModRM would name a register.
    if (is64 || payload >= 0xc0) {
      if (hasRex || size66 || lock || rep !== 0) return INVALID;
      isVex = true;
      p++;
      let last = payload;
      map = MAP.VEX_0F;
      if (!(payload & 0x80)) rex = REX_R;
      if (kind === VEX3) {
        if (p >= limit) return short;
        last = bytes[p++]!;
        rex |= (payload & 0x40 ? 0 : REX_X) | (payload & 0x20 ? 0 : REX_B) | (last & 0x80 ? REX_W : 0);
        map = MAP.VEX_0F - 1 + (payload & 0x1f);
        if (map < MAP.VEX_0F || map > MAP.VEX_0F3A) return INVALID;
      }
      vvvv = (~last >> 3) & 15;
      vexL = (last >> 2) & 1;
      prefix = last & 3;
      if (!is64) rex &= REX_W;
      if (p >= limit) return short;
      byte = bytes[p++]!;
    }
  }

  // Opcode (and ModRM) to row.
  const slot = (map << 8) | byte;
  const opcode = byte;
  const dimensions = slotDimensions[slot]!;
  let cell = 0;
  let modrm = 0;
  if (dimensions !== 0) {
    if (dimensions & DIMENSION.MODRM) {
      if (p >= limit) return short;
      modrm = bytes[p++]!;
    }
    if (dimensions & DIMENSION.MODE) cell = is64 ? 1 : 0;
    if (dimensions & DIMENSION.PREFIX) cell = cell * 4 + prefix;
    if (dimensions & DIMENSION.W) cell = cell * 2 + (rex >> 3);
    if (dimensions & DIMENSION.B) cell = cell * 2 + (rex & REX_B);
    if (dimensions & DIMENSION.L) cell = cell * 2 + vexL;
    if (dimensions & DIMENSION.MOD) cell = cell * 2 + (modrm >= 0xc0 ? 1 : 0);
    if (dimensions & DIMENSION.REG) cell = cell * 8 + ((modrm >> 3) & 7);
    if (dimensions & DIMENSION.RM) cell = cell * 8 + (modrm & 7);
  }
  const row = cells[slotBase[slot]! + cell]! - 1;
  if (row < 0) return INVALID;
  const bits = rowBits[row]!;
  if (isVex && vvvv !== 0 && !(bits & ROW.VVVV)) return INVALID;

  // Operand size, in bits; address size.
  let operandSize: number;
  const effective66 = size66 && (bits & ROW.OPERAND_SIZE) !== 0;
  if (is64) {
    if (bits & ROW.F64 || rex & REX_W) operandSize = 64;
    else operandSize = effective66 ? 16 : bits & ROW.D64 ? 64 : 32;
  } else operandSize = effective66 === (mode === MODE.CODE32) ? 16 : 32;
  const addressSize = is64 ? (addr67 ? 32 : 64) : addr67 === (mode === MODE.CODE32) ? 16 : 32;

  // Memory operand.
  let base = -1;
  let index = -1;
  let scale = 0;
  let disp = 0;
  let defaultSegment = DS;
  const isMemory = (bits & ROW.MODRM) !== 0 && modrm < 0xc0 && !(bits & ROW.IGNORES_MOD);
  if (isMemory) {
    const mod = modrm >> 6;
    const rm = modrm & 7;
    let dispBytes = mod === 1 ? 1 : 0;
    if (addressSize === 16) {
      if (mod === 2) dispBytes = 2;
      if (bits & ROW.SIB) return INVALID;
      if (mod === 0 && rm === 6) dispBytes = 2;
      else {
        base = BASE16[rm]!;
        index = INDEX16[rm]!;
        if (base === BP) defaultSegment = SS;
      }
    } else {
      if (mod === 2) dispBytes = 4;
      if (rm === 4) {
        if (p >= limit) return short;
        const sib = bytes[p++]!;
        scale = sib >> 6;
        index = ((sib >> 3) & 7) | ((rex & REX_X) << 2);
        if (index === SP && !(bits & ROW.VSIB)) index = -1;
        base = (sib & 7) | ((rex & REX_B) << 3);
        if ((sib & 7) === BP && mod === 0) {
          base = -1;
          dispBytes = 4;
        }
      } else if (bits & ROW.SIB) return INVALID;
      else if (rm === BP && mod === 0) {
        dispBytes = 4;
        if (is64) base = RIP;
      } else base = rm | ((rex & REX_B) << 3);
      if (base === SP || base === BP) defaultSegment = SS;
      if (index < 0) scale = 0;
    }
    if (p + dispBytes > limit) return short;
    if (dispBytes === 1) disp = (bytes[p]! << 24) >> 24;
    else if (dispBytes === 2) disp = ((bytes[p]! | (bytes[p + 1]! << 8)) << 16) >> 16;
    else if (dispBytes === 4) disp = bytes[p]! | (bytes[p + 1]! << 8) | (bytes[p + 2]! << 16) | (bytes[p + 3]! << 24);
    p += dispBytes;
  }

  // Immediates.
  let immLo = 0;
  let immHi = 0;
  let imm2 = 0;
  const immediate = (bits >> ROW_SHIFT.IMMEDIATE) & 15;
  if (immediate !== 0) {
    const size = immediateSize(immediate, operandSize, addressSize);
    if (p + size > limit) return short;
    if (size === 1) immLo = SIGNED[immediate] ? (bytes[p]! << 24) >> 24 : bytes[p]!;
    else if (size === 2) {
      immLo = bytes[p]! | (bytes[p + 1]! << 8);
      if (SIGNED[immediate]) immLo = (immLo << 16) >> 16;
    } else immLo = bytes[p]! | (bytes[p + 1]! << 8) | (bytes[p + 2]! << 16) | (bytes[p + 3]! << 24);
    if (SIGNED[immediate]) immHi = immLo >> 31;
    if (size === 8) immHi = bytes[p + 4]! | (bytes[p + 5]! << 8) | (bytes[p + 6]! << 16) | (bytes[p + 7]! << 24);
    p += size;
    if (immediate === FAR_POINTER) {
      if (p + 2 > limit) return short;
      imm2 = bytes[p]! | (bytes[p + 1]! << 8);
      p += 2;
    } else if (bits & ROW.IMM2) {
      if (p >= limit) return short;
      imm2 = bytes[p++]!;
    }
  }
  if (lock && !(isMemory && bits & ROW.LOCK)) return INVALID;

  // Register operands.
  out.reg0 = out.reg1 = out.reg2 = out.reg3 = -1;
  let plan = isMemory ? memoryPlan[row]! : registerPlan[row]!;
  for (let i = 0; plan !== 0; i++, plan >>>= 8) {
    const place = plan & PLAN.PLACE;
    let register: number;
    if (place === PLAN.REG) register = ((modrm >> 3) & 7) | ((rex & REX_R) << 1);
    else if (place === PLAN.RM) register = (modrm & 7) | ((rex & REX_B) << 3);
    else if (place === PLAN.OPCODE) register = (opcode & 7) | ((rex & REX_B) << 3);
    else if (place === PLAN.VVVV) register = is64 ? vvvv : vvvv & 7;
    else if (place === PLAN.IS4) register = is64 ? immLo >> 4 : (immLo >> 4) & 7;
    else register = (plan >> PLAN.NUMBER_SHIFT) & 7;
    if (plan & PLAN.NO_EXTENSION) register &= 7;
    else if (plan & PLAN.BYTE && !hasRex && register >= 4 && !isVex) register += 12;
    if (i === 0) out.reg0 = register;
    else if (i === 1) out.reg1 = register;
    else if (i === 2) out.reg2 = register;
    else out.reg3 = register;
  }
  out.base = base;
  out.index = index;
  const check = (bits >> ROW_SHIFT.CHECK) & 15;
  if (check !== CHECK.NONE && !admits(check, modrm, rex, is64 ? vvvv : vvvv & 7, out)) return INVALID;

  // Form.
  const rule = (bits >> ROW_SHIFT.RULE) & 7;
  let width = 0;
  let widthIndex = 0;
  switch (rule) {
    case WIDTH_RULE.FIXED:
      width = rowWidth[row]!;
      break;
    case WIDTH_RULE.V:
      width = operandSize;
      widthIndex = operandSize >> 5;
      break;
    case WIDTH_RULE.Z:
      width = operandSize === 16 ? 16 : 32;
      widthIndex = width >> 5;
      break;
    case WIDTH_RULE.Y:
      widthIndex = is64 ? rex >> 3 : 0;
      width = 32 << widthIndex;
      break;
    case WIDTH_RULE.N:
      widthIndex = is64 ? 1 : 0;
      width = 32 << widthIndex;
      break;
    default:
      width = 128 << vexL;
      widthIndex = vexL;
  }
  if (bits & ROW.DESTINATION_STRING) {
    segment = -1;
    defaultSegment = 0;
  }
  const general = !is64 || segment >= 0;
  const repeat = ((bits >> ROW_SHIFT.REP) & 3) === 1 && rep !== 0 ? 1 : (bits >> ROW_SHIFT.REP) & 3 ? rep : 0;
  let addressing = 0;
  switch ((bits >> ROW_SHIFT.ADDRESSING) & 7) {
    case ADDRESSING.MEMORY:
      addressing = general ? 2 : addr67 ? 1 : 0;
      break;
    case ADDRESSING.REGISTER_OR_MEMORY:
      addressing = !isMemory ? 0 : general ? 3 : addr67 ? 2 : 1;
      break;
    case ADDRESSING.IMPLICIT:
      addressing = general ? 2 + (addressSize >> 5) : addr67 ? 1 : 0;
      break;
    case ADDRESSING.COUNT:
      addressing = addressSize >> 5;
  }
  const variant =
    bits & ROW.STACK
      ? ((widthIndex * rowRepeats[row]! + repeat) << 1) | (is64 ? 0 : 1)
      : widthIndex * rowRepeats[row]! + repeat;

  out.form = formIndex[rowForms[row]! + variant * rowAddressings[row]! + addressing]!;
  out.row = row;
  out.width = width;
  out.scale = scale;
  out.disp = disp;
  out.immLo = immLo;
  out.immHi = immHi;
  out.imm2 = imm2;
  out.segment = segment >= 0 ? segment : defaultSegment;
  out.addressSize = addressSize;
  out.lock = lock;
  out.rep = rep;
  out.vvvv = is64 ? vvvv : vvvv & 7;
  out.vexL = vexL;
  out.length = p - at;
  return out.length;
}

/** By kind of immediate (IMMEDIATES in tables.ts): whether it is sign-extended. */
const SIGNED = [false, false, true, false, true, true, true, true, false, false, false];
const FAR_POINTER = 8;

/** Bytes of an immediate. */
function immediateSize(kind: number, operandSize: number, addressSize: number): number {
  switch (kind) {
    case 3:
      return 2;
    case 4:
    case 7:
    case FAR_POINTER:
      return operandSize === 16 ? 2 : 4;
    case 5:
      return operandSize >> 3;
    case 9:
      return addressSize >> 3;
    default:
      return 1;
  }
}

const CONTROL_REGISTERS = 0b1_0001_1101;
const SEGMENT_REGISTERS = 6;
const CS = 1;

/** Whether the registers that an instruction names exist and may be used so. */
function admits(
  check: number,
  modrm: number,
  rex: number,
  vvvv: number,
  { reg0, reg1, reg2, index }: Decoded,
): boolean {
  const field = (modrm >> 3) & 7;
  const reg = field | ((rex & REX_R) << 1);
  switch (check) {
    case CHECK.CONTROL:
      return ((CONTROL_REGISTERS >> reg) & 1) !== 0;
    case CHECK.DEBUG:
    case CHECK.TILE:
      return reg < 8;
    case CHECK.SEGMENT_LOAD:
      return field !== CS && field < SEGMENT_REGISTERS;
    case CHECK.SEGMENT_STORE:
      return field < SEGMENT_REGISTERS;
    case CHECK.MASK:
      return reg < 8 && vvvv < 8;
    case CHECK.TILES:
      return reg < 8 && vvvv < 8 && !(rex & REX_B) && reg0 !== reg1 && reg1 !== reg2 && reg0 !== reg2;
    default:
      return reg0 !== index && reg1 !== index && reg0 !== reg1;
  }
}
