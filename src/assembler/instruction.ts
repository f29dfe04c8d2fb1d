// One instruction from operands to bytes and fixups. Values that are not known yet are encoded as placeholders of the
// width that GNU as would choose, found again in the bytes, and filled in by the layout.

import { agrees } from './agreement.ts';
import { readBack } from './decoder.ts';
import type { Encoder, Mode } from './encoder.ts';
import { type Expression, number } from './expression.ts';
import { encodeFarBranch } from './farBranch.ts';
import { immediateWidth } from './immediate.ts';
import { encodeMissing, replaceOpcode, respell } from './missing.ts';
import {
  gprSize,
  hex,
  isSegmentRegister,
  type MemoryOperand,
  type Operand,
  resizeRegister,
  writeOperand,
} from './operand.ts';
import { withPrefixes } from './prefix.ts';
import { reject } from './problem.ts';

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
const fitsSigned32 = (value: bigint): boolean => BigInt.asIntN(32, value) === value;

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
    if (!fitsSigned32(value))
      reject(`the address ${hex(value)} does not fit in a signed 32-bit displacement`, SIGN_HINT);
    return value;
  }
  const bits = 8 * bytes;
  if (!inRange(value, -(1n << BigInt(bits - 1)), (1n << BigInt(bits)) - 1n))
    reject(`the displacement ${hex(value)} exceeds ${bits} bits`);
  return operand.base === null && operand.index === null ? value : BigInt.asIntN(bits, value);
}

/** Whether GNU as would turn this MOV into its 64-bit-address form: accumulator and an absolute address beyond 32 bits. */
function isFarMove(mnemonic: string, operands: readonly Operand[], constant: Surroundings['constant']): boolean {
  if (!/^mov[bwlq]?$/.test(mnemonic) || operands.length !== 2) return false;
  const memory = operands.find((operand) => operand.kind === 'memory');
  const register = operands.find((operand) => operand.kind === 'register');
  if (memory?.kind !== 'memory' || register?.kind !== 'register') return false;
  if (memory.base !== null || memory.index !== null || memory.displacement === null) return false;
  const address = constant(memory.displacement);
  return ['al', 'ax', 'eax', 'rax'].includes(register.name) && address !== null && !fitsSigned32(address);
}

const resized = (operand: Operand, size: number): Operand =>
  operand.kind === 'register' ? { ...operand, name: resizeRegister(operand.name, size) } : operand;

/** Spellings that GNU as encodes in fewer or other bytes than keystone does. */
function asGnuSpells(
  mnemonic: string,
  operands: readonly Operand[],
  around: Surroundings,
): { mnemonic: string; operands: Operand[] } {
  const [first, second] = operands;
  const names = operands.map((operand) => (operand.kind === 'register' ? operand.name : ''));
  if (/^l(jmp|call)q$/.test(mnemonic))
    reject(`GNU as has no ${mnemonic}`, `write rex.w ${mnemonic.slice(0, -1)} for a 64-bit offset`);
  if (mnemonic === 'movsxd') mnemonic = 'movslq';
  if (/^xchgq?$/.test(mnemonic) && names[0] === 'rax' && names[1] === 'rax') return { mnemonic: 'nop', operands: [] };
  if (/^(str|sldt)q?$/.test(mnemonic) && gprSize(names[0]) === 8) {
    return { mnemonic: mnemonic.replace(/q$/, ''), operands: [resized(first, 4)] };
  }
  if (/^mov[wlq]?$/.test(mnemonic) && names.some(isSegmentRegister)) {
    const toSegment = isSegmentRegister(names[1]);
    const other = toSegment ? first : second;
    if (other.kind === 'memory') return { mnemonic: 'movw', operands: [...operands] };
    const shorter =
      other.kind === 'register' && (toSegment || gprSize(other.name) === 8)
        ? resized(other, around.mode === 16 ? 2 : 4)
        : other;
    return { mnemonic: 'mov', operands: toSegment ? [shorter, second] : [first, shorter] };
  }
  if (/^movq?$/.test(mnemonic) && first?.kind === 'immediate' && gprSize(names[1]) === 8) {
    const value = around.constant(first.value);
    return { mnemonic: value === null || fitsSigned32(value) ? 'movq' : 'movabs', operands: [...operands] };
  }
  if (around.mode === 64 && isFarMove(mnemonic, operands, around.constant))
    return { mnemonic: 'movabs', operands: [...operands] };
  return { mnemonic, operands: [...operands] };
}

/** Operands as numbers: constants as they are, everything else as placeholders with a hole to fill. */
class Filling {
  readonly holes: Hole[] = [];
  readonly #around: Surroundings;
  readonly #prefixes: readonly string[];

  constructor(around: Surroundings, prefixes: readonly string[]) {
    this.#around = around;
    this.#prefixes = prefixes;
  }

  #hole(value: Expression, size: Fixup['size'], kind: Fixup['kind'], role: keyof typeof PLACEHOLDER): Expression {
    const placeholder = PLACEHOLDER[role][size];
    this.holes.push({ placeholder, fixup: { offset: 0, size, value, kind } });
    return number(placeholder);
  }

  immediate(mnemonic: string, operands: readonly Operand[], index: number): Operand {
    const operand = operands[index];
    if (operand.kind !== 'immediate') return operand;
    const { bytes, extended } = immediateWidth(mnemonic, operands, index, this.#around.mode);
    const value = this.#around.constant(operand.value);
    if (value === null) {
      const size = extended ? 4 : bytes;
      return {
        kind: 'immediate',
        value: this.#hole(operand.value, size, extended ? 'extended' : 'absolute', 'immediate'),
      };
    }
    if (extended ? !fitsSigned32(value) : !fitsField(value, bytes)) {
      reject(
        `the immediate ${hex(value)} does not fit in ${extended ? '32 bits, sign-extended' : `${8 * bytes} bits`}`,
        extended ? 'load it with movabs in a register first' : 'check the operand size in the mnemonic',
      );
    }
    return { kind: 'immediate', value: number(bytes === 8 ? value : BigInt.asIntN(8 * bytes, value)) };
  }

  memory(mnemonic: string, operand: MemoryOperand): Operand {
    const { mode } = this.#around;
    const isRelative = operand.base === 'rip' || operand.base === 'eip';
    if (isRelative && mode !== 64) reject('RIP-relative addresses exist in 64-bit mode only');
    if (operand.displacement === null) return operand;
    const value = this.#around.constant(operand.displacement);
    const isAbsolute = operand.base === null && operand.index === null;
    if (mnemonic.startsWith('movabs')) {
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
    const bytes = addressBytes(operand, mode, this.#prefixes);
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

/** `fs movl (%rax), %ecx` is `movl %fs:(%rax), %ecx`. */
function placeSegment(
  prefixes: readonly string[],
  operands: readonly Operand[],
): { prefixes: readonly string[]; operands: readonly Operand[] } {
  const segment = prefixes.find(isSegmentRegister);
  const memory = operands.find((operand) => operand.kind === 'memory' && operand.segment === null);
  if (segment === undefined || memory === undefined) return { prefixes, operands };
  return {
    prefixes: prefixes.filter((prefix) => prefix !== segment),
    operands: operands.map((operand) => (operand === memory ? { ...memory, segment } : operand)),
  };
}

/** Encodes an instruction that is no direct branch. `prefixes` are words. */
export function encodeInstruction(
  written: string,
  prefixesWritten: readonly string[],
  operandsWritten: readonly Operand[],
  around: Surroundings,
): Encoded {
  const far = encodeFarBranch(written, operandsWritten, around.mode);
  if (far !== null) return far;
  const { prefixes, operands: writtenOperands } = placeSegment(prefixesWritten, operandsWritten);
  const isBreakpoint =
    written === 'int' && writtenOperands[0]?.kind === 'immediate' && around.constant(writtenOperands[0].value) === 3n;
  const gnu = isBreakpoint ? { mnemonic: 'int3', operands: [] } : asGnuSpells(written, writtenOperands, around);
  const filling = new Filling(around, prefixes);
  const operands = gnu.operands.map((operand, index) => {
    if (operand.kind === 'memory') return filling.memory(gnu.mnemonic, operand);
    return filling.immediate(gnu.mnemonic, gnu.operands, index);
  });

  const respelling = respell(gnu.mnemonic, operands);
  let bytes = encodeMissing(gnu.mnemonic, operands);
  if (bytes === null) {
    const { mnemonic, operands: asked } = respelling ?? { mnemonic: gnu.mnemonic, operands };
    const list = asked.map((operand) =>
      writeOperand(operand, (value) =>
        value.kind === 'number' ? hex(value.value) : reject('internal: an open value'),
      ),
    );
    bytes = around.encoder.encode(`${mnemonic} ${list.join(', ')}`.trim(), around.mode);
    if (respelling !== null) bytes = replaceOpcode(bytes, respelling.opcode);
  }
  bytes = withPrefixes(bytes, prefixes);

  const immediateIndex = operands.findIndex((operand) => operand.kind === 'immediate');
  const immediateBytes =
    immediateIndex < 0 ? 8 : immediateWidth(gnu.mnemonic, gnu.operands, immediateIndex, around.mode).bytes;
  verify(bytes, { mnemonic: gnu.mnemonic, operands, immediateBytes }, around);
  const fixups = filling.holes.map((hole) => ({ ...hole.fixup, offset: locate(bytes, hole) }));
  return { bytes, fixups };
}

function verify(bytes: Uint8Array, request: Parameters<typeof agrees>[0], around: Surroundings): void {
  const decoded = readBack(bytes, around.mode);
  const shown = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  if (decoded === null || decoded.length !== bytes.length) {
    reject(
      `"${request.mnemonic}" does not exist with these operands or prefixes in ${around.mode}-bit mode`,
      `the encoder gave ${shown}, which does not decode`,
    );
  }
  if (!agrees(request, decoded)) {
    reject(
      `the encoder turned this into "${decoded.mnemonic} ${decoded.operands}"`,
      `bytes ${shown}; write the instruction in another way, or as .byte`,
    );
  }
}
