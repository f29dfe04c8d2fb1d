// Far transfers of control: JMP, CALL and RET through code segments; through call gates: callGate.ts.

import { SEGMENT, SYSTEM_TYPE } from '../../x86/names/registers.ts';
import { isLongMode, isRealMode } from '../segments/codeMode.ts';
import { isNull, markAccessed, readCallGate, readDescriptor, rplOf, selectorError } from '../segments/descriptors.ts';
import type { Descriptor, Gate } from '../segments/descriptors.ts';
import { raise } from '../fault.ts';
import { isCode, segmentSelector, systemType } from '../segments/segments.ts';
import { leadsTo64Bit, requireWithin } from '../segments/segmentation.ts';
import { Stack } from '../segments/stack.ts';
import type { CpuState } from '../state.ts';
import { switchByGate, switchToTss } from '../events/taskSwitch.ts';
import { callThrough, checkGate, jumpThrough } from './callGate.ts';
import { nextRip, readFarPointer } from './checks.ts';
import { checkDirectTarget, goInRealMode, loadCs, loadStack, readReturnCode } from './codeSegment.ts';
import { readStackSegment, requireWithinRealCode, returnToCpl, takeStackSegment } from './codeSegment.ts';
import type { Microcode, MicrocodeCpu, Operands } from './microcode.ts';

interface FarPointer {
  readonly selector: number;
  readonly offset: bigint;
}

const pointerOf = (cpu: MicrocodeCpu, insn: Operands): FarPointer =>
  insn.isMemory ? readFarPointer(cpu, insn) : { selector: insn.immediate2, offset: insn.immediate };

/** What a far pointer leads to: code, or code behind a call gate. */
type Target = { readonly code: Descriptor; readonly gate: null } | { readonly code: null; readonly gate: Gate };

const isCallGate = (state: CpuState, type: number): boolean =>
  type === SYSTEM_TYPE.CALL_GATE || (type === SYSTEM_TYPE.CALL_GATE16 && !isLongMode(state));
const isTss = (type: number): boolean => type === SYSTEM_TYPE.TSS_AVAILABLE || type === SYSTEM_TYPE.TSS16_AVAILABLE;

/** The target of a far pointer in protected mode, checked but for what lies behind a gate. */
function readTarget(cpu: MicrocodeCpu, selector: number): Target {
  const { state } = cpu;
  if (isNull(selector)) raise.gp(0);
  const error = selectorError(selector);
  const descriptor = readDescriptor(cpu, selector) ?? raise.gp(error);
  if (isCode(descriptor.attributes)) {
    checkDirectTarget(state, descriptor, selector);
    return { code: descriptor, gate: null };
  }
  const type = systemType(descriptor.attributes);
  if (isCallGate(state, type)) {
    const gate = readCallGate(cpu, selector) ?? raise.gp(error);
    checkGate(state, gate, selector);
    return { code: null, gate };
  }
  if (!isLongMode(state)) {
    if (type === SYSTEM_TYPE.TASK_GATE) return switchByGate(cpu, selector, readCallGate(cpu, selector)!);
    if (isTss(type)) return switchToTss(cpu, selector, descriptor);
  }
  return raise.gp(error);
}

export const farJump: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const { selector, offset } = pointerOf(cpu, insn);
  if (isRealMode(state)) {
    goInRealMode(state, selector, offset);
    return 'jump';
  }
  const { code, gate } = readTarget(cpu, selector);
  if (gate !== null) jumpThrough(cpu, gate);
  else {
    requireWithin(state, code, offset);
    markAccessed(cpu, code);
    loadCs(state, code, selector, state.cpl);
    state.rip = offset;
  }
  return 'jump';
};

export const farCall: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const { selector, offset } = pointerOf(cpu, insn);
  if (isRealMode(state)) {
    const stack = pushReturn(cpu, insn, false, () => requireWithinRealCode(state, offset));
    goInRealMode(state, selector, offset);
    stack.commit();
    return 'jump';
  }
  const { code, gate } = readTarget(cpu, selector);
  if (gate !== null) callThrough(cpu, insn, gate);
  else {
    const stack = pushReturn(cpu, insn, leadsTo64Bit(state, code), () => {
      requireWithin(state, code, offset);
      markAccessed(cpu, code);
    });
    loadCs(state, code, selector, state.cpl);
    state.rip = offset;
    stack.commit();
  }
  return 'jump';
};

/** Pushes CS:RIP as the code does that is called. What else may raise comes between the probes and the first write. */
function pushReturn(cpu: MicrocodeCpu, insn: Operands, to64Bit: boolean, last: () => void): Stack {
  const { state } = cpu;
  const stack = Stack.seenBy(cpu, to64Bit);
  stack.probe(2, insn.width);
  last();
  stack.push(insn.width, BigInt(segmentSelector(state, SEGMENT.CS)));
  stack.push(insn.width, nextRip(state, insn));
  return stack;
}

const SELECTOR_BITS = 0xffffn;

/** RET FAR, with or without a number of bytes to release. */
export const farReturn: Microcode = (cpu, insn) => {
  const { state } = cpu;
  const { width } = insn;
  const released = insn.hasImmediate ? insn.immediateNumber & 0xffff : 0;
  const stack = Stack.current(cpu);
  const rip = stack.pop(width);
  const selector = Number(stack.pop(width) & SELECTOR_BITS);
  if (isRealMode(state)) {
    goInRealMode(state, selector, rip);
    stack.release(released);
    stack.commit();
    return 'jump';
  }
  const code = readReturnCode(cpu, selector);
  const cpl = rplOf(selector);
  stack.release(released);
  if (cpl === state.cpl) {
    requireWithin(state, code, rip);
    markAccessed(cpu, code);
    stack.commit();
    loadCs(state, code, selector, cpl);
  } else {
    const pointer = stack.pop(width);
    const ss = Number(stack.pop(width) & SELECTOR_BITS);
    const for64Bit = leadsTo64Bit(state, code);
    const outer = readStackSegment(cpu, ss, cpl, for64Bit);
    requireWithin(state, code, rip);
    markAccessed(cpu, code);
    const segment = takeStackSegment(cpu, outer, ss, cpl);
    loadCs(state, code, selector, cpl);
    loadStack(cpu, segment, for64Bit, pointer, released);
    returnToCpl(cpu, cpl);
  }
  state.rip = rip;
  return 'jump';
};
