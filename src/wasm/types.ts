// WebAssembly value types and the operators of integer expressions, with their opcodes (core specification, 5.4).

export type Type = 'i32' | 'i64' | 'v128';
export type Int = 'i32' | 'i64';

export const TYPE_CODE: Record<Type, number> = { i32: 0x7f, i64: 0x7e, v128: 0x7b };

/** Opcodes of an operator on i32 and on i64 operands. */
type Codes = readonly [i32: number, i64: number];

/* prettier-ignore */
export const BINARY = {
  add: [0x6a, 0x7c], sub: [0x6b, 0x7d], mul: [0x6c, 0x7e],
  div_s: [0x6d, 0x7f], div_u: [0x6e, 0x80], rem_s: [0x6f, 0x81], rem_u: [0x70, 0x82],
  and: [0x71, 0x83], or: [0x72, 0x84], xor: [0x73, 0x85],
  shl: [0x74, 0x86], shr_s: [0x75, 0x87], shr_u: [0x76, 0x88], rotl: [0x77, 0x89], rotr: [0x78, 0x8a],
} as const satisfies Record<string, Codes>;

/** Comparisons take two integers and give an i32 that is 0 or 1. */
/* prettier-ignore */
export const COMPARE = {
  eq: [0x46, 0x51], ne: [0x47, 0x52],
  lt_s: [0x48, 0x53], lt_u: [0x49, 0x54], gt_s: [0x4a, 0x55], gt_u: [0x4b, 0x56],
  le_s: [0x4c, 0x57], le_u: [0x4d, 0x58], ge_s: [0x4e, 0x59], ge_u: [0x4f, 0x5a],
} as const satisfies Record<string, Codes>;

/* prettier-ignore */
export const UNARY = {
  clz: [0x67, 0x79], ctz: [0x68, 0x7a], popcnt: [0x69, 0x7b],
  extend8_s: [0xc0, 0xc2], extend16_s: [0xc1, 0xc3], extend32_s: [0, 0xc4],
} as const satisfies Record<string, Codes>;

/** Conversions change the type: source type, opcode. */
export const CONVERT = {
  wrap: ['i64', 'i32', 0xa7],
  extend_i32_s: ['i32', 'i64', 0xac],
  extend_i32_u: ['i32', 'i64', 0xad],
} as const;

export type BinaryOp = keyof typeof BINARY;
export type CompareOp = keyof typeof COMPARE;
export type UnaryOp = keyof typeof UNARY;
export type ConvertOp = keyof typeof CONVERT;

/** Opcode of a zero-extending load of `bytes` into a type; `null` where there is none. */
export const LOAD_CODE: Record<Int, Partial<Record<number, number>>> = {
  i32: { 1: 0x2d, 2: 0x2f, 4: 0x28 },
  i64: { 1: 0x31, 2: 0x33, 4: 0x35, 8: 0x29 },
};
/** Opcode of a store of the low `bytes` of a type. */
export const STORE_CODE: Record<Int, Partial<Record<number, number>>> = {
  i32: { 1: 0x3a, 2: 0x3b, 4: 0x36 },
  i64: { 1: 0x3c, 2: 0x3d, 4: 0x3e, 8: 0x37 },
};
