// Instructions that ask about a selector without loading it, and answer in ZF: LAR, LSL, VERR, VERW, ARPL.

import { RFLAGS, SEGMENT_ATTRIBUTE, SELECTOR, SYSTEM_TYPE } from '../../x86/names/registers.ts';
import { isLongMode } from '../segments/codeMode.ts';
import { isNull, readDescriptor, rplOf, type Descriptor } from '../segments/descriptors.ts';
import { dplOf, isConforming, isReadable, isWritableData, systemType } from '../segments/segments.ts';
import { changeFlags, operandAccess, operandAddress, readWordOperand, writeGpr, writeOperand } from './checks.ts';
import { requireProtectedMode } from './checks.ts';
import type { Microcode, MicrocodeCpu } from './microcode.ts';

/** The descriptor of a selector if this privilege may see it; null otherwise. */
function readVisible(cpu: MicrocodeCpu, selector: number): Descriptor | null {
  if (isNull(selector)) return null;
  const descriptor = readDescriptor(cpu, selector);
  if (descriptor === null || isConforming(descriptor.attributes)) return descriptor;
  return Math.max(cpu.state.cpl, rplOf(selector)) > dplOf(descriptor.attributes) ? null : descriptor;
}

function answer(cpu: MicrocodeCpu, found: boolean): 'next' {
  changeFlags(cpu.state, found ? RFLAGS.ZF : 0, RFLAGS.ZF);
  return 'next';
}

/** Code and data segments, and what else the instruction knows in this mode. */
const isKnown = (descriptor: Descriptor | null, types: readonly number[]): descriptor is Descriptor =>
  descriptor !== null && [-1, ...types].includes(systemType(descriptor.attributes));

const WITH_LIMITS = [SYSTEM_TYPE.LDT, SYSTEM_TYPE.TSS_AVAILABLE, SYSTEM_TYPE.TSS_BUSY];
const WITH_LIMITS_LEGACY = [...WITH_LIMITS, SYSTEM_TYPE.TSS16_AVAILABLE, SYSTEM_TYPE.TSS16_BUSY];
const LSL_TYPES = { long: WITH_LIMITS, legacy: WITH_LIMITS_LEGACY };
const LAR_TYPES = {
  long: [...WITH_LIMITS, SYSTEM_TYPE.CALL_GATE],
  legacy: [...WITH_LIMITS_LEGACY, SYSTEM_TYPE.CALL_GATE, SYSTEM_TYPE.CALL_GATE16, SYSTEM_TYPE.TASK_GATE],
};

/** Attributes in their places in the second word of a descriptor: 8 bits up. */
const ACCESS_RIGHTS_SHIFT = 8;

/** Bits 16 to 19, which the manual leaves undefined; processors leave the limit's there. */
const limitBits = ({ attributes, limit }: Descriptor): number =>
  (attributes & SEGMENT_ATTRIBUTE.G ? limit >>> 12 : limit) & 0xf_0000;

export const lar: Microcode = (cpu, insn) => {
  requireProtectedMode(cpu.state);
  const descriptor = readVisible(cpu, readWordOperand(cpu, insn, insn.reg1));
  if (!isKnown(descriptor, LAR_TYPES[isLongMode(cpu.state) ? 'long' : 'legacy'])) return answer(cpu, false);
  writeGpr(
    cpu.state,
    insn.reg0,
    insn.width,
    BigInt((descriptor.attributes << ACCESS_RIGHTS_SHIFT) | limitBits(descriptor)),
  );
  return answer(cpu, true);
};

export const lsl: Microcode = (cpu, insn) => {
  requireProtectedMode(cpu.state);
  const descriptor = readVisible(cpu, readWordOperand(cpu, insn, insn.reg1));
  if (!isKnown(descriptor, LSL_TYPES[isLongMode(cpu.state) ? 'long' : 'legacy'])) return answer(cpu, false);
  writeGpr(cpu.state, insn.reg0, insn.width, BigInt(descriptor.limit));
  return answer(cpu, true);
};

export const verr: Microcode = (cpu, insn) => {
  requireProtectedMode(cpu.state);
  const descriptor = readVisible(cpu, readWordOperand(cpu, insn, insn.reg0));
  return answer(cpu, descriptor !== null && isReadable(descriptor.attributes));
};

export const verw: Microcode = (cpu, insn) => {
  requireProtectedMode(cpu.state);
  const descriptor = readVisible(cpu, readWordOperand(cpu, insn, insn.reg0));
  return answer(cpu, descriptor !== null && isWritableData(descriptor.attributes));
};

/** Raises the RPL of the first selector to that of the second. Memory must be writable even if it stays as it is. */
export const arpl: Microcode = (cpu, insn) => {
  requireProtectedMode(cpu.state);
  if (insn.isMemory) cpu.mmu.probe(operandAddress(cpu, insn, 2, 'write'), 2, 'write', operandAccess(insn));
  const selector = readWordOperand(cpu, insn, insn.reg0);
  const least = rplOf(cpu.state.gpr32(insn.isMemory ? insn.reg0 : insn.reg1));
  if (rplOf(selector) >= least) return answer(cpu, false);
  const raised = BigInt((selector & ~SELECTOR.RPL) | least);
  if (insn.isMemory) writeOperand(cpu, insn, 2, raised);
  else writeGpr(cpu.state, insn.reg0, 2, raised);
  return answer(cpu, true);
};
