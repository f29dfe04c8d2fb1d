// Far transfers of control in 64-bit mode: JMP, CALL and RET through code segments and 64-bit call gates.

import { GPR, SEGMENT, SYSTEM_TYPE, TSS64 } from '../../x86/names/registers.ts';
import type { AccessKind } from '../access.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { stackFromTss } from '../delivery.ts';
import { gateDpl, isNull, markAccessed, readCallGate, readDescriptor, rplOf, selectorError } from '../descriptors.ts';
import type { Descriptor } from '../descriptors.ts';
import { raise } from '../fault.ts';
import { dplOf, is64BitCode, isCode, isConforming, isPresent, nullSegment, systemType } from '../segments.ts';
import { segmentSelector, writeSegment } from '../segments.ts';
import { nextRip, operandAccess } from './checks.ts';
import { checkDirectTarget, loadCs, readReturnCode, readStackSegment, returnToCpl } from './codeSegment.ts';
import { takeStackSegment } from './codeSegment.ts';
import type { Microcode, MicrocodeCpu, Operands } from './microcode.ts';

/** Where a far pointer leads, after all checks. */
interface Target {
  readonly code: Descriptor;
  readonly selector: number;
  readonly offset: bigint;
  readonly throughGate: boolean;
}

/** Reads the far pointer in memory and checks where it leads. `call`: a gate may lead to more privilege. */
function readTarget(cpu: MicrocodeCpu, insn: Operands, call: boolean): Target {
  const access = operandAccess(insn);
  const offset = cpu.mmu.read(insn.address, insn.width, access);
  const selector = Number(cpu.mmu.read(BigInt.asUintN(64, insn.address + BigInt(insn.width)), 2, access));
  if (isNull(selector)) raise.gp(0);
  const error = selectorError(selector);
  const descriptor = readDescriptor(cpu, selector) ?? raise.gp(error);
  if (isCode(descriptor.attributes)) {
    checkDirectTarget(cpu.state, descriptor, selector);
    if (!isCanonicalAddress(offset)) raise.gp(0);
    return { code: descriptor, selector, offset, throughGate: false };
  }
  // Task switches do not exist in 64-bit mode: TSS and task gates are #GP, as is everything else.
  if (systemType(descriptor.attributes) !== SYSTEM_TYPE.CALL_GATE) raise.gp(error);
  return readGateTarget(cpu, selector, call);
}

function readGateTarget(cpu: MicrocodeCpu, gateSelector: number, call: boolean): Target {
  const { cpl } = cpu.state;
  const gateError = selectorError(gateSelector);
  const gate = readCallGate(cpu, gateSelector) ?? raise.gp(gateError);
  if (!gate.wellFormed || gateDpl(gate) < cpl || gateDpl(gate) < rplOf(gateSelector)) raise.gp(gateError);
  if (!isPresent(gate.attributes)) raise.np(gateError);
  const { selector, offset } = gate;
  if (isNull(selector)) raise.gp(0);
  const error = selectorError(selector);
  const code = readDescriptor(cpu, selector) ?? raise.gp(error);
  if (!is64BitCode(code.attributes)) raise.gp(error);
  const dpl = dplOf(code.attributes);
  if (dpl > cpl || (!call && !isConforming(code.attributes) && dpl !== cpl)) raise.gp(error);
  if (!isPresent(code.attributes)) raise.np(error);
  if (!isCanonicalAddress(offset)) raise.gp(0);
  return { code, selector, offset, throughGate: true };
}

export const farJump: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const { code, selector, offset } = readTarget(cpu, insn, false);
  markAccessed(cpu, code);
  loadCs(state, code, selector, state.cpl);
  state.rip = offset;
  return 'jump';
};

export const farCall: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const target = readTarget(cpu, insn, true);
  const { code, selector, offset } = target;
  const cpl = isConforming(code.attributes) ? state.cpl : dplOf(code.attributes);
  if (cpl < state.cpl) callInner(cpu, insn, code, cpl);
  else {
    const width = target.throughGate ? 8 : insn.width;
    const values = [nextRip(insn), BigInt(segmentSelector(state, SEGMENT.CS))];
    state.setGpr(GPR.RSP, pushAll(cpu, state.gpr(GPR.RSP), width, values, 'stack', code));
  }
  loadCs(state, code, selector, cpl);
  state.rip = offset;
  return 'jump';
};

/** A call to more privilege: on the stack that the TSS names, which first gets the old stack pointer. */
function callInner(cpu: MicrocodeCpu, insn: Operands, code: Descriptor, cpl: number): void {
  const { state } = cpu;
  const top = stackFromTss(cpu, TSS64.RSP0 + 8 * cpl, 0);
  const cs = BigInt(segmentSelector(state, SEGMENT.CS));
  const ss = BigInt(segmentSelector(state, SEGMENT.SS));
  const rsp = pushAll(cpu, top, 8, [nextRip(insn), cs, state.gpr(GPR.RSP), ss], 'system', code);
  writeSegment(state, SEGMENT.SS, nullSegment(cpl, cpl));
  state.setGpr(GPR.RSP, rsp);
  state.cpl = cpl;
  cpu.mmu.selectViews();
}

/** Pushes values, the last one first, after probing them all in that order; gives the new stack pointer. `code` is marked on the way. */
function pushAll(
  cpu: MicrocodeCpu,
  top: bigint,
  width: number,
  values: readonly bigint[],
  access: AccessKind,
  code: Descriptor,
): bigint {
  const bytes = width * values.length;
  const rsp = BigInt.asUintN(64, top - BigInt(bytes));
  if (!isCanonicalAddress(rsp) || !isCanonicalAddress(BigInt.asUintN(64, top - 1n))) raise.ss(0);
  const place = (i: number): bigint => BigInt.asUintN(64, rsp + BigInt(i * width));
  for (let i = values.length - 1; i >= 0; i--) cpu.mmu.probe(place(i), width, 'write', access);
  markAccessed(cpu, code);
  values.forEach((value, i) => cpu.mmu.write(place(i), width, value, access));
  return rsp;
}

/** RET FAR, with or without a number of bytes to release. */
export const farReturn: Microcode = (cpu, insn) => {
  const { state, mmu } = cpu;
  const { width } = insn;
  const top = state.gpr(GPR.RSP);
  const released = insn.hasImmediate ? BigInt(insn.immediateNumber & 0xffff) : 0n;
  const pop = (at: bigint): bigint => mmu.read(BigInt.asUintN(64, at), width, 'stack');
  const step = BigInt(width);
  const rip = pop(top);
  const selector = Number(pop(top + step) & 0xffffn);
  const code = readReturnCode(cpu, selector);
  const cpl = rplOf(selector);
  let rsp = top + 2n * step + released;
  if (cpl === state.cpl) {
    if (!isCanonicalAddress(rip)) raise.gp(0);
    markAccessed(cpu, code);
  } else {
    const ss = Number(pop(rsp + step) & 0xffffn);
    rsp = pop(rsp) + released;
    const stack = readStackSegment(cpu, ss, cpl);
    if (!isCanonicalAddress(rip)) raise.gp(0);
    markAccessed(cpu, code);
    writeSegment(state, SEGMENT.SS, takeStackSegment(cpu, stack, ss, cpl));
  }
  loadCs(state, code, selector, cpl);
  state.rip = rip;
  state.setGpr(GPR.RSP, BigInt.asUintN(64, rsp));
  returnToCpl(cpu, cpl);
  return 'jump';
};
