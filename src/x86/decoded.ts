// A decoded instruction as plain numbers, and what decoding may return instead. decoder.ts fills it in.

/** The code's operating mode: its default operand and address size. */
export const MODE = { CODE16: 0, CODE32: 1, CODE64: 2 } as const;
export type Mode = (typeof MODE)[keyof typeof MODE];

/** What `decode` returns instead of a length: not an instruction (#UD). */
export const INVALID = 0;
/** The instruction goes on beyond `end`: give it more bytes. */
export const TRUNCATED = -1;
/** Longer than 15 bytes: #GP(0). */
export const TOO_LONG = -2;

export const MAX_LENGTH = 15;
/** `base` of a RIP-relative operand. */
export const RIP = 16;
/** Register numbers from here on are AH, CH, DH and BH. */
export const HIGH_BYTES = 16;

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
