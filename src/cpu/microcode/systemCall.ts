// Fast system calls: SYSCALL, SYSRET, SYSENTER, SYSEXIT.

import { DR6, EFER, GPR, RFLAGS, SEGMENT, SELECTOR } from '../../x86/names/registers.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { is64BitMode, isLongMode, isRealMode } from '../segments/codeMode.ts';
import { raise } from '../fault.ts';
import { readRflags, writeRflags } from '../rflags.ts';
import { flatCode32, flatCode64, flatData, writeSegment } from '../segments/segments.ts';
import type { CpuState } from '../state.ts';
import { nextRip, requireRing0, truncate } from './checks.ts';
import type { Microcode, MicrocodeCpu } from './microcode.ts';

const STAR_SYSCALL_SHIFT = 32n;
const STAR_SYSRET_SHIFT = 48n;
/** Bytes from one descriptor to the next: the selectors of a fast system call stand in a row. */
const NEXT = 8;
const RPL_USER = 3;

/** Loads flat CS and SS and goes to their privilege level. */
function enter(cpu: MicrocodeCpu, cs: number, ss: number, cpl: number, is64Bit: boolean): void {
  const { state } = cpu;
  const flatCode = is64Bit ? flatCode64 : flatCode32;
  writeSegment(state, SEGMENT.CS, flatCode((cs & ~SELECTOR.RPL) | cpl, cpl));
  writeSegment(state, SEGMENT.SS, flatData((ss & ~SELECTOR.RPL) | cpl, cpl));
  state.cpl = cpl;
  cpu.mmu.selectViews();
}

/**
 * SYSCALL and SYSRET trap if TF is set behind them, other instructions if it was set before: so FMASK keeps a kernel free of
 * traps, and a step over SYSCALL in user mode ends where SYSRET returns to (kvm-unit-tests, x86/syscall.c).
 */
function writeRflagsAndTrap(state: CpuState, rflags: number): void {
  writeRflags(state, rflags);
  if ((rflags & RFLAGS.TF) !== 0) state.pendingDb |= Number(DR6.BS);
  else state.pendingDb &= ~Number(DR6.BS);
}

/** Intel's SYSCALL and SYSRET exist in 64-bit mode only, AMD's in protected mode. */
function requireSyscall({ state, features }: MicrocodeCpu): void {
  if ((state.efer & EFER.SCE) === 0n || isRealMode(state)) raise.ud();
  if (!is64BitMode(state) && features.isAmd !== true) raise.ud();
}

/** Outside of IA-32e mode (AMD vol. 3, SYSCALL): EIP stands in STAR, and no flags are kept. */
function syscallLegacy(cpu: MicrocodeCpu, cs: number, next: bigint): void {
  const { state } = cpu;
  state.setGpr(GPR.RCX, next);
  state.rip = BigInt.asUintN(32, state.star);
  writeRflagsAndTrap(state, readRflags(state) & ~(RFLAGS.VM | RFLAGS.IF | RFLAGS.RF));
  enter(cpu, cs, cs + NEXT, 0, false);
}

export const syscall: Microcode = (cpu, insn) => {
  const { state } = cpu;
  requireSyscall(cpu);
  const rflags = readRflags(state) & ~RFLAGS.RF;
  const cs = Number((state.star >> STAR_SYSCALL_SHIFT) & 0xfffcn);
  if (!isLongMode(state)) {
    syscallLegacy(cpu, cs, nextRip(state, insn));
    return 'jump';
  }
  state.setGpr(GPR.RCX, nextRip(state, insn));
  state.setGpr(GPR.R11, BigInt(rflags >>> 0));
  state.rip = is64BitMode(state) ? state.lstar : state.cstar;
  writeRflagsAndTrap(state, rflags & ~Number(BigInt.asIntN(32, state.fmask)));
  enter(cpu, cs, cs + NEXT, 0, true);
  return 'jump';
};

/** The flags that SYSRET takes from R11: all but RF, VM and the reserved ones. */
const SYSRET_FLAGS =
  RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.TF | RFLAGS.IF | RFLAGS.DF | RFLAGS.OF |
  RFLAGS.IOPL | RFLAGS.NT | RFLAGS.AC | RFLAGS.VIF | RFLAGS.VIP | RFLAGS.ID; // prettier-ignore

/** Outside of IA-32e mode (AMD vol. 3, SYSRET). */
function sysretLegacy(cpu: MicrocodeCpu): 'jump' {
  const { state } = cpu;
  const first = Number((state.star >> STAR_SYSRET_SHIFT) & 0xffffn);
  state.rip = BigInt(state.gpr32(GPR.RCX));
  writeRflagsAndTrap(state, readRflags(state) | RFLAGS.IF);
  enter(cpu, first, first + NEXT, RPL_USER, false);
  return 'jump';
}

/** As Intel's: a non-canonical RCX is #GP(0) while still in ring 0. With 32 bits it returns to compatibility mode. */
export const sysret: Microcode = (cpu, insn) => {
  const { state } = cpu;
  requireSyscall(cpu);
  requireRing0(state);
  if (!isLongMode(state)) return sysretLegacy(cpu);
  const to64Bit = insn.width === 8;
  const rip = truncate(state.gpr(GPR.RCX), insn.width);
  if (!isCanonicalAddress(rip)) raise.gp(0);
  const first = Number((state.star >> STAR_SYSRET_SHIFT) & 0xffffn);
  state.rip = rip;
  writeRflagsAndTrap(state, state.gpr32(GPR.R11) & SYSRET_FLAGS);
  enter(cpu, to64Bit ? first + 2 * NEXT : first, first + NEXT, RPL_USER, to64Bit);
  return 'jump';
};

/** SYSENTER_CS without RPL; #GP(0) in real mode, or if it is null. */
function sysenterCs(state: CpuState): number {
  const cs = Number(state.sysenterCs & 0xfffcn);
  if (isRealMode(state) || cs === 0) raise.gp(0);
  return cs;
}

/** To 64-bit code in IA-32e mode, from wherever; to 32-bit code outside of it. */
export const sysenter: Microcode = (cpu) => {
  const { state } = cpu;
  const cs = sysenterCs(state);
  const to64Bit = isLongMode(state);
  const width = to64Bit ? 8 : 4;
  state.rip = truncate(state.sysenterEip, width);
  state.setGpr(GPR.RSP, truncate(state.sysenterEsp, width));
  writeRflags(state, readRflags(state) & ~(RFLAGS.VM | RFLAGS.IF | RFLAGS.RF));
  enter(cpu, cs, cs + NEXT, 0, to64Bit);
  return 'jump';
};

/** Distance from SYSENTER's CS to the selectors of a 64-bit SYSEXIT, and of one of 32 bits. */
const SYSEXIT64_CS = 4 * NEXT;
const SYSEXIT32_CS = 2 * NEXT;

export const sysexit: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const base = sysenterCs(state);
  requireRing0(state);
  const to64Bit = insn.width === 8;
  const rip = truncate(state.gpr(GPR.RDX), insn.width);
  const rsp = truncate(state.gpr(GPR.RCX), insn.width);
  if (!isCanonicalAddress(rip) || !isCanonicalAddress(rsp)) raise.gp(0);
  state.rip = rip;
  state.setGpr(GPR.RSP, rsp);
  const cs = base + (to64Bit ? SYSEXIT64_CS : SYSEXIT32_CS);
  enter(cpu, cs, cs + NEXT, RPL_USER, to64Bit);
  return 'jump';
};
