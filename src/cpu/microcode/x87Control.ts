// The control half of the x87 FPU: its words and its initial state (SDM vol. 1, 8.1; vol. 2 of each instruction). Arithmetic is
// only decoded, so no exception ever becomes pending but by restored state.

import { CR0, GPR } from '../../x86/names/registers.ts';
import { raise } from '../fault.ts';
import type { CpuState } from '../state.ts';
import { controlWord, ERROR_SUMMARY, withErrorSummary } from '../x87Words.ts';
import { readOperand, writeGpr, writeOperand } from './checks.ts';
import type { Microcode } from './microcode.ts';

/** After FNINIT: every exception masked, 64-bit precision, round to nearest; all registers empty. */
const INITIAL_FCW = 0x37f;
const ALL_EMPTY = 0xffff;
/** Exception flags, stack fault, error summary and busy: what FNCLEX clears of the status word. */
const EXCEPTIONS = 0x80ff;
const WORD = 2;

/** #NM while CR0 says that there is no FPU, or that its state is another task's. */
function requireFpu({ cr0 }: CpuState): void {
  if ((cr0 & (CR0.EM | CR0.TS)) !== 0n) raise.nm();
}

/** #MF for an exception that waits, by CR0.NE; without it the processor raises FERR#, which no board here listens to. */
function takePending({ fsw, cr0 }: CpuState): void {
  if ((fsw & ERROR_SUMMARY) !== 0 && (cr0 & CR0.NE) !== 0n) raise.mf();
}

export const fninit: Microcode = ({ state }) => {
  requireFpu(state);
  state.fcw = INITIAL_FCW;
  state.fsw = 0;
  state.ftw = ALL_EMPTY;
  return 'next';
};

export const fnclex: Microcode = ({ state }) => {
  requireFpu(state);
  state.fsw &= ~EXCEPTIONS;
  return 'next';
};

export const fnstcw: Microcode = (cpu, insn) => {
  requireFpu(cpu.state);
  writeOperand(cpu, insn, WORD, BigInt(cpu.state.fcw));
  return 'next';
};

/** To memory or to AX. */
export const fnstsw: Microcode = (cpu, insn) => {
  const { state } = cpu;
  requireFpu(state);
  if (insn.isMemory) writeOperand(cpu, insn, WORD, BigInt(state.fsw));
  else writeGpr(state, GPR.RAX, WORD, BigInt(state.fsw));
  return 'next';
};

/** Unmasking an exception whose flag is set makes it pending: the next waiting instruction takes it. */
export const fldcw: Microcode = (cpu, insn) => {
  const { state } = cpu;
  requireFpu(state);
  takePending(state);
  state.fcw = controlWord(Number(readOperand(cpu, insn, WORD)));
  state.fsw = withErrorSummary(state.fsw, state.fcw);
  return 'next';
};

export const fnop: Microcode = ({ state }) => {
  requireFpu(state);
  takePending(state);
  return 'next';
};

/** WAIT looks at TS only where CR0.MP says so. */
export const fwait: Microcode = ({ state }) => {
  const { cr0 } = state;
  if ((cr0 & CR0.MP) !== 0n && (cr0 & CR0.TS) !== 0n) raise.nm();
  takePending(state);
  return 'next';
};
