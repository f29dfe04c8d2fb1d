// Operands whose values are not known yet: encoded as placeholders of the width that GNU as would choose, found again in the
// bytes, and left to the layout as fixups. Also the limits of the values that are known.

import { fitsSigned } from './branch.ts';
import type { Mode } from './encoder.ts';
import { type Expression, number } from './expression.ts';
import { immediateWidth } from './immediate.ts';
import { gprSize, hex, type ImmediateOperand, type MemoryOperand, type Operand } from './operand.ts';
import { reject } from './problem.ts';
import type { Spelling } from './spelling.ts';

/** A field to be filled in once addresses are known. */
export interface Fixup {
  /** Within the item's bytes. */
  offset: number;
  size: 1 | 2 | 4 | 8;
  value: Expression;
  /** relative: to the end of the item. extended: the processor sign-extends the field to 64 bits. */
  kind: 'absolute' | 'extended' | 'relative';
}

/** Distinct byte patterns that fill a field of each width and shrink to nothing smaller. */
const PLACEHOLDER = {
  displacement: { 1: 0x5an, 2: 0x5a6bn, 4: 0x5a6b_7c1dn, 8: 0x5a6b_7c1d_2e3f_4051n },
  immediate: { 1: 0x2dn, 2: 0x2d3en, 4: 0x2d3e_4f61n, 8: 0x2d3e_4f61_7283_94a5n },
} as const;

/** The value of an expression that is known while the source is read, or null. */
export type Constant = (expression: Expression) => bigint | null;

interface Hole {
  placeholder: bigint;
  fixup: Fixup;
}

const inRange = (value: bigint, low: bigint, high: bigint): boolean => value >= low && value <= high;

const SIGN_HINT =
  '32-bit addresses are sign-extended to 64 bits, so this one would become 0xffffffff…: load it in a register (movl $…, %eax sets all of %rax), or use movabs with %rax';

/** Bytes of a memory operand's displacement at its full width. */
function addressBytes(operand: MemoryOperand, mode: Mode, prefixes: readonly string[]): 2 | 4 | 8 {
  const register = operand.base ?? operand.index;
  const size = register === null ? null : gprSize(register);
  if (size === 2 || (mode === 16 && size === null && !prefixes.includes('addr32'))) return 2;
  if (size === 4 || mode !== 64 || prefixes.includes('addr32')) return 4;
  return 8;
}

function displacementOf(value: bigint, bytes: 2 | 4 | 8, operand: MemoryOperand): bigint {
  if (bytes === 8) {
    if (!fitsSigned(value, 4))
      reject(`the address ${hex(value)} does not fit in a signed 32-bit displacement`, SIGN_HINT);
    return value;
  }
  const bits = 8 * bytes;
  if (!inRange(value, -(1n << BigInt(bits - 1)), (1n << BigInt(bits)) - 1n))
    reject(`the displacement ${hex(value)} exceeds ${bits} bits`);
  return operand.base === null && operand.index === null ? value : BigInt.asIntN(bits, value);
}

/** Operands as numbers: constants as they are, everything else as placeholders with a hole to fill. */
export class Filling {
  readonly #holes: Hole[] = [];
  readonly #spelling: Spelling;
  readonly #mode: Mode;
  readonly #constant: Constant;

  constructor(spelling: Spelling, mode: Mode, constant: Constant) {
    this.#spelling = spelling;
    this.#mode = mode;
    this.#constant = constant;
  }

  operand(index: number): Operand {
    const operand = this.#spelling.operands[index];
    switch (operand.kind) {
      case 'register':
        return operand;
      case 'immediate':
        return this.#immediate(operand, index);
      case 'memory':
        return this.#memory(operand);
    }
  }

  /** The fields to be filled in, found in the instruction's bytes. */
  fixups(bytes: Uint8Array): Fixup[] {
    return this.#holes.map((hole) => ({ ...hole.fixup, offset: locate(bytes, hole) }));
  }

  #hole(value: Expression, size: Fixup['size'], kind: Fixup['kind'], role: keyof typeof PLACEHOLDER): Expression {
    const placeholder = PLACEHOLDER[role][size];
    this.#holes.push({ placeholder, fixup: { offset: 0, size, value, kind } });
    return number(placeholder);
  }

  #immediate(operand: ImmediateOperand, index: number): Operand {
    const { mnemonic, operands } = this.#spelling;
    const { bytes, extended } = immediateWidth(mnemonic, operands, index, this.#mode);
    const value = this.#constant(operand.value);
    if (value === null) {
      const size = extended ? 4 : bytes;
      return {
        kind: 'immediate',
        value: this.#hole(operand.value, size, extended ? 'extended' : 'absolute', 'immediate'),
      };
    }
    if (extended ? !fitsSigned(value, 4) : !fitsField(value, bytes)) {
      reject(
        `the immediate ${hex(value)} does not fit in ${extended ? '32 bits, sign-extended' : `${8 * bytes} bits`}`,
        extended ? 'load it with movabs in a register first' : 'check the operand size in the mnemonic',
      );
    }
    return { kind: 'immediate', value: number(bytes === 8 ? value : BigInt.asIntN(8 * bytes, value)) };
  }

  #memory(operand: MemoryOperand): Operand {
    const mode = this.#mode;
    const isRelative = operand.base === 'rip' || operand.base === 'eip';
    if (isRelative && mode !== 64) reject('RIP-relative addresses exist in 64-bit mode only');
    if (operand.displacement === null) return operand;
    const value = this.#constant(operand.displacement);
    const isAbsolute = operand.base === null && operand.index === null;
    if (this.#spelling.mnemonic.startsWith('movabs')) {
      if (!isAbsolute) reject('movabs takes an absolute address', 'use mov for addresses in registers');
      return {
        ...operand,
        displacement: value === null ? this.#hole(operand.displacement, 8, 'absolute', 'displacement') : number(value),
      };
    }
    if (isRelative) {
      // A plain number is the displacement itself, as in GNU as; anything with a label in it is an address to reach.
      if (value !== null) return { ...operand, displacement: number(displacementOf(value, 8, operand)) };
      return { ...operand, displacement: this.#hole(operand.displacement, 4, 'relative', 'displacement') };
    }
    const bytes = addressBytes(operand, mode, this.#spelling.prefixes);
    const displacement =
      value === null
        ? this.#hole(operand.displacement, bytes === 2 ? 2 : 4, bytes === 8 ? 'extended' : 'absolute', 'displacement')
        : number(displacementOf(value, bytes, operand));
    // Without a register keystone would make the address RIP-relative: an empty index asks for the absolute form.
    return isAbsolute && mode === 64 ? { ...operand, displacement, index: 'riz' } : { ...operand, displacement };
  }
}

/** Whether a value can stand in a field, read as signed or unsigned (and, as GNU as allows, ~0-like in 32 bits). */
function fitsField(value: bigint, bytes: number): boolean {
  const bits = BigInt(8 * bytes);
  return inRange(value, bytes === 4 ? -(1n << bits) : -(1n << (bits - 1n)), (1n << bits) - 1n) || bytes === 8;
}

/** Where a placeholder stands in the bytes; an immediate is always last. */
function locate(bytes: Uint8Array, { placeholder, fixup }: Hole): number {
  const pattern = Array.from({ length: fixup.size }, (_, i) => Number((placeholder >> BigInt(8 * i)) & 255n));
  const matches = (at: number): boolean => pattern.every((byte, i) => bytes[at + i] === byte);
  const found: number[] = [];
  for (let at = 0; at + fixup.size <= bytes.length; at++) if (matches(at)) found.push(at);
  if (found.length !== 1)
    reject('this operand needs a value that is known here', 'use a number or a constant that is defined above');
  return found[0];
}
