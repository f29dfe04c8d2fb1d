// What many instructions ask and do alike: privilege, register writes, flags.

import { CR4, GPR } from '../../x86/names/registers.ts';
import type { AccessKind } from '../memory/access.ts';
import { is64BitMode, isRealMode } from '../segments/codeMode.ts';
import { raise } from '../fault.ts';
import { readRflags, writeRflags } from '../rflags.ts';
import { accessThrough, linearAddress } from '../segments/segmentation.ts';
import { OFFSET, type CpuState } from '../state.ts';
import type { MicrocodeCpu, Operands } from './microcode.ts';

/** #GP(0) outside of ring 0. */
export function requireRing0(state: CpuState): void {
  if (state.cpl !== 0) raise.gp(0);
}

/** #GP(0) outside of ring 0 while CR4.UMIP is set: instructions that only tell about system registers. */
export function requireUnprevented(state: CpuState): void {
  if (state.cpl !== 0 && (state.cr4 & CR4.UMIP) !== 0n) raise.gp(0);
}

/** #UD in real mode: instructions about selectors. */
export function requireProtectedMode(state: CpuState): void {
  if (isRealMode(state)) raise.ud();
}

/** How an instruction's memory operand is accessed: through SS, a non-canonical address is #SS. */
export const operandAccess = (insn: Operands): AccessKind => accessThrough(insn.segment);

/** Linear address of the memory operand; raises #GP(0) or #SS(0) unless its segment holds all `bytes` bytes and permits the intent. */
export const operandAddress = (
  { state }: MicrocodeCpu,
  insn: Operands,
  bytes: number,
  intent: 'read' | 'write',
): bigint => (is64BitMode(state) ? insn.address : linearAddress(state, insn.segment, insn.offset, bytes, intent));

/** The linear address `distance` bytes further on. */
export const linearAfter = (state: CpuState, address: bigint, distance: number): bigint =>
  BigInt.asUintN(is64BitMode(state) ? 64 : 32, address + BigInt(distance));

/** The memory operand of `bytes` bytes (1, 2, 4 or 8). */
export const readOperand = (cpu: MicrocodeCpu, insn: Operands, bytes: number): bigint =>
  cpu.mmu.read(operandAddress(cpu, insn, bytes, 'read'), bytes, operandAccess(insn));
export const writeOperand = (cpu: MicrocodeCpu, insn: Operands, bytes: number, value: bigint): void =>
  cpu.mmu.write(operandAddress(cpu, insn, bytes, 'write'), bytes, truncate(value, bytes), operandAccess(insn));

/** The far pointer in memory: an offset of the operand size, and behind it a selector. */
export function readFarPointer(cpu: MicrocodeCpu, insn: Operands): { offset: bigint; selector: number } {
  const { width } = insn;
  const address = operandAddress(cpu, insn, width + 2, 'read');
  const access = operandAccess(insn);
  const offset = cpu.mmu.read(address, width, access);
  return { offset, selector: Number(cpu.mmu.read(linearAfter(cpu.state, address, width), 2, access)) };
}

const MASKS: Readonly<Record<number, bigint>> = { 1: 0xffn, 2: 0xffffn, 4: 0xffff_ffffn, 8: 0xffff_ffff_ffff_ffffn };

/** The low `bytes` bytes of a value. */
export const truncate = (value: bigint, bytes: number): bigint => value & MASKS[bytes]!;

/** Writes a general register as an instruction of this operand size does: 32 bits zero the upper half, 8 and 16 keep it. */
export function writeGpr(state: CpuState, register: number, bytes: number, value: bigint): void {
  const mask = MASKS[bytes]!;
  state.setGpr(register, bytes >= 4 ? value & mask : (state.gpr(register) & ~mask) | (value & mask));
}

/** The same for values of at most 32 bits, without a bigint. */
export const truncate32 = (value: number, bytes: number): number =>
  bytes >= 4 ? value >>> 0 : value & ((1 << (8 * bytes)) - 1);
export function writeGpr32(state: CpuState, register: number, bytes: 1 | 2 | 4, value: number): void {
  const at = state.base + OFFSET.gpr + 8 * register;
  if (bytes === 4) state.setGpr32(register, value);
  else if (bytes === 2) state.views.u16[at >> 1] = value;
  else state.views.u8[at] = value;
}

/** A general register as MOV to and from control and debug registers has it: 64 bits in 64-bit mode, 32 elsewhere, whatever the prefixes. */
export const readNaturalGpr = (state: CpuState, register: number): bigint =>
  is64BitMode(state) ? state.gpr(register) : BigInt(state.gpr32(register));
export const writeNaturalGpr = (state: CpuState, register: number, value: bigint): void =>
  writeGpr(state, register, is64BitMode(state) ? 8 : 4, value);

/** The 16-bit source operand, register or memory, of LLDT, LTR, LMSW, MOV Sreg and the like. */
export const readWordOperand = (cpu: MicrocodeCpu, insn: Operands, register: number): number =>
  insn.isMemory ? Number(readOperand(cpu, insn, 2)) : cpu.state.gpr32(register) & 0xffff;

/** Stores a system register: 16 bits in memory, the operand size in a register. */
export function storeWord(cpu: MicrocodeCpu, insn: Operands, value: bigint): void {
  if (insn.isMemory) writeOperand(cpu, insn, 2, value);
  else writeGpr(cpu.state, insn.reg0, insn.width, value);
}

/** The address of the next instruction: RIP, or EIP outside 64-bit mode. */
export const nextRip = (state: CpuState, insn: Operands): bigint => linearAfter(state, insn.rip, insn.length);

/** Changes single flags. */
export function changeFlags(state: CpuState, set: number, clear: number): void {
  writeRflags(state, (readRflags(state) & ~clear) | set);
}

/** EDX:EAX. */
export const readEdxEax = (state: CpuState): bigint =>
  (BigInt(state.gpr32(GPR.RDX)) << 32n) | BigInt(state.gpr32(GPR.RAX));

/** Writes EDX:EAX and zeroes the upper halves of RDX and RAX. */
export function writeEdxEax(state: CpuState, value: bigint): void {
  state.setGpr(GPR.RAX, value & 0xffff_ffffn);
  state.setGpr(GPR.RDX, value >> 32n);
}
