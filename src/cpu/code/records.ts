// Records: what the decoder leaves for generated code, 32 bytes an instruction, in the code cache of linear memory. They
// hold offsets into the state block and into the page, never addresses, so one decoded block serves every vCPU of a VM.
//
// Theory: RIP is ripPage + the record's offset. RIP-relative operands use the field `ripPage` as their base register, with
// the instruction's end added to the displacement. Where that sum leaves 32 bits, the (unused) index becomes `pageUnit`
// doubled, which adds 8192, and the displacement is that much less.

import type { Decoded } from '../../x86/decoder.ts';
import { SEGMENT_SIZE, OFFSET } from '../state.ts';
import type { Views } from '../layout.ts';

export const RECORD_SIZE = 32;

/* prettier-ignore */
/** Byte offsets of a record's fields. */
export const RECORD = {
  handler: 0,     // u16: handler table index
  remaining: 2,   // u16: units from this instruction to the end of the block, itself included
  slots: 4,       // u16 at 4, 6 and 22: state offsets of the register operands in operand order
  lastBlockOfMemory: 4, // i32: jumps with a memory operand: the block that they led to last
  lastBlock: 8,   // i32: the same of jumps without
  base: 8,        // u16: state offset of the base register, `zero` or `ripPage`
  index: 10,      // u16: state offset of the index register or `zero`
  scale: 12,      // u8: bits 0-1 shift of the index; bits 6-7 select the address mask
  length: 13,     // u8: bytes
  ripOffset: 14,  // u16: offset within the page
  disp: 16,       // i32: displacement, sign-extended
  taken: 16,      // i32: branches: address of the block at the target, 0 while unknown
  segment: 20,    // u16: state offset of the segment cache of the memory operand
  slot2: 22,      // u16: third register operand, or the second immediate
  imm: 24,        // u64: immediate; branches: i32 displacement
  attendsLater: 24, // u8: STI: 1 if the block ends, with `attend`, behind the next instruction
  fallThrough: 28,// i32: branches: address of the block behind, 0 while unknown
} as const;

/** State offset of operand slot 0, 1 or 2 within a record. */
export const SLOT_OFFSETS = [RECORD.slots, RECORD.slots + 2, RECORD.slot2] as const;

/** What the addressed segment of each kind of mask is: index into `addressMask`. */
const MASK_INDEX: Record<number, number> = { 64: 0, 32: 1, 16: 2 };

const HIGH_BYTE = 16;

/** State offset of a register operand: AH, CH, DH and BH (16 to 19) are the second byte of RAX to RBX. */
export const registerOffset = (register: number): number =>
  register >= HIGH_BYTE ? OFFSET.gpr + 8 * (register - HIGH_BYTE) + 1 : OFFSET.gpr + 8 * register;

/** Register number (16 to 19: AH to BH) of a state offset that `registerOffset` gave. */
export function registerOf(offset: number): number {
  const at = offset - OFFSET.gpr;
  return at & 1 ? HIGH_BYTE + (at >> 3) : at >> 3;
}

const RIP_BASE = 16;

/** What is the same in all records of a form. */
export interface RecordShape {
  /** A relative branch: links take the place of displacement and upper immediate. */
  readonly isBranch: boolean;
  /** Which operand slots are general registers, kept as state offsets; others keep the register's number. */
  readonly generalSlots: readonly boolean[];
  /** A second immediate, or the selector of a far pointer, has the place of the third slot. */
  readonly hasSecondImmediate: boolean;
}

/**
 * Writes the record of a decoded instruction at byte `at`, except `remaining`, which the block fills in when it is complete.
 * `ripOffset` is the offset of the instruction within its page.
 */
export function writeRecord(
  views: Views,
  at: number,
  handler: number,
  insn: Decoded,
  ripOffset: number,
  shape: RecordShape,
): void {
  const { u8, u16, i32 } = views;
  const h = at >> 1;
  const w = at >> 2;
  u16[h] = handler;
  u16[h + 1] = 0;
  u16[h + 2] = slot(insn.reg0, shape.generalSlots[0]);
  u16[h + 3] = slot(insn.reg1, shape.generalSlots[1]);
  let { disp } = insn;
  let index = insn.index < 0 ? OFFSET.zero : OFFSET.gpr + 8 * insn.index;
  let { scale } = insn;
  let base = insn.base < 0 ? OFFSET.zero : OFFSET.gpr + 8 * insn.base;
  if (insn.base === RIP_BASE) {
    base = OFFSET.ripPage;
    disp += ripOffset + insn.length;
    if (disp > 0x7fff_ffff) {
      disp -= 8192;
      index = OFFSET.pageUnit;
      scale = 1;
    }
  }
  u16[h + 4] = base;
  u16[h + 5] = index;
  u8[at + RECORD.scale] = scale | (MASK_INDEX[insn.addressSize]! << 6);
  u8[at + RECORD.length] = insn.length;
  u16[h + 7] = ripOffset;
  i32[w + 4] = shape.isBranch ? 0 : disp;
  u16[h + 10] = OFFSET.segments + SEGMENT_SIZE * insn.segment;
  u16[h + 11] = shape.hasSecondImmediate ? insn.imm2 : slot(insn.reg2, shape.generalSlots[2]);
  i32[w + 6] = insn.immLo;
  i32[w + 7] = shape.isBranch ? 0 : insn.immHi;
}

function slot(register: number, general: boolean | undefined): number {
  if (register < 0) return OFFSET.zero;
  return general ? registerOffset(register) : register;
}
