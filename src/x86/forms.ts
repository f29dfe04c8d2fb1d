// Forms: a row at one width and operand shape, the unit for which a handler is generated. Its name is
// `mnemonic.width.operands`: add.32.m.r, rep.movs.8.m, push.16.r.ss; shapes.ts says what the shapes mean. Not how a form is
// executed: cpu/code/interpreter.ts.

import type { Operand } from './operand.ts';
import type { Row } from './row.ts';
import {
  REACH,
  reachOf,
  shapesOf,
  sizeIn,
  VARIANTS,
  type Addressing,
  type Repeat,
  type RowShape,
  type Shape,
} from './shapes.ts';

export class Form {
  /** Index in FORMS. */
  readonly index: number;
  /** The first row that has this form: others may share it (01 /r and 03 /r add.32.r.r) and do the same. */
  readonly row: Row;
  /** Bits of the operation; 0 if it has no width. */
  readonly width: number;
  readonly rep: Repeat;
  /** The stack is the segmented one of 16- and 32-bit code. */
  readonly segmentedStack: boolean;
  /** Which code can reach it, through any of its rows: bits of REACH. */
  reach = 0;
  readonly #addressing: Addressing;
  readonly #shape: Shape;

  constructor(
    index: number,
    row: Row,
    width: number,
    rep: Repeat,
    segmentedStack: boolean,
    at: Addressing,
    shape: Shape,
  ) {
    this.index = index;
    this.row = row;
    this.width = width;
    this.rep = rep;
    this.segmentedStack = segmentedStack;
    this.#addressing = at;
    this.#shape = shape;
  }

  /** 64-bit code can reach it. */
  get in64(): boolean {
    return (this.reach & REACH.IN64) !== 0;
  }
  /** 16- and 32-bit code can reach it. */
  get outside64(): boolean {
    return (this.reach & REACH.OUTSIDE64) !== 0;
  }
  /** Kind of the memory operand, of the instruction's own address register, or none. */
  get memory(): MemoryShape {
    return this.#addressing.memory;
  }
  /** Address size when the form fixes it, in bits; 0 if it does not. */
  get addressSize(): 0 | 16 | 32 | 64 {
    return this.#addressing.size;
  }
  /** Shapes of the operands, joined by dots. */
  get shape(): string {
    return this.#shape.text;
  }
  get name(): string {
    const mnemonic = mnemonicOf(this.row, this.width);
    return [this.rep, mnemonic, this.width || '', this.shape].filter((part) => part !== '').join('.');
  }
}

export type MemoryShape = Addressing['memory'];

/** An operand of a form: where its value is. */
export interface FormOperand {
  readonly operand: Operand;
  readonly kind: 'register' | 'memory' | 'immediate' | 'implicit';
  /** Which of reg0..reg3 holds the register number; -1 if none does. */
  readonly slot: number;
  /** Bits of the operand; 0 if it has no size. */
  readonly width: number;
}

/** The mnemonic at a width: 'cbw|cwde|cdqe' names 16, 32 and 64 bits. */
export function mnemonicOf(row: Row, width: number): string {
  if (!row.mnemonic.includes('|')) return row.mnemonic;
  return row.mnemonic.split('|')[width >> 5]!;
}

/** Collects the forms of all rows; those that would have the same name are one. */
export class FormList {
  readonly forms: Form[] = [];
  /** By mnemonic, repeat and stack, shape, width: all that a name says. */
  readonly #known = new Map<number, Form>();
  readonly #mnemonics = new Map<string, number>();
  readonly #byName = new Map<string, Form>();

  /** Appends the indices of a row's forms (-1: unreachable) to `out`, in the order that the decoder computes. */
  add(row: Row, shape: RowShape, out: number[]): void {
    const variants = VARIANTS[shape.addressing]!;
    const shapes = shapesOf(row, shape);
    for (const width of shape.widths) {
      const mnemonic = this.#mnemonicNumber(mnemonicOf(row, width));
      for (const rep of shape.repeats)
        for (let i = 0; i < shapes.length; i++) {
          const segmentedStack = i >= variants.length;
          const at = variants[segmentedStack ? i - variants.length : i]!;
          const reach = reachOf(row, shape.rule, width, at, segmentedStack);
          if (reach === 0) out.push(-1);
          else {
            const key = ((mnemonic * 4 + REPEAT_NUMBER[rep]) * 512 + shapes[i]!.id) * 64 + (width >> 3);
            const form = this.#form(key, row, width, rep, segmentedStack, at, shapes[i]!);
            form.reach |= reach;
            out.push(form.index);
          }
        }
    }
  }

  #mnemonicNumber(name: string): number {
    let number = this.#mnemonics.get(name);
    if (number === undefined) this.#mnemonics.set(name, (number = this.#mnemonics.size));
    return number;
  }

  #form(
    key: number,
    row: Row,
    width: number,
    rep: Repeat,
    segmentedStack: boolean,
    at: Addressing,
    shape: Shape,
  ): Form {
    const found = this.#known.get(key);
    if (found === undefined) {
      const form = new Form(this.forms.length, row, width, rep, segmentedStack, at, shape);
      this.forms.push(form);
      this.#known.set(key, form);
      return form;
    }
    if (found.row.semantics !== row.semantics || found.row.microcode !== row.microcode) {
      throw new Error(`form ${found.name}: rows '${found.row.text}' and '${row.text}' share it but do not do the same`);
    }
    return found;
  }

  byName(name: string): Form | undefined {
    if (this.#byName.size === 0) for (const form of this.forms) this.#byName.set(form.name, form);
    return this.#byName.get(name);
  }
}

const REPEAT_NUMBER: Readonly<Record<Repeat, number>> = { '': 0, rep: 1, repz: 2, repnz: 3 };

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
