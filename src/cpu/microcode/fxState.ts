// FXSAVE and FXRSTOR, which move the x87 and SSE registers to and from 512 bytes of memory, and MXCSR alone (SDM vol. 1, 10.5;
// vol. 2 of each instruction). No instruction computes in these registers yet; a kernel saves and restores them all the same.
//
// Theory: the area has the words of the x87 first, MXCSR, then ST0 to ST7 from the top of the stack on, then the XMM registers: 16
// of them in 64-bit mode, else 8. Of the tag word it has a bit for each physical register, set unless it is empty; what a register
// that is not empty holds is found out when it is restored. Bytes that stand for nothing are left as they are.

import { CR0, CR4 } from '../../x86/names/registers.ts';
import { raise } from '../fault.ts';
import { is64BitMode } from '../segments/codeMode.ts';
import type { CpuState } from '../state.ts';
import { abridgedTags, controlWord, fullTags, withErrorSummary } from '../x87Words.ts';
import { linearAfter, operandAccess, operandAddress, readOperand, writeOperand } from './checks.ts';
import type { Microcode, MicrocodeCpu, Operands, Outcome } from './microcode.ts';

/** Bytes of the area. */
const AREA = 512;
const WORD = 8;
/** Places in it, in words. */
const AT = { CONTROL: 0, FIP: 1, FDP: 2, MXCSR: 3, ST: 4, XMM: 20 } as const;
const X87_REGISTERS = 8;
const VEC_WORDS = 4;
/** MXCSR's bits that can be set: DAZ is one of them, misaligned SSE of AMD's is not. */
const MXCSR_MASK = 0xffffn;
const U32 = 0xffff_ffffn;

/** Checks everything but the memory; the linear address of the area. */
function area(cpu: MicrocodeCpu, insn: Operands, intent: 'read' | 'write'): bigint {
  if ((cpu.state.cr0 & (CR0.EM | CR0.TS)) !== 0n) raise.nm();
  const address = operandAddress(cpu, insn, AREA, intent);
  if ((address & 15n) !== 0n) raise.gp(0);
  return address;
}

/** Where XMM registers and MXCSR are moved; whether they are without CR4.OSFXSR is the implementation's choice. */
const xmmCount = (state: CpuState): number => ((state.cr4 & CR4.OSFXSR) === 0n ? 0 : is64BitMode(state) ? 16 : 8);

/** `wide`: addresses of the last instruction and its operand in 64 bits (REX.W). */
const save = (cpu: MicrocodeCpu, insn: Operands, wide: boolean): Outcome => {
  const { state, mmu } = cpu;
  const { u64 } = state.views;
  const address = area(cpu, insn, 'write');
  const access = operandAccess(insn);
  mmu.probe(address, AREA, 'write', access);
  const put = (word: number, value: bigint): void =>
    mmu.write(linearAfter(state, address, WORD * word), WORD, value, access);
  const tags = abridgedTags(state.ftw);
  put(AT.CONTROL, BigInt(state.fcw) | (BigInt(state.fsw) << 16n) | (BigInt(tags) << 32n) | (BigInt(state.fop) << 48n));
  // Selectors of the last instruction and its operand are stored as 0: CPUID says so (ZERO_FCS_FDS).
  put(AT.FIP, wide ? state.fip : state.fip & U32);
  put(AT.FDP, wide ? state.fdp : state.fdp & U32);
  const registers = xmmCount(state);
  if (registers > 0) put(AT.MXCSR, BigInt(state.mxcsr) | (MXCSR_MASK << 32n));
  const st = state.at('st') >> 3;
  for (let i = 0; i < 2 * X87_REGISTERS; i++) put(AT.ST + i, u64[st + i]!);
  for (let i = 0; i < registers; i++) {
    const from = (state.at('vec') >> 3) + VEC_WORDS * i;
    put(AT.XMM + 2 * i, u64[from]!);
    put(AT.XMM + 2 * i + 1, u64[from + 1]!);
  }
  return 'next';
};

/** #GP(0) for bits of MXCSR that there are not. */
const restore = (cpu: MicrocodeCpu, insn: Operands, wide: boolean): Outcome => {
  const { state, mmu } = cpu;
  const { u64 } = state.views;
  const address = area(cpu, insn, 'read');
  const access = operandAccess(insn);
  const get = (word: number): bigint => mmu.read(linearAfter(state, address, WORD * word), WORD, access);
  const registers = xmmCount(state);
  const words = Array.from({ length: AT.XMM + 2 * registers }, (_, word) => get(word));
  const mxcsr = words[AT.MXCSR]! & U32;
  if (registers > 0 && (mxcsr & ~MXCSR_MASK) !== 0n) raise.gp(0);
  const control = words[AT.CONTROL]!;
  state.fcw = controlWord(Number(control & 0xffffn));
  state.fsw = withErrorSummary(Number((control >> 16n) & 0xffffn), state.fcw);
  state.fop = Number(control >> 48n) & 0x7ff;
  state.fip = wide ? words[AT.FIP]! : words[AT.FIP]! & U32;
  state.fdp = wide ? words[AT.FDP]! : words[AT.FDP]! & U32;
  const st = state.at('st') >> 3;
  const values: bigint[] = [];
  for (let i = 0; i < X87_REGISTERS; i++) {
    u64[st + 2 * i] = words[AT.ST + 2 * i]!;
    u64[st + 2 * i + 1] = words[AT.ST + 2 * i + 1]! & 0xffffn;
    values.push((u64[st + 2 * i + 1]! << 64n) | u64[st + 2 * i]!);
  }
  state.ftw = fullTags(values, Number((control >> 32n) & 0xffn), state.fsw);
  if (registers === 0) return 'next';
  state.mxcsr = Number(mxcsr);
  for (let i = 0; i < registers; i++) {
    const to = (state.at('vec') >> 3) + VEC_WORDS * i;
    u64[to] = words[AT.XMM + 2 * i]!;
    u64[to + 1] = words[AT.XMM + 2 * i + 1]!;
  }
  return 'next';
};

export const fxsave: Microcode = (cpu, insn) => save(cpu, insn, false);
export const fxsave64: Microcode = (cpu, insn) => save(cpu, insn, true);
export const fxrstor: Microcode = (cpu, insn) => restore(cpu, insn, false);
export const fxrstor64: Microcode = (cpu, insn) => restore(cpu, insn, true);

/** #UD and #NM as for SSE instructions. */
function requireSse({ cr0, cr4 }: CpuState): void {
  if ((cr0 & CR0.EM) !== 0n || (cr4 & CR4.OSFXSR) === 0n) raise.ud();
  if ((cr0 & CR0.TS) !== 0n) raise.nm();
}

export const ldmxcsr: Microcode = (cpu, insn) => {
  requireSse(cpu.state);
  const value = readOperand(cpu, insn, 4);
  if ((value & ~MXCSR_MASK) !== 0n) raise.gp(0);
  cpu.state.mxcsr = Number(value);
  return 'next';
};

export const stmxcsr: Microcode = (cpu, insn) => {
  requireSse(cpu.state);
  writeOperand(cpu, insn, 4, BigInt(cpu.state.mxcsr));
  return 'next';
};
