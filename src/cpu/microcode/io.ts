// Port I/O. The host serves each access as a fragment of its instruction; REP INS and REP OUTS do one iteration a call.

import { IO_QUALIFICATION } from '../../x86/names/paging.ts';
import { GPR, RFLAGS, SEGMENT, TSS64 } from '../../x86/names/registers.ts';
import { raise, stop } from '../fault.ts';
import { iopl } from '../rflags.ts';
import { linearAddress } from '../segments/segmentation.ts';
import { segmentBase, segmentLimit } from '../segments/segments.ts';
import type { CpuState } from '../state.ts';
import { is16BitTss } from '../events/taskState.ts';
import { operandAccess, truncate, truncate32, writeGpr, writeGpr32 } from './checks.ts';
import type { Microcode, MicrocodeCpu, Operands, Outcome } from './microcode.ts';

type Size = 1 | 2 | 4;
const sizeOf = (insn: Operands): Size => (insn.width === 8 ? 4 : (insn.width as Size));
const portOf = (state: CpuState, insn: Operands): number =>
  insn.hasImmediate ? insn.immediateNumber & 0xff : state.gpr32(GPR.RDX) & 0xffff;

/**
 * #GP(0) unless IOPL or the bitmap in the TSS allows the port (SDM vol. 1, 18.5). Two bytes of the bitmap are always read. It
 * has the same place in 32- and 64-bit TSSs; 16-bit ones have none.
 */
function checkPermission({ state, mmu }: MicrocodeCpu, port: number, size: number): void {
  if (state.cpl <= iopl(state)) return;
  if (is16BitTss(state)) raise.gp(0);
  const limit = segmentLimit(state, SEGMENT.TR);
  const tss = segmentBase(state, SEGMENT.TR);
  const readWord = (offset: number): number => {
    if (offset + 1 > limit) raise.gp(0);
    return Number(mmu.read(BigInt.asUintN(64, tss + BigInt(offset)), 2, 'system'));
  };
  const bits = readWord(readWord(TSS64.IO_MAP_BASE) + (port >> 3));
  const asked = ((1 << size) - 1) << (port & 7);
  if ((bits & asked) !== 0) raise.gp(0);
}

/** Asks the host; null until it has answered: leave with IO_INSTRUCTION. */
function access(
  cpu: MicrocodeCpu,
  insn: Operands,
  direction: 'in' | 'out',
  port: number,
  value: number,
  flags: number,
): number | null {
  const size = sizeOf(insn);
  if (!cpu.controls.portExits(port, size)) {
    stop(`port 0x${port.toString(16)} does not exit, and no device is reached otherwise`, 'let the port exit');
  }
  cpu.state.exitLength = insn.length;
  const served = cpu.fragments.port(port, size, direction, value, flags);
  if (served !== null) cpu.breakpoints.notePort(port, size);
  return served;
}

const qualificationOf = (insn: Operands): number => (insn.hasImmediate ? IO_QUALIFICATION.IMMEDIATE : 0);

const input: Microcode = (cpu, insn) => {
  const port = portOf(cpu.state, insn);
  checkPermission(cpu, port, sizeOf(insn));
  const value = access(cpu, insn, 'in', port, 0, qualificationOf(insn));
  if (value === null) return 'exit';
  writeGpr32(cpu.state, GPR.RAX, sizeOf(insn), value);
  return 'next';
};

const output: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const port = portOf(state, insn);
  checkPermission(cpu, port, sizeOf(insn));
  const value = truncate32(state.gpr32(GPR.RAX), sizeOf(insn));
  return access(cpu, insn, 'out', port, value, qualificationOf(insn)) === null ? 'exit' : 'next';
};

const stringQualification = (insn: Operands): number => IO_QUALIFICATION.STRING | (insn.rep ? IO_QUALIFICATION.REP : 0);

const ins: Microcode = (cpu, insn) => {
  const { state, mmu } = cpu;
  const port = portOf(state, insn);
  const size = sizeOf(insn);
  checkPermission(cpu, port, size); // also when there is nothing to move
  if (isFinished(state, insn)) return 'next';
  const offset = truncate(state.gpr(GPR.RDI), insn.addressSize);
  const address = linearAddress(state, SEGMENT.ES, offset, size, 'write');
  mmu.probe(address, size, 'write', 'data');
  const value = access(cpu, insn, 'in', port, 0, stringQualification(insn));
  if (value === null) return 'exit';
  mmu.write(address, size, BigInt(value), 'data');
  return step(state, insn, GPR.RDI);
};

const outs: Microcode = (cpu, insn) => {
  const { state, mmu } = cpu;
  const port = portOf(state, insn);
  const size = sizeOf(insn);
  checkPermission(cpu, port, size); // also when there is nothing to move
  if (isFinished(state, insn)) return 'next';
  const offset = truncate(state.gpr(GPR.RSI), insn.addressSize);
  const address = linearAddress(state, insn.segment, offset, size, 'read');
  const value = Number(mmu.read(address, size, operandAccess(insn)));
  if (access(cpu, insn, 'out', port, value, stringQualification(insn)) === null) return 'exit';
  return step(state, insn, GPR.RSI);
};

const isFinished = (state: CpuState, insn: Operands): boolean =>
  insn.rep && truncate(state.gpr(GPR.RCX), insn.addressSize) === 0n;

/** Moves the pointer, counts down, and says whether the instruction runs again. */
function step(state: CpuState, insn: Operands, pointer: number): Outcome {
  const { addressSize } = insn;
  const distance = BigInt(state.rflags & RFLAGS.DF ? -sizeOf(insn) : sizeOf(insn));
  writeGpr(state, pointer, addressSize, BigInt.asUintN(64, state.gpr(pointer) + distance));
  if (!insn.rep) return 'next';
  const left = truncate(BigInt.asUintN(64, state.gpr(GPR.RCX) - 1n), addressSize);
  writeGpr(state, GPR.RCX, addressSize, left);
  return left === 0n ? 'next' : 'jump';
}

export const PORT_IO = { in: input, out: output, ins, outs };
