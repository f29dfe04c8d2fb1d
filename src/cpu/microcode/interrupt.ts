// Software interrupts and the return from interrupts: INT n, INT1, INT3, INTO, IRET.

import { GPR, RFLAGS, SEGMENT } from '../../x86/names/registers.ts';
import { VECTOR } from '../../x86/names/vectors.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { deliverSoftwareEvent } from '../delivery.ts';
import { markAccessed, rplOf } from '../descriptors.ts';
import { guestFault, raise } from '../fault.ts';
import { EVENT_TYPE } from '../interruption.ts';
import { iopl, readRflags, writeRflags } from '../rflags.ts';
import { writeSegment } from '../segments.ts';
import { loadCs, readReturnCode, readStackSegment, returnToCpl, takeStackSegment } from './codeSegment.ts';
import type { Microcode, MicrocodeCpu, Operands } from './microcode.ts';

export const int: Microcode = (cpu, insn) => {
  deliverSoftwareEvent(cpu, EVENT_TYPE.SOFT_INTERRUPT, insn.immediateNumber & 0xff, insn.length);
  return 'jump';
};

export const int1: Microcode = (cpu, insn) => {
  deliverSoftwareEvent(cpu, EVENT_TYPE.PRIVILEGED_SOFT_EXCEPTION, VECTOR.DB, insn.length);
  return 'jump';
};

export const int3: Microcode = (cpu, insn) => {
  deliverSoftwareEvent(cpu, EVENT_TYPE.SOFT_EXCEPTION, VECTOR.BP, insn.length);
  return 'jump';
};

export const into: Microcode = (cpu, insn) => {
  if ((readRflags(cpu.state) & RFLAGS.OF) === 0) return 'next';
  deliverSoftwareEvent(cpu, EVENT_TYPE.SOFT_EXCEPTION, VECTOR.OF, insn.length);
  return 'jump';
};

/** NMIs are unblocked even by an IRET that faults (SDM vol. 3, 25.3), but not by one that exits: it will run again. */
export const iret: Microcode = (cpu, insn) => {
  try {
    returnFromInterrupt(cpu, insn);
  } catch (thrown) {
    if (thrown === guestFault) cpu.state.nmiBlocked = 0;
    throw thrown;
  }
  cpu.state.nmiBlocked = 0;
  return 'jump';
};

/** IRET in 64-bit mode: always pops SS:RSP, whatever the privilege. */
function returnFromInterrupt(cpu: MicrocodeCpu, insn: Operands): void {
  const { state, mmu } = cpu;
  if (readRflags(state) & RFLAGS.NT) raise.gp(0);
  const { width } = insn;
  const top = state.gpr(GPR.RSP);
  const pop = (index: number): bigint => mmu.read(BigInt.asUintN(64, top + BigInt(index * width)), width, 'stack');
  const rip = pop(0);
  const cs = Number(pop(1) & 0xffffn);
  const flags = Number(pop(2) & 0xffff_ffffn);
  const rsp = pop(3);
  const ss = Number(pop(4) & 0xffffn);

  const code = readReturnCode(cpu, cs);
  const cpl = rplOf(cs);
  const stack = readStackSegment(cpu, ss, cpl);
  if (!isCanonicalAddress(rip)) raise.gp(0);

  markAccessed(cpu, code);
  const stackSegment = takeStackSegment(cpu, stack, ss, cpl);
  const changeable = flagsThatIretLoads(cpu, width);
  writeRflags(state, (readRflags(state) & ~changeable) | (flags & changeable));
  loadCs(state, code, cs, cpl);
  writeSegment(state, SEGMENT.SS, stackSegment);
  state.rip = rip;
  state.setGpr(GPR.RSP, rsp);
  returnToCpl(cpu, cpl);
  mmu.selectViews(); // AC may have changed at the same CPL.
}

const STATUS =
  RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.TF | RFLAGS.DF | RFLAGS.OF | RFLAGS.NT; // prettier-ignore

function flagsThatIretLoads({ state }: MicrocodeCpu, width: number): number {
  let flags: number = STATUS;
  if (state.cpl <= iopl(state)) flags |= RFLAGS.IF;
  if (state.cpl === 0) flags |= RFLAGS.IOPL;
  if (width === 2) return flags;
  flags |= RFLAGS.AC | RFLAGS.ID | RFLAGS.RF;
  return state.cpl === 0 ? flags | RFLAGS.VIF | RFLAGS.VIP : flags;
}
