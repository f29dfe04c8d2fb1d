// Far calls and jumps through call gates of 16, 32 and 64 bits (SDM vol. 3, 5.8.3 to 5.8.5). A call may lead to more
// privilege: then it goes to the stack that the TSS names, which first gets the old stack pointer and the parameters.

import { SEGMENT } from '../../x86/names/registers.ts';
import { isLongMode } from '../segments/codeMode.ts';
import { gateDpl, isNull, markAccessed, readDescriptor, rplOf, selectorError } from '../segments/descriptors.ts';
import type { Descriptor, Gate } from '../segments/descriptors.ts';
import { raise } from '../fault.ts';
import { cplBehind, goThrough } from '../events/gate.ts';
import { requireWithin } from '../segments/segmentation.ts';
import { dplOf, is64BitCode, isCode, isConforming, isPresent, segmentSelector } from '../segments/segments.ts';
import { Stack } from '../segments/stack.ts';
import type { CpuState } from '../state.ts';
import { nextRip } from './checks.ts';
import { loadCs } from './codeSegment.ts';
import type { MicrocodeCpu, Operands } from './microcode.ts';

/** What a gate asks of whoever goes through it. */
export function checkGate(state: CpuState, gate: Gate, selector: number): void {
  const error = selectorError(selector);
  if (!gate.wellFormed || gateDpl(gate) < state.cpl || gateDpl(gate) < rplOf(selector)) raise.gp(error);
  if (!isPresent(gate.attributes)) raise.np(error);
}

/** The code behind a gate. `call`: it may have more privilege. */
function readCode(cpu: MicrocodeCpu, { selector }: Gate, call: boolean): Descriptor {
  const { state } = cpu;
  if (isNull(selector)) raise.gp(0);
  const error = selectorError(selector);
  const code = readDescriptor(cpu, selector) ?? raise.gp(error);
  const { attributes } = code;
  if (!(isLongMode(state) ? is64BitCode(attributes) : isCode(attributes))) raise.gp(error);
  const dpl = dplOf(attributes);
  if (dpl > state.cpl || (!call && !isConforming(attributes) && dpl !== state.cpl)) raise.gp(error);
  if (!isPresent(attributes)) raise.np(error);
  return code;
}

export function jumpThrough(cpu: MicrocodeCpu, gate: Gate): void {
  const { state } = cpu;
  const code = readCode(cpu, gate, false);
  requireWithin(state, code, gate.offset);
  markAccessed(cpu, code);
  loadCs(state, code, gate.selector, state.cpl);
  state.rip = gate.offset;
}

export function callThrough(cpu: MicrocodeCpu, insn: Operands, gate: Gate): void {
  const { state } = cpu;
  const code = readCode(cpu, gate, true);
  const frame = [BigInt(segmentSelector(state, SEGMENT.CS)), nextRip(state, insn)];
  const isInner = cplBehind(state.cpl, code) < state.cpl;
  goThrough(cpu, gate, code, frame, 0, isInner ? readParameters(cpu, gate) : []);
}

/** Words of the caller's stack, those furthest from its top first. */
function readParameters(cpu: MicrocodeCpu, { parameters, width }: Gate): bigint[] {
  const caller = Stack.current(cpu);
  return Array.from({ length: parameters }, (_, i) => caller.peek((parameters - 1 - i) * width, width));
}
