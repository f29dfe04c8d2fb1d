// What distinguishes a row's forms: the widths of its operation, the ways it addresses memory, and the shapes of its operands.
//
// Shapes of a memory operand: m = flat, 64-bit address; m32 = flat, address wrapped to 32 bits (67 in 64-bit mode);
// s = general: FS or GS in 64-bit mode, everything in 16- and 32-bit code. Where an instruction steps or reads an address
// register by itself the general shape names the address size (s16, s32, s64), as a16, a32, a64 do for a count register.
// o, o32, os: the same three for an address given by the instruction itself (A0 to A3).
// ss: outside 64-bit mode, the instruction uses the stack. A size letter (rb, mw) marks the narrower source of MOVZX and MOVSX.

import type { Operand } from './operand.ts';
import type { Row } from './row.ts';

/** One way to address memory, or a count: what the decoder distinguishes. */
export interface Addressing {
  readonly name: string;
  readonly memory: '' | 'm' | 'm32' | 's';
  readonly size: 0 | 16 | 32 | 64;
  /** Which code has it. */
  readonly in64: boolean;
  readonly inOther: boolean;
}
const addressing = (
  name: string,
  memory: Addressing['memory'],
  size: 0 | 16 | 32 | 64,
  in64: boolean,
  inOther: boolean,
): Addressing => ({
  name,
  memory,
  size,
  in64,
  inOther,
});

const REGISTER = addressing('', '', 0, true, true);
const FLAT = addressing('m', 'm', 64, true, false);
const FLAT32 = addressing('m32', 'm32', 32, true, false);
const GENERAL = addressing('s', 's', 0, true, true);
const S16 = addressing('s16', 's', 16, false, true);
const S32 = addressing('s32', 's', 32, true, true);
const S64 = addressing('s64', 's', 64, true, false);
const A16 = addressing('a16', '', 16, false, true);
const A32 = addressing('a32', '', 32, true, true);
const A64 = addressing('a64', '', 64, true, false);

/** How a row addresses memory; the decoder computes an index into the list of its kind. */
export const ADDRESSING = { NONE: 0, MEMORY: 1, REGISTER_OR_MEMORY: 2, IMPLICIT: 3, COUNT: 4 } as const;
export type AddressingKind = (typeof ADDRESSING)[keyof typeof ADDRESSING];
export const VARIANTS: readonly (readonly Addressing[])[] = [
  [REGISTER],
  [FLAT, FLAT32, GENERAL],
  [REGISTER, FLAT, FLAT32, GENERAL],
  [FLAT, FLAT32, S16, S32, S64],
  [A16, A32, A64],
];

/** What decides the width of an operation; the decoder computes an index into the list of its rule. */
export const WIDTH_RULE = { FIXED: 0, V: 1, Z: 2, Y: 3, N: 4, X: 5 } as const;
export type WidthRule = (typeof WIDTH_RULE)[keyof typeof WIDTH_RULE];
const RULE_WIDTHS: readonly (readonly number[])[] = [[], [16, 32, 64], [16, 32], [32, 64], [32, 64], [128, 256]];

export type Repeat = '' | 'rep' | 'repz' | 'repnz';

/** What the decoder needs to know of a row's forms. */
export interface RowShape {
  readonly rule: WidthRule;
  readonly widths: readonly number[];
  readonly addressing: AddressingKind;
  readonly addressings: number;
  readonly repeats: readonly Repeat[];
}

/** Bits of each operand size that is the same everywhere. */
// prettier-ignore
const FIXED_SIZE: Readonly<Record<string, number>> = {
  b: 8, bs: 8, w: 16, d: 32, ss: 32, si: 32, q: 64, sd: 64, t: 80, dq: 128, qq: 256,
};
/** Sizes that are the vector length divided by this. */
const VECTOR_SIZE: Readonly<Record<string, number>> = { x: 1, ps: 1, pd: 1, h: 2, f: 4, e: 8 };

/** Which rule a size brings; of several the highest wins, so that MOVSXD Gv,Ez has the widths of v. */
// prettier-ignore
const SIZE_RANK: Readonly<Record<string, number>> = {
  v: 5, p: 5, y: 4, n: 3, z: 2, a: 2, x: 1, ps: 1, pd: 1, h: 1, f: 1, e: 1,
};
const { FIXED, V, Z, Y, N, X } = WIDTH_RULE;
const RANK_RULE: readonly WidthRule[] = [FIXED, X, Z, N, Y, V];
const FIXED_WIDTHS = new Map<number, readonly number[]>();
function fixedWidth(width: number): readonly number[] {
  let widths = FIXED_WIDTHS.get(width);
  if (!widths) FIXED_WIDTHS.set(width, (widths = [width]));
  return widths;
}

function ruleOf(row: Row): WidthRule {
  if (row.d64 || row.f64) return WIDTH_RULE.V;
  let rank = 0;
  if (row.size === undefined) {
    for (const { size, memorySize } of row.operands)
      rank = Math.max(rank, SIZE_RANK[size] ?? 0, SIZE_RANK[memorySize] ?? 0);
  } else rank = SIZE_RANK[row.size] ?? 0;
  const rule = RANK_RULE[rank]!;
  return rule === WIDTH_RULE.X && !(row.encoding.vex && row.encoding.l < 0) ? WIDTH_RULE.FIXED : rule;
}

/** Width of an operation whose operands have one size: its vector length, or that of the operand that may be in memory. */
function widthOf(row: Row): number {
  if (row.size !== undefined) return FIXED_SIZE[row.size] ?? 0;
  let told = 0;
  for (const { size, memorySize, memory, immediate } of row.operands) {
    if (size in VECTOR_SIZE || memorySize in VECTOR_SIZE) return row.encoding.l === 1 ? 256 : 128;
    if (immediate !== '' && immediate !== 'o') continue;
    if (memory !== 'no' && memorySize in FIXED_SIZE) return FIXED_SIZE[memorySize]!;
    if (told === 0) told = FIXED_SIZE[size] ?? 0;
  }
  return told;
}

function addressingOf(row: Row): AddressingKind {
  if (row.addressed === 'memory') return ADDRESSING.IMPLICIT;
  if (row.addressed === 'count') return ADDRESSING.COUNT;
  if (row.operands.some((o) => o.memory === 'or')) return ADDRESSING.REGISTER_OR_MEMORY;
  return row.operands.some((o) => o.memory === 'only') ? ADDRESSING.MEMORY : ADDRESSING.NONE;
}

const NO_REPEAT = [''] as const;
const REPEATS = { rep: ['', 'rep'], repcc: ['', 'repz', 'repnz'] } as const;

/** What distinguishes a row's forms. */
export function shapeOf(row: Row): RowShape {
  const rule = ruleOf(row);
  const addressing = addressingOf(row);
  return {
    rule,
    widths: rule === WIDTH_RULE.FIXED ? fixedWidth(widthOf(row)) : RULE_WIDTHS[rule]!,
    addressing,
    addressings: VARIANTS[addressing]!.length,
    repeats: row.rep ? REPEATS[row.rep] : NO_REPEAT,
  };
}

/** Memory at an offset in the instruction: the address is the immediate, so these are forms of their own. */
const OFFSET_NAMES: Readonly<Record<string, string>> = { m: 'o', m32: 'o32', s: 'os' };

function operandShape(operand: Operand, isVariable: boolean, at: Addressing): string {
  const isMemory = operand.memory === 'only' || (operand.memory === 'or' && at.memory !== '');
  const narrower =
    isVariable && operand.memory === 'or' && operand.size === operand.memorySize && operand.size in FIXED_SIZE;
  if (operand.addressing === 'offset') return OFFSET_NAMES[at.name]!;
  return (isMemory ? at.name : operand.shape) + (narrower && operand.file === 'gpr' ? operand.size : '');
}

/** A shape's text, and a number of its own. */
export interface Shape {
  readonly text: string;
  readonly id: number;
}
const shapes = new Map<string, Shape>();
const shapesByOperands = new Map<readonly Operand[], Shape[][]>();

/** The shapes of a row's operands, one for each way it addresses memory; behind them those with a segmented stack. */
export function shapesOf(row: Row, { rule, addressing }: RowShape): readonly Shape[] {
  const isVariable = rule === V || rule === Y;
  const kind = addressing * 4 + (row.stack ? 2 : 0) + (isVariable ? 1 : 0);
  let found = shapesByOperands.get(row.operands);
  if (!found) shapesByOperands.set(row.operands, (found = []));
  return (found[kind] ??= (row.stack ? ['', 'ss'] : ['']).flatMap((stack) =>
    VARIANTS[addressing]!.map((at) => intern(shapeText(row, isVariable, at, stack))),
  ));
}

function intern(text: string): Shape {
  let shape = shapes.get(text);
  if (!shape) shapes.set(text, (shape = { text, id: shapes.size }));
  return shape;
}

function shapeText(row: Row, isVariable: boolean, at: Addressing, stack: string): string {
  const isString = row.operands.some((o) => o.addressing === 'si' || o.addressing === 'di');
  const texts = isString ? [] : row.operands.map((operand) => operandShape(operand, isVariable, at));
  if (row.addressed) texts.push(at.name);
  if (stack !== '') texts.push(stack);
  return texts.join('.');
}

/** The memory operand is at ES:rDI alone, which no prefix changes: STOS, SCAS, INS. */
export function isDestinationString({ operands }: Row): boolean {
  const strings = operands.filter((o) => o.addressing === 'si' || o.addressing === 'di');
  return strings.length > 0 && strings.every((o) => o.addressing === 'di');
}

/** Which code can reach a form: bits, to be joined over the rows that share it. */
export const REACH = { IN64: 1, OUTSIDE64: 2 } as const;

/** Which code can reach a row's form; 0 if none can. */
export function reachOf(row: Row, rule: WidthRule, width: number, at: Addressing, segmentedStack: boolean): number {
  const byOperandSize = rule === WIDTH_RULE.V || rule === WIDTH_RULE.Y || rule === WIDTH_RULE.N;
  let reach = 0;
  if (row.modes !== 'no64' && at.in64 && !segmentedStack) {
    const has = row.f64 ? width === 64 : row.d64 ? width !== 32 : rule !== WIDTH_RULE.N || width === 64;
    const isFlat = at.memory === 's' && isDestinationString(row);
    if (has && !isFlat) reach |= REACH.IN64;
  }
  if (row.modes !== 'only64' && at.inOther && segmentedStack === (row.stack === true)) {
    const wantsRex = row.encoding.w === 1 && !row.encoding.vex;
    if (!wantsRex && !(byOperandSize && width === 64)) reach |= REACH.OUTSIDE64;
  }
  return reach;
}

/** Bits of an operand of `size` in an operation of `width` bits; 0 if it has none. */
export function sizeIn(size: string, width: number): number {
  if (size in FIXED_SIZE) return FIXED_SIZE[size]!;
  if (size in VECTOR_SIZE) return width / VECTOR_SIZE[size]!;
  if (size === 'z') return Math.min(width, 32);
  return size === 'y' ? Math.max(width, 32) : size === 'v' || size === 'n' ? width : 0;
}
