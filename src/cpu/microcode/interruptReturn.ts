// IRET: the return from interrupts, in every mode (SDM vol. 2, IRET). Task returns and virtual-8086 mode stop by name.

import { GPR, RFLAGS, SEGMENT } from '../../x86/names/registers.ts';
import { is64BitMode, isLongMode, isRealMode } from '../segments/codeMode.ts';
import { markAccessed, rplOf } from '../segments/descriptors.ts';
import { guestFault, raise, stop } from '../fault.ts';
import { iopl, readRflags, writeRflags } from '../rflags.ts';
import { writeSegment } from '../segments/segments.ts';
import { leadsTo64Bit, requireWithin } from '../segments/segmentation.ts';
import { Stack } from '../segments/stack.ts';
import { joinWords } from '../words.ts';
import { switchTasks } from '../events/taskSwitch.ts';
import { goInRealMode, loadCs, loadStack, readReturnCode, readStackSegment } from './codeSegment.ts';
import { returnToCpl, takeStackSegment } from './codeSegment.ts';
import type { Microcode, MicrocodeCpu, Operands } from './microcode.ts';

/** NMIs are unblocked even by an IRET that faults (SDM vol. 3, 25.3), but not by one that exits: it will run again. */
export const iret: Microcode = (cpu, insn) => {
  try {
    if (is64BitMode(cpu.state)) returnFrom64Bit(cpu, insn);
    else if (isRealMode(cpu.state)) returnInRealMode(cpu, insn);
    else returnFromLegacy(cpu, insn);
  } catch (thrown) {
    if (thrown === guestFault) cpu.state.nmiBlocked = 0;
    throw thrown;
  }
  cpu.state.nmiBlocked = 0;
  return 'jump';
};

/** Always pops SS:RSP, whatever the privilege. */
function returnFrom64Bit(cpu: MicrocodeCpu, insn: Operands): void {
  const { state, mmu } = cpu;
  if (readRflags(state) & RFLAGS.NT) raise.gp(0);
  const { width } = insn;
  readWord(cpu, 0, width);
  const rip = joinWords(mmu.low, mmu.high);
  const cs = readWord(cpu, 1, width) & 0xffff;
  const flags = readWord(cpu, 2, width);
  readWord(cpu, 3, width);
  const rsp = joinWords(mmu.low, mmu.high);
  const ss = readWord(cpu, 4, width) & 0xffff;

  const code = readReturnCode(cpu, cs);
  const cpl = rplOf(cs);
  const to64Bit = leadsTo64Bit(state, code);
  const stack = readStackSegment(cpu, ss, cpl, to64Bit);
  requireWithin(state, code, rip);

  markAccessed(cpu, code);
  const stackSegment = takeStackSegment(cpu, stack, ss, cpl);
  loadFlags(cpu, flags, flagsThatIretLoads(cpu, width));
  loadCs(state, code, cs, cpl);
  if (to64Bit) {
    writeSegment(state, SEGMENT.SS, stackSegment);
    state.setGpr(GPR.RSP, rsp);
  } else loadStack(cpu, stackSegment, false, rsp);
  state.rip = rip;
  returnToCpl(cpu, cpl);
  mmu.selectViews(); // AC may have changed at the same CPL.
}

/** Reads a word of the frame at the top of the stack; its lower half. */
function readWord({ state, mmu }: MicrocodeCpu, index: number, width: number): number {
  const at = state.gpr32(GPR.RSP) + index * width;
  const carry = at > 0xffff_ffff ? 1 : 0;
  mmu.readWords(at >>> 0, (state.gprHigh(GPR.RSP) + carry) >>> 0, width, 'stack');
  return mmu.low;
}

/** From 16- and 32-bit code of protected and compatibility mode: pops SS:ESP only if the privilege changes. */
function returnFromLegacy(cpu: MicrocodeCpu, { width }: Operands): void {
  const { state } = cpu;
  if (readRflags(state) & RFLAGS.NT) {
    if (isLongMode(state)) raise.gp(0);
    switchTasks('IRET with EFLAGS.NT set');
  }
  const stack = Stack.current(cpu);
  const rip = stack.pop(width);
  const cs = Number(stack.pop(width) & 0xffffn);
  const flags = Number(stack.pop(width));
  if ((flags & RFLAGS.VM) !== 0 && state.cpl === 0 && !isLongMode(state)) {
    stop('virtual-8086 mode is not implemented', 'leave EFLAGS.VM clear in the frame of IRET');
  }

  const code = readReturnCode(cpu, cs);
  const cpl = rplOf(cs);
  const loaded = flagsThatIretLoads(cpu, width);
  if (cpl === state.cpl) {
    requireWithin(state, code, rip);
    markAccessed(cpu, code);
    loadCs(state, code, cs, cpl);
    stack.commit();
  } else {
    const pointer = stack.pop(width);
    const ss = Number(stack.pop(width) & 0xffffn);
    const to64Bit = leadsTo64Bit(state, code);
    const outer = readStackSegment(cpu, ss, cpl, to64Bit);
    requireWithin(state, code, rip);
    markAccessed(cpu, code);
    const segment = takeStackSegment(cpu, outer, ss, cpl);
    loadCs(state, code, cs, cpl);
    loadStack(cpu, segment, to64Bit, pointer);
    returnToCpl(cpu, cpl);
  }
  loadFlags(cpu, flags, loaded);
  state.rip = rip;
  cpu.mmu.selectViews();
}

function returnInRealMode(cpu: MicrocodeCpu, { width }: Operands): void {
  const stack = Stack.current(cpu);
  const rip = stack.pop(width);
  const cs = Number(stack.pop(width) & 0xffffn);
  const flags = Number(stack.pop(width));
  goInRealMode(cpu.state, cs, rip);
  stack.commit();
  loadFlags(cpu, flags, flagsThatIretLoads(cpu, width) & ~(RFLAGS.VIF | RFLAGS.VIP));
  cpu.mmu.selectViews();
}

function loadFlags({ state }: MicrocodeCpu, image: number, loaded: number): void {
  writeRflags(state, (readRflags(state) & ~loaded) | (image & loaded));
}

const STATUS =
  RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.TF | RFLAGS.DF | RFLAGS.OF | RFLAGS.NT; // prettier-ignore

/** What IRET takes of the image, by the privilege that it is executed at. */
function flagsThatIretLoads({ state }: MicrocodeCpu, width: number): number {
  let flags: number = STATUS;
  if (state.cpl <= iopl(state)) flags |= RFLAGS.IF;
  if (state.cpl === 0) flags |= RFLAGS.IOPL;
  if (width === 2) return flags;
  flags |= RFLAGS.AC | RFLAGS.ID | RFLAGS.RF;
  return state.cpl === 0 ? flags | RFLAGS.VIF | RFLAGS.VIP : flags;
}
