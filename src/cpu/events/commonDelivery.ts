// Delivery as most events have it: from 64-bit code in ring 0 to 64-bit code in ring 0, on the stack in use, with tables and stack
// where the views reach them. All else is delivery64.ts's, which makes every check in the manual's order.
//
// Theory. Whatever is unusual is found before anything is written, and then nothing was done. What the views reach raises
// nothing, so the order of these checks cannot be seen.

import { GPR, SEGMENT, SEGMENT_ATTRIBUTE, SEGMENT_TYPE, SELECTOR, SYSTEM_TYPE } from '../../x86/names/registers.ts';
import { isCanonical } from '../memory/access.ts';
import { is64BitMode } from '../segments/codeMode.ts';
import { attributesIn, baseIn, isNull, limitIn } from '../segments/descriptors.ts';
import { begin, handlerFlags, savedFlags, type Event } from './event.ts';
import { hasErrorCode, vectorOf } from './interruption.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { readRflags, writeRflags } from '../rflags.ts';
import { dplOf, is64BitCode, isPresent, segmentSelector, writeSegmentWords } from '../segments/segments.ts';
import { OFFSET } from '../state.ts';

const GATE_SIZE = 16;
const DESCRIPTOR_SIZE = 8;
const WORD = 8;
const FRAME_WORDS = 5;
const STACK_ALIGNMENT = 15;
const IST = 7;
/** Present, and a gate of interrupts or traps, which are neighbours. */
const GATE = SEGMENT_ATTRIBUTE.P | SYSTEM_TYPE.INTERRUPT_GATE;
const IN_GATE = SEGMENT_ATTRIBUTE.P | SEGMENT_ATTRIBUTE.S | (SEGMENT_ATTRIBUTE.TYPE & ~1);

/** Delivers an event, or answers false with nothing done. */
export function deliverAtHand(cpu: MicrocodeCpu, event: Event): boolean {
  const { state, mmu } = cpu;
  if (state.cpl !== 0 || !is64BitMode(state)) return false;
  const { data, u32 } = state.views;

  const gate = entryAtHand(cpu, OFFSET.idtrBase, state.idtrLimit, GATE_SIZE * vectorOf(event.info), GATE_SIZE);
  if (gate === 0) return false;
  const first = data.getUint32(gate, true);
  const second = data.getUint32(gate + 4, true);
  const offsetHigh = data.getUint32(gate + 8, true);
  const gateAttributes = (second >>> 8) & 0xff;
  if ((gateAttributes & IN_GATE) !== GATE || (second & IST) !== 0 || !isCanonical(offsetHigh | 0)) return false;

  const selector = first >>> 16;
  if (isNull(selector) || (selector & SELECTOR.TI) !== 0) return false;
  const entry = entryAtHand(cpu, OFFSET.gdtrBase, state.gdtrLimit, selector & SELECTOR.INDEX, DESCRIPTOR_SIZE);
  if (entry === 0) return false;
  const low = data.getUint32(entry, true);
  const high = data.getUint32(entry + 4, true);
  const attributes = attributesIn(high);
  if (!is64BitCode(attributes) || dplOf(attributes) !== 0 || !isPresent(attributes)) return false;
  if ((attributes & SEGMENT_TYPE.ACCESSED) === 0) return false;

  const words = hasErrorCode(event.info) ? FRAME_WORDS + 1 : FRAME_WORDS;
  const oldLow = state.gpr32(GPR.RSP);
  const oldHigh = state.gprHigh(GPR.RSP);
  const rsp = ((oldLow & ~STACK_ALIGNMENT) >>> 0) - WORD * words;
  if (rsp < 0) return false;
  const frame = mmu.atHand(rsp, oldHigh, WORD * words, 'write', 'stack');
  if (frame === 0) return false;

  const rflags = readRflags(state);
  const returnLow = state.low(OFFSET.rip) + event.length;
  const returnHigh = state.low(OFFSET.rip + 4) + (returnLow > 0xffff_ffff ? 1 : 0);
  const at = (frame >>> 2) + 2 * (words - FRAME_WORDS);
  if (words > FRAME_WORDS) {
    u32[at - 2] = event.errorCode;
    u32[at - 1] = 0;
  }
  u32[at] = returnLow;
  u32[at + 1] = returnHigh;
  u32[at + 2] = segmentSelector(state, SEGMENT.CS);
  u32[at + 3] = 0;
  u32[at + 4] = savedFlags(event, rflags);
  u32[at + 5] = 0;
  u32[at + 6] = oldLow;
  u32[at + 7] = oldHigh;
  u32[at + 8] = segmentSelector(state, SEGMENT.SS);
  u32[at + 9] = 0;

  writeSegmentWords(state, SEGMENT.CS, selector & ~SELECTOR.RPL, baseIn(low, high), limitIn(low, high), attributes);
  state.setGprWords(GPR.RSP, rsp, oldHigh);
  state.setWords(OFFSET.rip, (first & 0xffff) | (second & 0xffff_0000), offsetHigh);
  writeRflags(state, handlerFlags(gateAttributes, rflags));
  begin(state, event);
  return true;
}

/** Byte address in linear memory of an entry of a descriptor table; 0: it is beyond the limit, or not at hand. */
function entryAtHand(
  { state, mmu }: MicrocodeCpu,
  table: number,
  limit: number,
  offset: number,
  bytes: number,
): number {
  const low = state.low(table) + offset;
  if (offset + bytes - 1 > limit || low > 0xffff_ffff) return 0;
  return mmu.atHand(low, state.low(table + 4), bytes, 'read', 'system');
}
