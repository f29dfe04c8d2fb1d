// Delivery in real mode, through the interrupt vector table (SDM vol. 3, 20.1.4): the IDTR says where it is, as on the 80286.

import { RFLAGS, SEGMENT } from '../../x86/names/registers.ts';
import { begin, returnRip, savedFlags, type Event } from './event.ts';
import { raise } from '../fault.ts';
import { vectorOf } from './interruption.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { readRflags, writeRflags } from '../rflags.ts';
import { readSegment, realModeSegment, segmentSelector, writeSegment } from '../segments/segments.ts';
import { Stack } from '../segments/stack.ts';

/** IP, and CS behind it. */
const ENTRY_BYTES = 4;
const WORD = 2;
const CLEARED = RFLAGS.IF | RFLAGS.TF | RFLAGS.AC | RFLAGS.RF;

/** Error codes are not pushed. */
export function deliverReal(cpu: MicrocodeCpu, event: Event): void {
  const { state, mmu } = cpu;
  const entry = vectorOf(event.info) * ENTRY_BYTES;
  if (entry + ENTRY_BYTES - 1 > state.idtrLimit) raise.gp(0);
  const pointer = Number(mmu.read(BigInt.asUintN(32, state.idtrBase + BigInt(entry)), ENTRY_BYTES, 'system'));
  const rflags = readRflags(state);
  const stack = Stack.current(cpu);
  stack.probe(3, WORD);
  stack.push(WORD, BigInt(savedFlags(event.resume, rflags)));
  stack.push(WORD, BigInt(segmentSelector(state, SEGMENT.CS)));
  stack.push(WORD, returnRip(state, event));
  writeSegment(state, SEGMENT.CS, realModeSegment(readSegment(state, SEGMENT.CS), pointer >>> 16));
  stack.commit();
  state.rip = BigInt(pointer & 0xffff);
  writeRflags(state, rflags & ~CLEARED);
  begin(state, event.info);
  mmu.selectViews(); // AC
}
