// The registers that hold descriptor tables and the task: GDTR, IDTR, LDTR, TR.

import { SEGMENT, SELECTOR, SYSTEM_TYPE } from '../../x86/names/registers.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { is64BitMode, isLongMode } from '../segments/codeMode.ts';
import {
  busy,
  isNull,
  markBusy,
  readSystemDescriptor,
  selectorError,
  type Descriptor,
} from '../segments/descriptors.ts';
import { raise } from '../fault.ts';
import { isPresent, nullSegment, segmentSelector, systemType, writeSegment } from '../segments/segments.ts';
import type { CpuState } from '../state.ts';
import { linearAfter, operandAccess, operandAddress, readWordOperand, storeWord, truncate } from './checks.ts';
import { requireProtectedMode, requireRing0, requireUnprevented } from './checks.ts';
import type { Microcode, MicrocodeCpu, Operands } from './microcode.ts';

/** A pseudo-descriptor in memory: a 16-bit limit, and behind it a base of 64 bits, or of 32 outside 64-bit mode. */
const BASE_AT = 2;
const baseBytes = (state: CpuState): number => (is64BitMode(state) ? 8 : 4);
/** What a 16-bit LGDT or LIDT takes of the base. */
const BASE24 = 0xff_ffffn;

function loadTable(cpu: MicrocodeCpu, insn: Operands): { base: bigint; limit: number } {
  const { state, mmu } = cpu;
  requireRing0(state);
  const bytes = baseBytes(state);
  const at = operandAddress(cpu, insn, BASE_AT + bytes, 'read');
  const access = operandAccess(insn);
  const limit = Number(mmu.read(at, 2, access));
  const base = mmu.read(linearAfter(state, at, BASE_AT), bytes, access);
  if (!isCanonicalAddress(base)) raise.gp(0);
  return { base: insn.width === 2 ? base & BASE24 : base, limit };
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

function storeTable(cpu: MicrocodeCpu, insn: Operands, base: bigint, limit: number): void {
  const { state, mmu } = cpu;
  requireUnprevented(state);
  const bytes = baseBytes(state);
  const at = operandAddress(cpu, insn, BASE_AT + bytes, 'write');
  const access = operandAccess(insn);
  mmu.probe(at, BASE_AT + bytes, 'write', access);
  mmu.write(at, 2, BigInt(limit), access);
  mmu.write(linearAfter(state, at, BASE_AT), bytes, truncate(base, bytes), access);
}

export const sgdt: Microcode = (cpu, insn) => {
  storeTable(cpu, insn, cpu.state.gdtrBase, cpu.state.gdtrLimit);
  return 'next';
};

export const sidt: Microcode = (cpu, insn) => {
  storeTable(cpu, insn, cpu.state.idtrBase, cpu.state.idtrLimit);
  return 'next';
};

/** The descriptor in the GDT of an LDT or a TSS. */
function readGdtSystemDescriptor(cpu: MicrocodeCpu, selector: number, types: readonly number[]): Descriptor {
  const error = selectorError(selector);
  if ((selector & SELECTOR.TI) !== 0) raise.gp(error);
  const descriptor = readSystemDescriptor(cpu, selector) ?? raise.gp(error);
  const isKnown = types.includes(systemType(descriptor.attributes));
  if (!isKnown || !isCanonicalAddress(descriptor.base)) raise.gp(error);
  if (!isPresent(descriptor.attributes)) raise.np(error);
  return descriptor;
}

const LDT = [SYSTEM_TYPE.LDT];

export const lldt: Microcode = (cpu, insn) => {
  const { state } = cpu;
  requireProtectedMode(state);
  requireRing0(state);
  const selector = readWordOperand(cpu, insn, insn.reg0);
  if (isNull(selector)) writeSegment(state, SEGMENT.LDTR, nullSegment(selector));
  else {
    const { base, limit, attributes } = readGdtSystemDescriptor(cpu, selector, LDT);
    writeSegment(state, SEGMENT.LDTR, { selector, base, limit, attributes });
  }
  return 'next';
};

const AVAILABLE_TSS = [SYSTEM_TYPE.TSS_AVAILABLE];
const AVAILABLE_TSS_LEGACY = [SYSTEM_TYPE.TSS_AVAILABLE, SYSTEM_TYPE.TSS16_AVAILABLE];

export const ltr: Microcode = (cpu, insn) => {
  const { state } = cpu;
  requireProtectedMode(state);
  requireRing0(state);
  const selector = readWordOperand(cpu, insn, insn.reg0);
  if (isNull(selector)) raise.gp(0);
  const types = isLongMode(state) ? AVAILABLE_TSS : AVAILABLE_TSS_LEGACY;
  const descriptor = readGdtSystemDescriptor(cpu, selector, types);
  markBusy(cpu, descriptor);
  const { base, limit, attributes } = descriptor;
  writeSegment(state, SEGMENT.TR, { selector, base, limit, attributes: busy(attributes) });
  return 'next';
};

const store =
  (segment: number): Microcode =>
  (cpu, insn) => {
    requireProtectedMode(cpu.state);
    requireUnprevented(cpu.state);
    storeWord(cpu, insn, BigInt(segmentSelector(cpu.state, segment)));
    return 'next';
  };

export const sldt = store(SEGMENT.LDTR);
export const str = store(SEGMENT.TR);
