// Forms: a row at one width and operand shape, the unit for which a handler is generated. Its name is
// `mnemonic.width.operands`: add.32.m.r, rep.movs.8.m, push.16.r.ss. Not how a form is executed: cpu/interpreter.ts.
//
// Shapes of a memory operand: m = flat, 64-bit address; m32 = flat, address wrapped to 32 bits (67 in 64-bit mode);
// s = general: FS or GS in 64-bit mode, everything in 16- and 32-bit code. Where an instruction steps or reads an address
// register by itself the general shape names the address size (s16, s32, s64), as a16, a32, a64 do for a count register.
// o, o32, os: the same three for an address given by the instruction itself (A0 to A3).
// ss: outside 64-bit mode, the instruction uses the stack. A size letter (rb, mw) marks the narrower source of MOVZX and MOVSX.

import type { Operand } from './operand.ts';
import type { Row } from './row.ts';

export interface Form {
  /** Index in FORMS. */
  readonly index: number;
  /** The first row that has this form: others may share it (01 /r and 03 /r add.32.r.r) and do the same. */
  readonly row: Row;
  /** Bits of the operation; 0 if it has no width. */
  readonly width: number;
  /** Shapes of the operands, joined by dots. */
  readonly shape: string;
  readonly name: string;
  /** Kind of the memory operand, of the instruction's own address register, or none. */
  readonly memory: MemoryShape;
  /** Address size when the form fixes it, in bits; 0 if it does not. */
  readonly addressSize: 0 | 16 | 32 | 64;
  readonly rep: '' | 'rep' | 'repz' | 'repnz';
  /** The stack is the segmented one of 16- and 32-bit code. */
  readonly segmentedStack: boolean;
}

export type MemoryShape = '' | 'm' | 'm32' | 's';

/** An operand of a form: where its value is. */
export interface FormOperand {
  readonly operand: Operand;
  readonly kind: 'register' | 'memory' | 'immediate' | 'implicit';
  /** Which of reg0..reg3 holds the register number; -1 if none does. */
  readonly slot: number;
  /** Bits of the operand; 0 if it has no size. */
  readonly width: number;
}

/** One way to address memory, or a count: what the decoder distinguishes. */
interface Addressing {
  readonly name: string;
  readonly memory: MemoryShape;
  readonly size: 0 | 16 | 32 | 64;
  /** Which code has it. */
  readonly in64: boolean;
  readonly inOther: boolean;
}
const addressing = (
  name: string,
  memory: MemoryShape,
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
const VARIANTS: readonly (readonly Addressing[])[] = [
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

/** What the decoder needs to know of a row's forms. */
export interface RowShape {
  readonly rule: WidthRule;
  readonly widths: readonly number[];
  readonly addressing: AddressingKind;
  readonly addressings: number;
  readonly repeats: readonly Form['rep'][];
}

/** Bits of each operand size that is the same everywhere. */
const FIXED_SIZE: Readonly<Record<string, number>> = {
  b: 8,
  bs: 8,
  w: 16,
  d: 32,
  ss: 32,
  si: 32,
  q: 64,
  sd: 64,
  t: 80,
  dq: 128,
  qq: 256,
};
/** Sizes that are the vector length divided by this. */
const VECTOR_SIZE: Readonly<Record<string, number>> = { x: 1, ps: 1, pd: 1, h: 2, f: 4, e: 8 };

/** Which rule a size brings; of several the highest wins, so that MOVSXD Gv,Ez has the widths of v. */
const SIZE_RANK: Readonly<Record<string, number>> = {
  v: 5,
  p: 5,
  y: 4,
  n: 3,
  z: 2,
  a: 2,
  x: 1,
  ps: 1,
  pd: 1,
  h: 1,
  f: 1,
  e: 1,
};
const RANK_RULE: readonly WidthRule[] = [
  WIDTH_RULE.FIXED,
  WIDTH_RULE.X,
  WIDTH_RULE.Z,
  WIDTH_RULE.N,
  WIDTH_RULE.Y,
  WIDTH_RULE.V,
];
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

/** The mnemonic at a width: 'cbw|cwde|cdqe' names 16, 32 and 64 bits. */
export function mnemonicOf(row: Row, width: number): string {
  if (!row.mnemonic.includes('|')) return row.mnemonic;
  return row.mnemonic.split('|')[width >> 5]!;
}

/** Memory at an offset in the instruction: the address is the immediate, so these are forms of their own. */
const OFFSET_NAMES: Readonly<Record<string, string>> = { m: 'o', m32: 'o32', s: 'os' };

function operandShape(operand: Operand, variable: boolean, at: Addressing): string {
  const isMemory = operand.memory === 'only' || (operand.memory === 'or' && at.memory !== '');
  const narrower =
    variable && operand.memory === 'or' && operand.size === operand.memorySize && operand.size in FIXED_SIZE;
  if (operand.addressing === 'offset') return OFFSET_NAMES[at.name]!;
  return (isMemory ? at.name : operand.shape) + (narrower && operand.file === 'gpr' ? operand.size : '');
}

function shapeText(row: Row, rule: WidthRule, at: Addressing, segmentedStack: boolean): string {
  const isString = row.operands.some((o) => o.addressing === 'si' || o.addressing === 'di');
  const variable = rule === WIDTH_RULE.V || rule === WIDTH_RULE.Y;
  const shapes = isString ? [] : row.operands.map((operand) => operandShape(operand, variable, at));
  if (row.addressed) shapes.push(at.name);
  if (segmentedStack) shapes.push('ss');
  return shapes.join('.');
}

/** Whether code of some mode can reach a row's form. */
function reachable(row: Row, rule: WidthRule, width: number, at: Addressing, segmentedStack: boolean): boolean {
  const in64 = row.modes !== 'no64' && at.in64 && !segmentedStack;
  const inOther = row.modes !== 'only64' && at.inOther && (segmentedStack || !row.stack);
  const byOperandSize = rule === WIDTH_RULE.V || rule === WIDTH_RULE.Y || rule === WIDTH_RULE.N;
  const is64 = byOperandSize && width === 64;
  if (inOther && !is64) return true;
  if (!in64) return false;
  if (row.f64) return width === 64;
  if (row.d64) return width !== 32;
  return rule !== WIDTH_RULE.N || width === 64;
}

/** Collects the forms of all rows; equal names share one form. */
export class FormList {
  readonly forms: Form[] = [];
  readonly #byName = new Map<string, Form>();

  /** Appends the indices of a row's forms (-1: unreachable) to `out`, in the order that the decoder computes. */
  add(row: Row, shape: RowShape, out: number[]): void {
    const variants = VARIANTS[shape.addressing]!;
    const stacks = row.stack ? [false, true] : [false];
    const names = stacks.map((segmented) => variants.map((at) => shapeText(row, shape.rule, at, segmented)));
    for (const width of shape.widths) {
      const mnemonic = mnemonicOf(row, width);
      const stem = width === 0 ? mnemonic : `${mnemonic}.${width}`;
      for (const rep of shape.repeats)
        stacks.forEach((segmentedStack, stack) =>
          variants.forEach((at, i) => {
            const text = names[stack]![i]!;
            const index = reachable(row, shape.rule, width, at, segmentedStack)
              ? this.#form(
                  row,
                  width,
                  text,
                  (rep === '' ? '' : `${rep}.`) + stem + (text === '' ? '' : `.${text}`),
                  rep,
                  segmentedStack,
                  at,
                )
              : -1;
            out.push(index);
          }),
        );
    }
  }

  #form(
    row: Row,
    width: number,
    shape: string,
    name: string,
    rep: Form['rep'],
    segmentedStack: boolean,
    at: Addressing,
  ): number {
    const found = this.#byName.get(name);
    if (found) {
      if (found.row.semantics !== row.semantics || found.row.microcode !== row.microcode) {
        throw new Error(`form ${name}: rows '${found.row.text}' and '${row.text}' share it but do not do the same`);
      }
      return found.index;
    }
    const index = this.forms.length;
    const form: Form = { index, row, width, shape, name, memory: at.memory, addressSize: at.size, rep, segmentedStack };
    this.forms.push(form);
    this.#byName.set(name, form);
    return index;
  }

  byName(name: string): Form | undefined {
    return this.#byName.get(name);
  }
}

/** Bits of an operand of `size` in an operation of `width` bits; 0 if it has none. */
function sizeIn(size: string, width: number): number {
  if (size in FIXED_SIZE) return FIXED_SIZE[size]!;
  if (size in VECTOR_SIZE) return width / VECTOR_SIZE[size]!;
  if (size === 'z') return Math.min(width, 32);
  return size === 'y' ? Math.max(width, 32) : size === 'v' || size === 'n' ? width : 0;
}

/** Whether an operand has its register number in one of reg0..reg3, given that it is a register. */
export const takesSlot = (operand: Operand): boolean => operand.file !== null && !operand.literal;

/** The operands of a form, in the row's (Intel's) order; `row` is one of the rows that share the form. */
export function operandsOf(form: Form, row = form.row): FormOperand[] {
  let slots = 0;
  return row.operands.map((operand) => {
    const isMemory = operand.memory === 'only' || (operand.memory === 'or' && form.memory !== '');
    const width = sizeIn(isMemory ? operand.memorySize : operand.size, form.width);
    if (isMemory) return { operand, kind: 'memory', slot: -1, width };
    if (takesSlot(operand)) return { operand, kind: 'register', slot: slots++, width };
    return { operand, kind: operand.immediate === '' ? 'implicit' : 'immediate', slot: -1, width };
  });
}
