// What many instructions ask and do alike: privilege, register writes, flags.

import { CR4, GPR, SEGMENT } from '../../x86/names/registers.ts';
import type { AccessKind } from '../access.ts';
import { is64BitMode, isRealMode } from '../codeMode.ts';
import { raise } from '../fault.ts';
import { readRflags, writeRflags } from '../rflags.ts';
import type { CpuState } from '../state.ts';
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
export const operandAccess = (insn: Operands): AccessKind => (insn.segment === SEGMENT.SS ? 'stack' : 'data');

const MASKS: Readonly<Record<number, bigint>> = { 1: 0xffn, 2: 0xffffn, 4: 0xffff_ffffn, 8: 0xffff_ffff_ffff_ffffn };

/** The low `bytes` bytes of a value. */
export const truncate = (value: bigint, bytes: number): bigint => value & MASKS[bytes]!;

/** Writes a general register as an instruction of this operand size does: 32 bits zero the upper half, 8 and 16 keep it. */
export function writeGpr(state: CpuState, register: number, bytes: number, value: bigint): void {
  const mask = MASKS[bytes]!;
  state.setGpr(register, bytes >= 4 ? value & mask : (state.gpr(register) & ~mask) | (value & mask));
}

/** A general register as MOV to and from control and debug registers has it: 64 bits in 64-bit mode, 32 elsewhere, whatever the prefixes. */
export const readNaturalGpr = (state: CpuState, register: number): bigint =>
  is64BitMode(state) ? state.gpr(register) : BigInt(state.gpr32(register));
export const writeNaturalGpr = (state: CpuState, register: number, value: bigint): void =>
  writeGpr(state, register, is64BitMode(state) ? 8 : 4, value);

/** The 16-bit source operand, register or memory, of LLDT, LTR, LMSW, MOV Sreg and the like. */
export const readWordOperand = (cpu: MicrocodeCpu, insn: Operands, register: number): number =>
  insn.isMemory ? Number(cpu.mmu.read(insn.address, 2, operandAccess(insn))) : cpu.state.gpr32(register) & 0xffff;

/** Stores a system register: 16 bits in memory, the operand size in a register. */
export function storeWord(cpu: MicrocodeCpu, insn: Operands, value: bigint): void {
  if (insn.isMemory) cpu.mmu.write(insn.address, 2, truncate(value, 2), operandAccess(insn));
  else writeGpr(cpu.state, insn.reg0, insn.width, value);
}

/** The address of the next instruction. */
export const nextRip = (insn: Operands): bigint => BigInt.asUintN(64, insn.rip + BigInt(insn.length));

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
