// Going through a call, interrupt or trap gate: the frame goes on the stack in use, or, to more privilege, on the stack that the
// TSS names, behind the old stack pointer (SDM vol. 2, CALL and INT n). In IA-32e mode interrupts have a way of their own.

import { GPR, SEGMENT } from '../../x86/names/registers.ts';
import { markAccessed, segmentOf, type Descriptor, type Gate } from '../segments/descriptors.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { leadsTo64Bit, requireWithin } from '../segments/segmentation.ts';
import { dplOf, isConforming, segmentSelector, writeSegment } from '../segments/segments.ts';
import { Stack } from '../segments/stack.ts';
import { innerStack } from './taskState.ts';

/** The privilege level that code behind a gate runs at; the code was checked to have no less than the current one. */
export const cplBehind = (cpl: number, { attributes }: Descriptor): number =>
  isConforming(attributes) ? cpl : dplOf(attributes);

/**
 * Pushes words of the gate's width, first ones first, and loads CS:RIP, and SS:RSP and CPL if the privilege changes. Then `parameters`
 * stand between the old stack pointer and the frame. Raises all that it may raise before the first write; errors carry `ext`.
 */
export function goThrough(
  cpu: MicrocodeCpu,
  gate: Gate,
  code: Descriptor,
  frame: readonly bigint[],
  ext: number,
  parameters: readonly bigint[] = [],
): void {
  const { state } = cpu;
  const { selector, offset } = gate;
  const cpl = cplBehind(state.cpl, code);
  if (cpl === state.cpl) {
    const stack = Stack.seenBy(cpu, leadsTo64Bit(state, code), ext);
    push(cpu, stack, gate, code, null, frame, ext);
    writeSegment(state, SEGMENT.CS, segmentOf(code, selector, cpl));
    stack.commit();
  } else {
    const { stack, segment, descriptor } = innerStack(cpu, cpl, ext);
    const old = [BigInt(segmentSelector(state, SEGMENT.SS)), state.gpr(GPR.RSP)];
    push(cpu, stack, gate, code, descriptor, [...old, ...parameters, ...frame], ext);
    writeSegment(state, SEGMENT.CS, segmentOf(code, selector, cpl));
    writeSegment(state, SEGMENT.SS, segment);
    stack.commit();
    state.cpl = cpl;
    cpu.mmu.selectViews();
  }
  state.rip = offset;
}

function push(
  cpu: MicrocodeCpu,
  stack: Stack,
  { width, offset }: Gate,
  code: Descriptor,
  stackSegment: Descriptor | null,
  words: readonly bigint[],
  ext: number,
): void {
  stack.probe(words.length, width);
  requireWithin(cpu.state, code, offset, ext);
  markAccessed(cpu, code);
  if (stackSegment !== null) markAccessed(cpu, stackSegment);
  for (const word of words) stack.push(width, word);
}
