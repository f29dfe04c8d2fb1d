// The decoder's tables, compiled from the rows when this module is loaded: from opcode bytes to row, and what decoding a row
// needs to know, in typed arrays. decoder.ts reads them and nothing else.
//
// Theory: each (map, opcode) is a slot, and a slot is a small dense array of cells, one for each combination of whatever its
// rows care about: mode, mandatory prefix, W, REX.B, VEX.L, and mod/reg/rm of ModRM. A cell holds row index + 1, or 0.
// The more specific of two rows takes the cell; equally specific ones are a mistake in the rows and throw.

import { MAPS, PREFIX } from './encoding.ts';
import { FormList, mnemonicOf, takesSlot, type Form } from './forms.ts';
import type { Operand } from './operand.ts';
import type { Row } from './row.ts';
import { ROWS } from './rows.ts';
import { isDestinationString, shapeOf } from './shapes.ts';

/** What a slot's cells are told apart by. */
export const DIMENSION = { MODE: 1, PREFIX: 2, W: 4, B: 8, L: 16, MOD: 32, REG: 64, RM: 128, MODRM: 256 } as const;

/** Bits of `rowBits`. */
export const ROW = {
  MODRM: 1 << 0,
  /** 66 changes the operand size. */
  OPERAND_SIZE: 1 << 1,
  D64: 1 << 2,
  F64: 1 << 3,
  LOCK: 1 << 4,
  VVVV: 1 << 5,
  VSIB: 1 << 6,
  IGNORES_MOD: 1 << 7,
  STACK: 1 << 8,
  /** The memory operand is at ES:rDI alone: no segment override. */
  DESTINATION_STRING: 1 << 9,
  IMM2: 1 << 10,
  /** The memory operand must have a SIB byte. */
  SIB: 1 << 27,
} as const;
/** Where the fields of several bits begin in `rowBits`. */
export const ROW_FIELD = { REP: 11, CHECK: 13, RULE: 17, ADDRESSING: 20, IMMEDIATE: 23 } as const;

/** What must hold of the decoded operands, beyond the tables. */
export const CHECK = {
  NONE: 0,
  CONTROL: 1,
  DEBUG: 2,
  SEGMENT_LOAD: 3,
  SEGMENT_STORE: 4,
  GATHER: 5,
  MASK: 6,
  TILE: 7,
  TILES: 8,
} as const;

/** Kinds of immediate, and the letter of each in operand.ts. */
export const IMMEDIATE = {
  NONE: 0,
  BYTE: 1,
  SIGNED_BYTE: 2,
  WORD: 3,
  AT_MOST_32: 4,
  FULL: 5,
  RELATIVE_BYTE: 6,
  RELATIVE: 7,
  FAR_POINTER: 8,
  OFFSET: 9,
  REGISTER: 10,
} as const;
const IMMEDIATES = ['', 'b', 'bs', 'w', 'z', 'v', 'jb', 'jz', 'p', 'o', 'is4'];

/** The decoder's columns of mandatory prefixes, in the order of the bits of PREFIX (and of VEX.pp). */
export const PREFIX_COLUMN = { NP: 0, X66: 1, F3: 2, F2: 3 } as const;

/** Bytes of a plan: where a register operand's number comes from. */
export const PLAN = {
  REG: 1,
  RM: 2,
  VVVV: 3,
  OPCODE: 4,
  IS4: 5,
  FIXED: 6,
  PLACE: 7,
  BYTE: 8,
  NO_EXTENSION: 16,
  NUMBER: 5,
} as const;
const PLACES = {
  reg: PLAN.REG,
  rm: PLAN.RM,
  vvvv: PLAN.VVVV,
  opcode: PLAN.OPCODE,
  is4: PLAN.IS4,
  fixed: PLAN.FIXED,
  none: 0,
};

const REP_KINDS = { rep: 1, repcc: 2 } as const;

function checkOf(row: Row): number {
  const { operands } = row;
  if (operands.some((o) => o.file === 'control')) return CHECK.CONTROL;
  if (operands.some((o) => o.file === 'debug')) return CHECK.DEBUG;
  if (operands.some((o) => o.file === 'mask' && o.place !== 'rm')) return CHECK.MASK;
  const tiles = operands.filter((o) => o.file === 'tile').length;
  if (tiles > 0) return tiles > 1 ? CHECK.TILES : CHECK.TILE;
  const segment = operands.findIndex((o) => o.notation === 'Sw');
  if (segment >= 0) return segment === 0 ? CHECK.SEGMENT_LOAD : CHECK.SEGMENT_STORE;
  return operands.some((o) => o.addressing === 'vector') ? CHECK.GATHER : CHECK.NONE;
}

function bitsOf(row: Row, rule: number, addressing: number): number {
  const { encoding, operands } = row;
  const immediates = operands.filter((o) => o.immediate !== '');
  let bits = 0;
  if (encoding.modrm) bits |= ROW.MODRM;
  if (encoding.prefixes !== PREFIX.X66) bits |= ROW.OPERAND_SIZE;
  if (row.d64) bits |= ROW.D64;
  if (row.f64) bits |= ROW.F64;
  if (row.lock && operands[0]!.memory !== 'no') bits |= ROW.LOCK;
  if (operands.some((o) => o.place === 'vvvv')) bits |= ROW.VVVV;
  if (operands.some((o) => o.addressing === 'vector')) bits |= ROW.VSIB | ROW.SIB;
  if (operands.some((o) => o.size === 'sib')) bits |= ROW.SIB;
  if (row.ignoresMod) bits |= ROW.IGNORES_MOD;
  if (row.stack) bits |= ROW.STACK;
  if (isDestinationString(row)) bits |= ROW.DESTINATION_STRING;
  if (immediates.length > 1) bits |= ROW.IMM2;
  if (row.rep) bits |= REP_KINDS[row.rep] << ROW_FIELD.REP;
  const immediate = Math.max(0, IMMEDIATES.indexOf(immediates[0]?.immediate ?? ''));
  return (
    bits |
    (checkOf(row) << ROW_FIELD.CHECK) |
    (rule << ROW_FIELD.RULE) |
    (addressing << ROW_FIELD.ADDRESSING) |
    (immediate << ROW_FIELD.IMMEDIATE)
  );
}

const NO_EXTENSION = new Set(['segment', 'mmx', 'x87', 'mask', 'tile']);

/** Packs where the register operands come from, a byte each; `memory`: the rm operand is memory. */
function planOf(operands: readonly Operand[], memory: boolean): number {
  let plan = 0;
  let shift = 0;
  for (const operand of operands) {
    if (!takesSlot(operand) || (memory && operand.memory === 'or')) continue;
    let byte: number = PLACES[operand.place];
    if (operand.file === 'gpr' && operand.size === 'b') byte |= PLAN.BYTE;
    if (NO_EXTENSION.has(operand.file!)) byte |= PLAN.NO_EXTENSION;
    if (operand.place === 'fixed') byte |= operand.fixed << PLAN.NUMBER;
    plan |= byte << shift;
    shift += 8;
  }
  return plan;
}

/** How much a row constrains the bytes it matches: of two that match, the one that constrains more has them. */
function specificity({ encoding: e, operands }: Row): number {
  let n = e.prefixes === PREFIX.ANY ? 0 : e.prefixes === (PREFIX.NP | PREFIX.X66) ? 1 : 2;
  if (e.w >= 0) n++;
  if (e.b >= 0) n++;
  if (e.l >= 0) n++;
  if (e.reg >= 0) n++;
  if (e.rm >= 0) n++;
  if (e.opcodes === 1) n++;
  if (modOf(e.registerOnly, operands) >= 0) n++;
  return n;
}

/** 0: memory only, 1: register only, -1: both. */
function modOf(registerOnly: boolean, operands: readonly Operand[]): -1 | 0 | 1 {
  if (registerOnly) return 1;
  if (operands.some((o) => o.memory === 'or')) return -1;
  if (operands.some((o) => o.memory === 'only' && o.addressing !== 'offset')) return 0;
  return operands.some((o) => o.place === 'rm') ? 1 : -1;
}

const EITHER = [0, 1];
const EIGHT = [0, 1, 2, 3, 4, 5, 6, 7];
/** Set bits of a prefix mask. */
const COLUMNS = Array.from({ length: 16 }, (_, mask) => [0, 1, 2, 3].filter((bit) => mask & (1 << bit)));
const ONE = EIGHT.map((value) => [value]);
const bit = (value: number): readonly number[] => (value < 0 ? EITHER : ONE[value]!);
const field = (value: number): readonly number[] => (value < 0 ? EIGHT : ONE[value]!);

/** Appends a dimension: each cell becomes one for each of the values. */
function expand(cells: readonly number[], size: number, values: readonly number[]): number[] {
  const out: number[] = [];
  for (const cell of cells) for (const value of values) out.push(cell * size + value);
  return out;
}

/** All values that a row admits of the dimensions of its slot, flattened as decoder.ts computes them. */
function cellsOf(row: Row, dimensions: number): number[] {
  const { encoding: e, modes } = row;
  let cells = [0];
  if (dimensions & DIMENSION.MODE)
    cells = expand(cells, 2, modes === 'only64' ? ONE[1]! : modes === 'no64' ? ONE[0]! : EITHER);
  if (dimensions & DIMENSION.PREFIX) cells = expand(cells, 4, COLUMNS[e.prefixes]!);
  if (dimensions & DIMENSION.W) cells = expand(cells, 2, bit(e.w));
  if (dimensions & DIMENSION.B) cells = expand(cells, 2, bit(e.b));
  if (dimensions & DIMENSION.L) cells = expand(cells, 2, bit(e.l));
  if (dimensions & DIMENSION.MOD)
    cells = expand(cells, 2, row.ignoresMod ? EITHER : bit(modOf(e.registerOnly, row.operands)));
  if (dimensions & DIMENSION.REG) cells = expand(cells, 8, field(e.reg));
  if (dimensions & DIMENSION.RM) cells = expand(cells, 8, field(e.rm));
  return cells;
}

function dimensionsOf(rows: readonly Row[]): number {
  let dimensions = 0;
  for (const { encoding: e, modes, operands, ignoresMod } of rows) {
    if (modes !== undefined && modes !== 'all') dimensions |= DIMENSION.MODE;
    if (e.prefixes !== PREFIX.ANY) dimensions |= DIMENSION.PREFIX;
    if (e.w >= 0) dimensions |= DIMENSION.W;
    if (e.b >= 0) dimensions |= DIMENSION.B;
    if (e.l >= 0) dimensions |= DIMENSION.L;
    if (e.modrm && !ignoresMod && modOf(e.registerOnly, operands) >= 0) dimensions |= DIMENSION.MOD;
    if (e.reg >= 0) dimensions |= DIMENSION.REG;
    if (e.rm >= 0) dimensions |= DIMENSION.RM;
    if (e.modrm) dimensions |= DIMENSION.MODRM;
  }
  return dimensions;
}

function sizeOf(dimensions: number): number {
  const { MODE, PREFIX: P, W, B, L, MOD, REG, RM } = DIMENSION;
  const sizes = [MODE, 2, P, 4, W, 2, B, 2, L, 2, MOD, 2, REG, 8, RM, 8];
  let size = 1;
  for (let i = 0; i < sizes.length; i += 2) if (dimensions & sizes[i]!) size *= sizes[i + 1]!;
  return size;
}

export interface Tables {
  /** By map << 8 | opcode: where the slot's cells begin, and its dimensions. */
  readonly slotBase: Int32Array;
  readonly slotDimensions: Uint16Array;
  readonly cells: Uint16Array;
  /** By row. */
  readonly rowBits: Int32Array;
  readonly rowWidth: Uint16Array;
  readonly registerPlan: Int32Array;
  readonly memoryPlan: Int32Array;
  readonly rowForms: Int32Array;
  readonly rowAddressings: Uint8Array;
  readonly rowRepeats: Uint8Array;
  /** By rowForms + ((width * repeats + repeat) * stacks + stack) * addressings + addressing: a form's index or -1. */
  readonly formIndex: Int32Array;
  readonly forms: readonly Form[];
}

/** Compiles rows. Throws if two equally specific rows claim the same bytes, or two rows a form that they execute differently. */
export function compile(rows: readonly Row[]): Tables & { readonly list: FormList } {
  const slots: number[][] = Array.from({ length: MAPS * 256 }, () => []);
  rows.forEach(({ encoding: { map, opcode, opcodes } }, index) => {
    for (let i = 0; i < opcodes; i++) slots[(map << 8) | (opcode + i)]!.push(index);
  });
  const ranks = rows.map(specificity);
  const slotBase = new Int32Array(MAPS * 256);
  const slotDimensions = new Uint16Array(MAPS * 256);
  const cells: number[] = [0];
  slots.forEach((slot, at) => {
    if (slot.length === 0) return;
    slotBase[at] = cells.length;
    slotDimensions[at] = fill(rows, slot, ranks, cells);
  });
  return { slotBase, slotDimensions, cells: Uint16Array.from(cells), ...compileRows(rows) };
}

/** Appends the cells of one slot to `cells`; returns the slot's dimensions. */
function fill(rows: readonly Row[], slot: readonly number[], ranks: readonly number[], cells: number[]): number {
  const dimensions = dimensionsOf(slot.map((index) => rows[index]!));
  const base = cells.length;
  for (let i = sizeOf(dimensions); i > 0; i--) cells.push(0);
  for (const index of [...slot].sort((a, b) => ranks[b]! - ranks[a]!)) {
    for (const cell of cellsOf(rows[index]!, dimensions)) {
      const owner = cells[base + cell]! - 1;
      if (owner < 0) cells[base + cell] = index + 1;
      else if (ranks[owner] === ranks[index])
        throw new Error(`${describe(rows[owner]!)} and ${describe(rows[index]!)} claim the same bytes`);
    }
  }
  return dimensions;
}

const describe = (row: Row): string => `row '${row.text}' ${row.mnemonic}`;

function compileRows(rows: readonly Row[]): Omit<Tables, 'slotBase' | 'slotDimensions' | 'cells'> & { list: FormList } {
  const list = new FormList();
  const formIndex: number[] = [];
  const count = rows.length;
  const t = {
    rowBits: new Int32Array(count),
    rowWidth: new Uint16Array(count),
    registerPlan: new Int32Array(count),
    memoryPlan: new Int32Array(count),
    rowForms: new Int32Array(count),
    rowAddressings: new Uint8Array(count),
    rowRepeats: new Uint8Array(count),
  };
  rows.forEach((row, i) => {
    const shape = shapeOf(row);
    t.rowBits[i] = bitsOf(row, shape.rule, shape.addressing);
    t.rowWidth[i] = shape.widths[0]!;
    t.registerPlan[i] = planOf(row.operands, false);
    t.memoryPlan[i] = planOf(row.operands, true);
    t.rowForms[i] = formIndex.length;
    t.rowAddressings[i] = shape.addressings;
    t.rowRepeats[i] = shape.repeats.length;
    list.add(row, shape, formIndex);
  });
  return { ...t, formIndex: Int32Array.from(formIndex), forms: list.forms, list };
}

const compiled = compile(ROWS);
export const TABLES: Tables = compiled;

/** All forms of all rows. */
export const FORMS: readonly Form[] = compiled.forms;

/** The form of that name (`add.32.m.r`), if there is one. */
export const formByName = (name: string): Form | undefined => compiled.list.byName(name);

/** The forms of a row, by its index in ROWS; other rows may share them. */
export function formsOf(row: number): Form[] {
  const { rowForms, formIndex, forms } = compiled;
  const indices = formIndex.subarray(rowForms[row], rowForms[row + 1]);
  return Array.from(new Set(indices), (index) => forms[index]).filter((form) => form !== undefined);
}

/** The form that a row's encoding has on processors without its CPUID bit instead of this one; undefined if it is #UD there. */
export function formWithoutFeature(row: Row, { width, name }: Form): Form | undefined {
  if (row.without === undefined) return undefined;
  // A NOP is one whatever its operands.
  return formByName(row.without === 'nop' ? 'nop' : row.without + name.slice(mnemonicOf(row, width).length));
}
