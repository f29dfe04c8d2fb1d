// The registers that hold descriptor tables and the task: GDTR, IDTR, LDTR, TR.

import { SEGMENT, SELECTOR, SYSTEM_TYPE } from '../../x86/names/registers.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { busy, isNull, markBusy, readSystemDescriptor, selectorError, type Descriptor } from '../descriptors.ts';
import { raise } from '../fault.ts';
import { isPresent, nullSegment, segmentSelector, systemType, writeSegment } from '../segments.ts';
import { operandAccess, readWordOperand, requireRing0, requireUnprevented, storeWord } from './checks.ts';
import type { Microcode, MicrocodeCpu, Operands } from './microcode.ts';

/** A pseudo-descriptor in memory: a 16-bit limit, and behind it a 64-bit base. */
const BASE_AT = 2n;
const baseAddress = (insn: Operands): bigint => BigInt.asUintN(64, insn.address + BASE_AT);

function loadTable(cpu: MicrocodeCpu, insn: Operands): { base: bigint; limit: number } {
  requireRing0(cpu.state);
  const access = operandAccess(insn);
  const limit = Number(cpu.mmu.read(insn.address, 2, access));
  const base = cpu.mmu.read(baseAddress(insn), 8, access);
  if (!isCanonicalAddress(base)) raise.gp(0);
  return { base, limit };
}

export const lgdt: Microcode = (cpu, insn) => {
  const { base, limit } = loadTable(cpu, insn);
  cpu.state.gdtrBase = base;
  cpu.state.gdtrLimit = limit;
  return 'next';
};

export const lidt: Microcode = (cpu, insn) => {
  const { base, limit } = loadTable(cpu, insn);
  cpu.state.idtrBase = base;
  cpu.state.idtrLimit = limit;
  return 'next';
};

function storeTable({ state, mmu }: MicrocodeCpu, insn: Operands, base: bigint, limit: number): void {
  requireUnprevented(state);
  const access = operandAccess(insn);
  mmu.probe(insn.address, 10, 'write', access);
  mmu.write(insn.address, 2, BigInt(limit), access);
  mmu.write(baseAddress(insn), 8, base, access);
}

export const sgdt: Microcode = (cpu, insn) => {
  storeTable(cpu, insn, cpu.state.gdtrBase, cpu.state.gdtrLimit);
  return 'next';
};

export const sidt: Microcode = (cpu, insn) => {
  storeTable(cpu, insn, cpu.state.idtrBase, cpu.state.idtrLimit);
  return 'next';
};

/** The descriptor in the GDT of an LDT or an available TSS. */
function readGdtSystemDescriptor(cpu: MicrocodeCpu, selector: number, type: number): Descriptor {
  const error = selectorError(selector);
  if ((selector & SELECTOR.TI) !== 0) raise.gp(error);
  const descriptor = readSystemDescriptor(cpu, selector) ?? raise.gp(error);
  if (systemType(descriptor.attributes) !== type || !isCanonicalAddress(descriptor.base)) raise.gp(error);
  if (!isPresent(descriptor.attributes)) raise.np(error);
  return descriptor;
}

export const lldt: Microcode = (cpu, insn) => {
  requireRing0(cpu.state);
  const selector = readWordOperand(cpu, insn, insn.reg0);
  if (isNull(selector)) writeSegment(cpu.state, SEGMENT.LDTR, nullSegment(selector));
  else {
    const { base, limit, attributes } = readGdtSystemDescriptor(cpu, selector, SYSTEM_TYPE.LDT);
    writeSegment(cpu.state, SEGMENT.LDTR, { selector, base, limit, attributes });
  }
  return 'next';
};

export const ltr: Microcode = (cpu, insn) => {
  requireRing0(cpu.state);
  const selector = readWordOperand(cpu, insn, insn.reg0);
  if (isNull(selector)) raise.gp(0);
  const descriptor = readGdtSystemDescriptor(cpu, selector, SYSTEM_TYPE.TSS_AVAILABLE);
  markBusy(cpu, descriptor);
  const { base, limit, attributes } = descriptor;
  writeSegment(cpu.state, SEGMENT.TR, { selector, base, limit, attributes: busy(attributes) });
  return 'next';
};

const store =
  (segment: number): Microcode =>
  (cpu, insn) => {
    requireUnprevented(cpu.state);
    storeWord(cpu, insn, BigInt(segmentSelector(cpu.state, segment)));
    return 'next';
  };

export const sldt = store(SEGMENT.LDTR);
export const str = store(SEGMENT.TR);
