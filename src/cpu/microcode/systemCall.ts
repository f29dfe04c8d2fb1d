// Fast system calls: SYSCALL, SYSRET, SYSENTER, SYSEXIT, and SWAPGS, which comes with them.

import { DR6, EFER, GPR, RFLAGS, SEGMENT, SELECTOR } from '../../x86/names/registers.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { raise, stop } from '../fault.ts';
import { readRflags, writeRflags } from '../rflags.ts';
import { flatCode64, flatData, segmentBase, setSegmentBase, writeSegment } from '../segments.ts';
import type { CpuState } from '../state.ts';
import { nextRip, requireRing0 } from './checks.ts';
import type { Microcode, MicrocodeCpu } from './microcode.ts';

const STAR_SYSCALL_SHIFT = 32n;
const STAR_SYSRET_SHIFT = 48n;
/** Bytes from one descriptor to the next: the selectors of a fast system call stand in a row. */
const NEXT = 8;
const RPL_USER = 3;

/** Loads flat CS and SS and goes to their privilege level. */
function enter(cpu: MicrocodeCpu, cs: number, ss: number, cpl: number): void {
  const { state } = cpu;
  writeSegment(state, SEGMENT.CS, flatCode64((cs & ~SELECTOR.RPL) | cpl, cpl));
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

export const syscall: Microcode = (cpu, insn) => {
  const { state } = cpu;
  if ((state.efer & EFER.SCE) === 0n) raise.ud();
  const rflags = readRflags(state) & ~RFLAGS.RF;
  const cs = Number((state.star >> STAR_SYSCALL_SHIFT) & 0xfffcn);
  state.setGpr(GPR.RCX, nextRip(insn));
  state.setGpr(GPR.R11, BigInt(rflags >>> 0));
  state.rip = state.lstar;
  writeRflagsAndTrap(state, rflags & ~Number(BigInt.asIntN(32, state.fmask)));
  enter(cpu, cs, cs + NEXT, 0);
  return 'jump';
};

/** The flags that SYSRET takes from R11: all but RF, VM and the reserved ones. */
const SYSRET_FLAGS =
  RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.TF | RFLAGS.IF | RFLAGS.DF | RFLAGS.OF |
  RFLAGS.IOPL | RFLAGS.NT | RFLAGS.AC | RFLAGS.VIF | RFLAGS.VIP | RFLAGS.ID; // prettier-ignore

/** As Intel's: a non-canonical RCX is #GP(0) while still in ring 0. */
export const sysret: Microcode = (cpu, insn) => {
  const { state } = cpu;
  if ((state.efer & EFER.SCE) === 0n) raise.ud();
  requireRing0(state);
  if (insn.width !== 8) refuseCompatibility('SYSRET');
  const rip = state.gpr(GPR.RCX);
  if (!isCanonicalAddress(rip)) raise.gp(0);
  const first = Number((state.star >> STAR_SYSRET_SHIFT) & 0xffffn);
  state.rip = rip;
  writeRflagsAndTrap(state, state.gpr32(GPR.R11) & SYSRET_FLAGS);
  enter(cpu, first + 2 * NEXT, first + NEXT, RPL_USER);
  return 'jump';
};

export const sysenter: Microcode = (cpu) => {
  const { state } = cpu;
  const cs = Number(state.sysenterCs & 0xfffcn);
  if (cs === 0) raise.gp(0);
  state.rip = state.sysenterEip;
  state.setGpr(GPR.RSP, state.sysenterEsp);
  writeRflags(state, readRflags(state) & ~(RFLAGS.VM | RFLAGS.IF | RFLAGS.RF));
  enter(cpu, cs, cs + NEXT, 0);
  return 'jump';
};

/** Distance from SYSENTER's CS to the selectors of a 64-bit SYSEXIT. */
const SYSEXIT64_CS = 4 * NEXT;

export const sysexit: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const base = Number(state.sysenterCs & 0xfffcn);
  if (base === 0) raise.gp(0);
  requireRing0(state);
  if (insn.width !== 8) refuseCompatibility('SYSEXIT');
  const rip = state.gpr(GPR.RDX);
  const rsp = state.gpr(GPR.RCX);
  if (!isCanonicalAddress(rip) || !isCanonicalAddress(rsp)) raise.gp(0);
  state.rip = rip;
  state.setGpr(GPR.RSP, rsp);
  enter(cpu, base + SYSEXIT64_CS, base + SYSEXIT64_CS + NEXT, RPL_USER);
  return 'jump';
};

function refuseCompatibility(name: string): never {
  stop(
    `${name} without REX.W: compatibility mode is not implemented yet`,
    `return to 64-bit code with ${name.toLowerCase()}q`,
  );
}

export const swapgs: Microcode = ({ state }) => {
  requireRing0(state);
  const base = segmentBase(state, SEGMENT.GS);
  setSegmentBase(state, SEGMENT.GS, state.kernelGsBase);
  state.kernelGsBase = base;
  return 'next';
};
