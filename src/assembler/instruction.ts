// One instruction from operands to bytes and fixups. Values that are not known yet are encoded as placeholders of the
// width that GNU as would choose, found again in the bytes, and filled in by the layout.

import { agrees, type Request } from './agreement.ts';
import { fitsSigned } from './branch.ts';
import { readBack } from './decoder.ts';
import type { Encoder, Mode } from './encoder.ts';
import { evaluate, type Expression, number } from './expression.ts';
import { encodeFarBranch } from './farBranch.ts';
import { immediateWidth } from './immediate.ts';
import { encodeMissing, replaceOpcode, respell } from './missing.ts';
import { gprSize, hex, type ImmediateOperand, type MemoryOperand, type Operand, writeOperand } from './operand.ts';
import { withPrefixes } from './prefix.ts';
import { reject } from './problem.ts';
import { asGnuSpells, segmentPrefix, type Spelling } from './spelling.ts';

/** A field to be filled in once addresses are known. */
export interface Fixup {
  /** Within the item's bytes. */
  offset: number;
  size: 1 | 2 | 4 | 8;
  value: Expression;
  /** relative: to the end of the item. extended: the processor sign-extends the field to 64 bits. */
  kind: 'absolute' | 'extended' | 'relative';
}

export interface Encoded {
  bytes: Uint8Array;
  fixups: Fixup[];
}

/** What an instruction needs to know of its surroundings. */
export interface Surroundings {
  mode: Mode;
  encoder: Encoder;
  /** The value of an expression that is known while the source is read, or null. */
  constant(expression: Expression): bigint | null;
}

/** Distinct byte patterns that fill a field of each width and shrink to nothing smaller. */
const PLACEHOLDER = {
  displacement: { 1: 0x5an, 2: 0x5a6bn, 4: 0x5a6b_7c1dn, 8: 0x5a6b_7c1d_2e3f_4051n },
  immediate: { 1: 0x2dn, 2: 0x2d3en, 4: 0x2d3e_4f61n, 8: 0x2d3e_4f61_7283_94a5n },
} as const;

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
class Filling {
  readonly holes: Hole[] = [];
  readonly #around: Surroundings;
  readonly #spelling: Spelling;

  constructor(around: Surroundings, spelling: Spelling) {
    this.#around = around;
    this.#spelling = spelling;
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

  #hole(value: Expression, size: Fixup['size'], kind: Fixup['kind'], role: keyof typeof PLACEHOLDER): Expression {
    const placeholder = PLACEHOLDER[role][size];
    this.holes.push({ placeholder, fixup: { offset: 0, size, value, kind } });
    return number(placeholder);
  }

  #immediate(operand: ImmediateOperand, index: number): Operand {
    const { mnemonic, operands } = this.#spelling;
    const { bytes, extended } = immediateWidth(mnemonic, operands, index, this.#around.mode);
    const value = this.#around.constant(operand.value);
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
    const { mode } = this.#around;
    const isRelative = operand.base === 'rip' || operand.base === 'eip';
    if (isRelative && mode !== 64) reject('RIP-relative addresses exist in 64-bit mode only');
    if (operand.displacement === null) return operand;
    const value = this.#around.constant(operand.displacement);
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

/** Encodes an instruction that is no direct branch. `prefixes` are words. */
/** Encodes an instruction that is no direct branch. `prefixes` are words. */
export function encodeInstruction(
  mnemonic: string,
  prefixes: readonly string[],
  operands: readonly Operand[],
  around: Surroundings,
): Encoded {
  const far = encodeFarBranch(mnemonic, operands, around.mode);
  if (far !== null) return far;
  const spelling = asGnuSpells({ mnemonic, prefixes, operands }, around);
  const filling = new Filling(around, spelling);
  const filled = spelling.operands.map((_, index) => filling.operand(index));
  const segment = segmentPrefix(spelling);
  const words = segment === null ? spelling.prefixes : [...spelling.prefixes, segment];
  const bytes = withPrefixes(encodeFilled(spelling.mnemonic, filled, around), words);
  const immediate = filled.findIndex((operand) => operand.kind === 'immediate');
  const immediateBytes =
    immediate < 0 ? 8 : immediateWidth(spelling.mnemonic, spelling.operands, immediate, around.mode).bytes;
  verify(bytes, { mnemonic: spelling.mnemonic, operands: filled, immediateBytes, mode: around.mode });
  return { bytes, fixups: filling.holes.map((hole) => ({ ...hole.fixup, offset: locate(bytes, hole) })) };
}

/** The bytes of an instruction whose operands are all numbers. */
function encodeFilled(mnemonic: string, operands: readonly Operand[], { encoder, mode }: Surroundings): Uint8Array {
  const missing = encodeMissing(mnemonic, operands);
  if (missing !== null) return missing;
  const respelling = respell(mnemonic, operands);
  const asked = respelling ?? { mnemonic, operands };
  const list = asked.operands.map((operand) => {
    const plain = operand.kind === 'memory' ? { ...operand, segment: null } : operand;
    return writeOperand(plain, (value) => hex(numberOf(value)));
  });
  const bytes = encoder.encode(`${asked.mnemonic} ${list.join(', ')}`.trim(), mode);
  return respelling === null ? bytes : replaceOpcode(bytes, respelling.opcode);
}

const numberOf = (value: Expression): bigint => evaluate(value, (name) => reject(`internal: ${name} is still open`));

/** Refuses bytes that do not read back as what was asked for. */
function verify(bytes: Uint8Array, request: Request): void {
  const { mode } = request;
  const found = readBack(bytes, mode);
  const shown = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
  if (found === null || found.length !== bytes.length) {
    reject(
      `"${request.mnemonic}" does not exist with these operands or prefixes in ${mode}-bit mode`,
      `the encoder gave ${shown}, which does not decode`,
    );
  }
  if (!agrees(request, found)) {
    reject(
      `the encoder turned this into "${found.mnemonic} ${found.operands}"`,
      `bytes ${shown}; write the instruction in another way, or as .byte`,
    );
  }
}
