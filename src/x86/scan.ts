// The bytes before the operands: prefixes, REX or VEX, the opcode. Leaves what they say in the fields of one Scan, which
// decoder.ts goes on with. A step returns OK, or what `decode` is to return.

import { INVALID, MAX_LENGTH, MODE, TOO_LONG, TRUNCATED, type Mode } from './decoded.ts';
import { MAP } from './encoding.ts';
import { PREFIX_COLUMN } from './tables.ts';

export const OK = 1;

/** Classes of first bytes. */
const OPCODE = 0;
const SEGMENT_OVERRIDE = 1;
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
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]) CLASS[byte] = SEGMENT_OVERRIDE;
for (let byte = 0x40; byte < 0x50; byte++) CLASS[byte] = REX;
CLASS[0x66] = OPERAND_SIZE;
CLASS[0x67] = ADDRESS_SIZE;
CLASS[0xf0] = LOCK;
CLASS[0xf2] = REPNE;
CLASS[0xf3] = REP;
CLASS[0x0f] = ESCAPE;
CLASS[0xc4] = VEX3;
CLASS[0xc5] = VEX2;

/** Bits of REX, also where VEX gives them. */
export const REX_W = 8;
export const REX_R = 4;
export const REX_X = 2;
export const REX_B = 1;

const FS = 4;
const FS_OVERRIDE = 0x64;

/** Where decoding one instruction stands. */
export class Scan {
  code: Uint8Array = new Uint8Array(0);
  /** The next byte. */
  at = 0;
  /** Bytes from here on are not the instruction's; `short` is what to return when it wants them. */
  limit = 0;
  short = TRUNCATED;
  mode: Mode = MODE.CODE64;
  is64 = true;
  /** Segment override; -1: none. */
  segment = -1;
  size66 = false;
  addr67 = false;
  lock = false;
  rep = 0;
  rex = 0;
  hasRex = false;
  vvvv = 0;
  vexL = 0;
  map = 0;
  opcode = 0;
  /** Column of the mandatory prefix. */
  column = 0;
  modrm = 0;
  /** Index in ROWS, and what tables.ts says of it. */
  row = -1;
  bits = 0;
  /** The rm operand is memory. */
  isMemory = false;
  /** Bits. */
  operandSize = 32;
  addressSize = 64;

  begin(code: Uint8Array, start: number, end: number, mode: Mode): void {
    this.code = code;
    this.at = start;
    const isShort = end < start + MAX_LENGTH;
    this.limit = isShort ? end : start + MAX_LENGTH;
    this.short = isShort ? TRUNCATED : TOO_LONG;
    this.mode = mode;
    this.is64 = mode === MODE.CODE64;
    this.segment = -1;
    this.size66 = this.addr67 = this.lock = this.hasRex = false;
    this.rep = this.rex = this.vvvv = this.vexL = this.modrm = 0;
    this.map = MAP.ONE;
  }

  /** Legacy prefixes in any order, then REX or VEX, up to the opcode byte. */
  toOpcode(): number {
    for (;;) {
      if (this.at >= this.limit) return this.short;
      this.opcode = this.code[this.at++]!;
      const kind = CLASS[this.opcode]!;
      if (kind === OPCODE) break;
      if (kind === ESCAPE) return this.#escape();
      if (kind >= VEX3) return this.#vex(kind);
      if (kind === REX) {
        if (!this.is64) break;
        this.hasRex = true;
        this.rex = this.opcode & 15;
      } else {
        // A REX that the opcode does not follow at once is forgotten.
        this.hasRex = false;
        this.rex = 0;
        this.#legacyPrefix(kind);
      }
    }
    this.#mandatoryPrefix();
    return OK;
  }

  #legacyPrefix(kind: number): void {
    if (kind === SEGMENT_OVERRIDE) {
      // In 64-bit mode ES, CS, SS and DS overrides mean nothing, and do not undo FS or GS.
      if (this.opcode >= FS_OVERRIDE) this.segment = this.opcode - FS_OVERRIDE + FS;
      else if (!this.is64) this.segment = (this.opcode >> 3) & 3;
    } else if (kind === OPERAND_SIZE) this.size66 = true;
    else if (kind === ADDRESS_SIZE) this.addr67 = true;
    else if (kind === LOCK) this.lock = true;
    else this.rep = kind === REP ? 1 : 2;
  }

  /** F3 and F2 go before 66; the last of them counts. */
  #mandatoryPrefix(): void {
    if (this.rep === 0) this.column = this.size66 ? PREFIX_COLUMN.X66 : PREFIX_COLUMN.NP;
    else this.column = this.rep === 1 ? PREFIX_COLUMN.F3 : PREFIX_COLUMN.F2;
  }

  #escape(): number {
    this.#mandatoryPrefix();
    if (this.at >= this.limit) return this.short;
    this.opcode = this.code[this.at++]!;
    this.map = this.opcode === 0x38 ? MAP.X0F38 : this.opcode === 0x3a ? MAP.X0F3A : MAP.X0F;
    if (this.map === MAP.X0F) return OK;
    if (this.at >= this.limit) return this.short;
    this.opcode = this.code[this.at++]!;
    return OK;
  }

  #vex(kind: number): number {
    if (this.at >= this.limit) return this.short;
    const first = this.code[this.at]!;
    // Outside 64-bit mode C4 and C5 are LES and LDS, unless their ModRM would name a register.
    if (!this.is64 && first < 0xc0) {
      this.#mandatoryPrefix();
      return OK;
    }
    if (this.hasRex || this.size66 || this.lock || this.rep !== 0) return INVALID;
    this.at++;
    this.map = MAP.VEX_0F;
    this.rex = first & 0x80 ? 0 : REX_R;
    let last = first;
    if (kind === VEX3) {
      if (this.at >= this.limit) return this.short;
      last = this.code[this.at++]!;
      this.rex |= (first & 0x40 ? 0 : REX_X) | (first & 0x20 ? 0 : REX_B) | (last & 0x80 ? REX_W : 0);
      this.map = MAP.VEX_0F - 1 + (first & 0x1f);
      if (this.map < MAP.VEX_0F || this.map > MAP.VEX_0F3A) return INVALID;
    }
    this.vvvv = (~last >> 3) & 15;
    this.vexL = (last >> 2) & 1;
    this.column = last & 3;
    if (!this.is64) this.rex &= REX_W;
    if (this.at >= this.limit) return this.short;
    this.opcode = this.code[this.at++]!;
    return OK;
  }
}
