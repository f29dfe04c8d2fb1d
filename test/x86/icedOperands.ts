// The operands of an instruction as iced-x86 decodes it, in the form of ourOperands.ts.

import { MemorySizeExt, OpKind, Register, type Instruction } from 'iced-x86';
import { type Mode } from '../../src/x86/decoder.ts';
import { hex, segmentText } from './ourOperands.ts';

const registerNames = new Map<number, string>();
for (const [name, value] of Object.entries(Register))
  if (typeof value === 'number') registerNames.set(value, name.toLowerCase().replace(/^(r\d+)l$/, '$1b'));

/** The name of a register, in Intel's spelling. */
const registerText = (register: Register): string => registerNames.get(register)!;

/** Memory at a register of its own: the register, and whether the segment is always ES. */
const STRINGS = new Map<OpKind, readonly [string, boolean]>([
  [OpKind.MemorySegSI, ['si', false]],
  [OpKind.MemorySegESI, ['esi', false]],
  [OpKind.MemorySegRSI, ['rsi', false]],
  [OpKind.MemorySegDI, ['di', false]],
  [OpKind.MemorySegEDI, ['edi', false]],
  [OpKind.MemorySegRDI, ['rdi', false]],
  [OpKind.MemoryESDI, ['di', true]],
  [OpKind.MemoryESEDI, ['edi', true]],
  [OpKind.MemoryESRDI, ['rdi', true]],
]);

const IMMEDIATE_BITS = new Map<OpKind, number>([
  [OpKind.Immediate8, 8],
  [OpKind.Immediate8_2nd, 8],
  [OpKind.Immediate16, 16],
  [OpKind.Immediate8to16, 16],
  [OpKind.Immediate32, 32],
  [OpKind.Immediate8to32, 32],
  [OpKind.Immediate64, 64],
  [OpKind.Immediate8to64, 64],
  [OpKind.Immediate32to64, 64],
]);
const BRANCH_BITS = new Map<OpKind, number>([
  [OpKind.NearBranch16, 16],
  [OpKind.NearBranch32, 32],
  [OpKind.NearBranch64, 64],
]);

/** What iced says of each operand. `addressSize` in bits: iced tells it by registers alone. */
export function icedOperandTexts(iced: Instruction, mode: Mode, addressSize: number, next: bigint): string[] {
  return Array.from({ length: iced.opCount }, (_, i) => operandText(iced, i, mode, addressSize, next));
}

function operandText(iced: Instruction, i: number, mode: Mode, addressSize: number, next: bigint): string {
  const kind = iced.opKind(i);
  const branch = BRANCH_BITS.get(kind);
  if (branch !== undefined) return `to ${hex(branch, iced.nearBranchTarget)}`;
  const immediate = IMMEDIATE_BITS.get(kind);
  if (immediate !== undefined) return hex(immediate, iced.immediate(i));
  switch (kind) {
    case OpKind.Register:
      return registerText(iced.opRegister(i));
    case OpKind.FarBranch16:
      return `far ${hex(16, BigInt(iced.farBranchSelector))}:${hex(16, BigInt(iced.farBranch16))}`;
    case OpKind.FarBranch32:
      return `far ${hex(16, BigInt(iced.farBranchSelector))}:${hex(32, BigInt(iced.farBranch32))}`;
    default:
      return `${MemorySizeExt.size(iced.memorySize)} ${memoryText(iced, kind, mode, addressSize, next)}`;
  }
}

function memoryText(iced: Instruction, kind: OpKind, mode: Mode, addressSize: number, next: bigint): string {
  const string = STRINGS.get(kind);
  const segment = segmentText(string?.[1] ? 'es' : registerText(iced.memorySegment), mode);
  if (string !== undefined) return `${segment}:[${string[0]}]`;
  const parts: string[] = [];
  const { memoryBase, memoryIndex } = iced;
  if (memoryBase !== Register.None) parts.push(registerText(memoryBase));
  if (memoryIndex !== Register.None) {
    const name = registerText(memoryIndex).replace(/^[xy]mm/, 'vector ');
    parts.push(`${name}<<${Math.log2(iced.memoryIndexScale)}`);
  }
  const isRelative = memoryBase === Register.RIP || memoryBase === Register.EIP;
  const displacement = iced.memoryDisplacement - (isRelative ? next : 0n);
  parts.push(hex(addressSize, displacement));
  return `${segment}:[${parts.join('+')}]`;
}
