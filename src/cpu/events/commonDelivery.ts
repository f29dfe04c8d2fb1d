// Delivery as most events have it: from 64-bit code in ring 0 to 64-bit code in ring 0, on the stack in use, with tables and stack
// where the views reach them. All else is delivery64.ts's, which makes every check in the manual's order.
//
// Theory. Whatever is unusual is found before anything is written, and then nothing was done. What the views reach raises
// nothing, so the order of these checks cannot be seen.

import { GPR, SEGMENT, SEGMENT_ATTRIBUTE, SEGMENT_TYPE, SELECTOR, SYSTEM_TYPE } from '../../x86/names/registers.ts';
import { ACCESS, isCanonical } from '../memory/access.ts';
import { is64BitMode } from '../segments/codeMode.ts';
import { isNull, writeDescribed } from '../segments/descriptors.ts';
import { begin, handlerFlags, savedFlags } from './event.ts';
import { hasErrorCode, vectorOf } from './interruption.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { readRflags, writeRflags } from '../rflags.ts';
import { OFFSET, SEGMENT_SIZE } from '../state.ts';

const GATE_SIZE = 16;
const DESCRIPTOR_SIZE = 8;
const WORD = 8;
const FRAME_WORDS = 5;
const STACK_ALIGNMENT = 15;

const { P, S, L, DB, DPL, TYPE } = SEGMENT_ATTRIBUTE;
const { ACCESSED, CODE } = SEGMENT_TYPE;
/** In the second word of a gate: no IST, present, and of interrupts or traps, which are neighbours. */
const GATE_MASK = 7 | ((P | S | (TYPE & ~1)) << 8);
const GATE = (P | SYSTEM_TYPE.INTERRUPT_GATE) << 8;
/** In that of a descriptor: 64-bit code of ring 0, conforming or not, present and accessed. */
const CODE_MASK = (ACCESSED | CODE | S | DPL | P | L | DB) << 8;
const CODE64 = (ACCESSED | CODE | S | P | L) << 8;

const WORD_INDEX = { gpr: OFFSET.gpr >> 2, rip: OFFSET.rip >> 2, segments: OFFSET.segments >> 2 };
const RSP = WORD_INDEX.gpr + 2 * GPR.RSP;
/** Of the word of a segment register that holds attributes and selector. */
const selectorIn = (segment: number): number => WORD_INDEX.segments + (SEGMENT_SIZE >> 2) * segment + 3;
const CS = selectorIn(SEGMENT.CS);
const SS = selectorIn(SEGMENT.SS);
const IDTR = { base: OFFSET.idtrBase >> 2, limit: OFFSET.idtrLimit >> 2 };
const GDTR = { base: OFFSET.gdtrBase >> 2, limit: OFFSET.gdtrLimit >> 2 };

/** Delivers an event (event.ts), or answers false with nothing done. All numbers have 32 bits, signed or not. */
export function deliverAtHand(
  cpu: MicrocodeCpu,
  info: number,
  errorCode: number,
  length: number,
  resume: boolean,
): boolean {
  const { state, mmu } = cpu;
  if (state.cpl !== 0 || !is64BitMode(state)) return false;
  const { signedWords: words, word } = state;

  const gate = entryAtHand(cpu, IDTR, GATE_SIZE * vectorOf(info), GATE_SIZE);
  if (gate === 0) return false;
  const first = words[gate]!;
  const second = words[gate + 1]!;
  const offsetHigh = words[gate + 2]!;
  if ((second & GATE_MASK) !== GATE || !isCanonical(offsetHigh)) return false;

  const selector = first >>> 16;
  if (isNull(selector) || (selector & SELECTOR.TI) !== 0) return false;
  const code = entryAtHand(cpu, GDTR, selector & SELECTOR.INDEX, DESCRIPTOR_SIZE);
  if (code === 0) return false;
  const low = words[code]!;
  const high = words[code + 1]!;
  if ((high & CODE_MASK) !== CODE64) return false;

  const withCode = hasErrorCode(info);
  const oldLow = words[word + RSP]!;
  const oldHigh = words[word + RSP + 1]!;
  const top = oldLow & ~STACK_ALIGNMENT;
  const size = WORD * (withCode ? FRAME_WORDS + 1 : FRAME_WORDS);
  if (top >>> 0 < size) return false;
  let at = mmu.atHand(top - size, oldHigh, size | ACCESS.STACK | ACCESS.WRITE);
  if (at === 0) return false;

  const rflags = readRflags(state);
  const rip = words[word + WORD_INDEX.rip]!;
  const returnLow = (rip + length) | 0;
  if (withCode) {
    words[at++] = errorCode;
    words[at++] = 0;
  }
  words[at] = returnLow;
  words[at + 1] = words[word + WORD_INDEX.rip + 1]! + (returnLow >>> 0 < rip >>> 0 ? 1 : 0);
  words[at + 2] = words[word + CS]! >>> 16;
  words[at + 3] = 0;
  words[at + 4] = savedFlags(resume, rflags);
  words[at + 5] = 0;
  words[at + 6] = oldLow;
  words[at + 7] = oldHigh;
  words[at + 8] = words[word + SS]! >>> 16;
  words[at + 9] = 0;

  writeDescribed(state, SEGMENT.CS, selector & ~SELECTOR.RPL, low, high);
  words[word + RSP] = top - size;
  words[word + WORD_INDEX.rip] = (first & 0xffff) | (second & 0xffff_0000);
  words[word + WORD_INDEX.rip + 1] = offsetHigh;
  writeRflags(state, handlerFlags((second >>> 8) & 0xff, rflags));
  begin(state, info);
  return true;
}

/** Index among 32-bit words of linear memory of an entry of a descriptor table; 0: beyond the limit, or not at hand. */
function entryAtHand({ state, mmu }: MicrocodeCpu, table: typeof IDTR, offset: number, bytes: number): number {
  const { signedWords: words, word } = state;
  const base = words[word + table.base]!;
  const low = (base + offset) | 0;
  if (words[word + table.limit]! >>> 0 < offset + bytes - 1 || low >>> 0 < base >>> 0) return 0;
  return mmu.atHand(low, words[word + table.base + 1]!, bytes | ACCESS.SYSTEM);
}
