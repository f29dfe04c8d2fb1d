// Delivery through the 64-bit IDT, from 64-bit and compatibility mode (SDM vol. 3, 6.14): always to 64-bit code, with a frame of
// 64-bit words that holds SS:RSP in any case, on an IST stack if the gate names one.

import { PAGE_MASK } from '../../x86/names/paging.ts';
import { GPR, SEGMENT, SYSTEM_TYPE, TSS64 } from '../../x86/names/registers.ts';
import type { AccessKind } from '../memory/access.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { decodeLongGate, markAccessed, segmentOf, type Gate } from '../segments/descriptors.ts';
import { begin, extOf, handlerFlags, readHandlerCode, readIdtGate, returnRip, savedFlags } from './event.ts';
import type { Event, GateLayout } from './event.ts';
import { raise } from '../fault.ts';
import { cplBehind } from './gate.ts';
import { hasErrorCode } from './interruption.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { readRflags, writeRflags } from '../rflags.ts';
import { is64BitCode, nullSegment, segmentSelector, writeSegment } from '../segments/segments.ts';
import { highWord, lowWord } from '../words.ts';
import { stackFromTss } from './taskState.ts';

const GATES: GateLayout = { words: 2, decode: decodeLongGate };
const STACK_ALIGNMENT = 15n;
const WORD = 8n;
const FRAME_WORDS = 5;
const TYPES = (1 << SYSTEM_TYPE.INTERRUPT_GATE) | (1 << SYSTEM_TYPE.TRAP_GATE);

export function deliverLong(cpu: MicrocodeCpu, event: Event): void {
  const { state } = cpu;
  const ext = extOf(event);
  const gate = readIdtGate(cpu, event, GATES, TYPES);
  const code = readHandlerCode(cpu, gate, is64BitCode, ext);
  const cpl = cplBehind(state.cpl, code);
  const inner = cpl < state.cpl;
  const top = stackTop(cpu, gate, cpl, inner, ext);
  const words = hasErrorCode(event.info) ? FRAME_WORDS + 1 : FRAME_WORDS;
  const rsp = BigInt.asUintN(64, top - WORD * BigInt(words));
  if (!isCanonicalAddress(rsp) || !isCanonicalAddress(BigInt.asUintN(64, top - 1n))) raise.ss(ext);
  if (!isCanonicalAddress(gate.offset)) raise.gp(ext);

  const stack = inner ? 'system' : 'stack';
  probeFrame(cpu, top, rsp, stack);
  markAccessed(cpu, code);

  const rflags = readRflags(state);
  frame[0] = event.errorCode;
  whole[1] = returnRip(state, event);
  frame[4] = segmentSelector(state, SEGMENT.CS);
  frame[6] = savedFlags(event.resume, rflags);
  frame[8] = state.gpr32(GPR.RSP);
  frame[9] = state.gprHigh(GPR.RSP);
  frame[10] = segmentSelector(state, SEGMENT.SS);
  writeFrame(cpu, rsp, words, stack);

  writeSegment(state, SEGMENT.CS, segmentOf(code, gate.selector, cpl));
  if (inner) writeSegment(state, SEGMENT.SS, nullSegment(cpl, cpl));
  state.setGpr(GPR.RSP, rsp);
  state.rip = gate.offset;
  writeRflags(state, handlerFlags(gate.attributes, rflags));
  begin(state, event.info);
  if (inner) {
    state.cpl = cpl;
    cpu.mmu.selectViews();
  }
}

/** The words of a frame, from the error code on, in halves; what is always 0 stays so. */
const whole = new BigUint64Array(FRAME_WORDS + 1);
const frame = new Uint32Array(whole.buffer);

/** Writes the last `words` words of the frame, which was probed, upwards from `rsp`. */
function writeFrame({ mmu }: MicrocodeCpu, rsp: bigint, words: number, stack: AccessKind): void {
  const low = lowWord(rsp);
  const high = highWord(rsp);
  for (let word = 0; word < words; word++) {
    const from = 2 * (FRAME_WORDS + 1 - words + word);
    const at = low + 8 * word;
    const carry = at > 0xffff_ffff ? 1 : 0;
    mmu.writeWords(at >>> 0, (high + carry) >>> 0, 8, frame[from]!, frame[from + 1]!, stack);
  }
}

/** Probes the words from `top` down to `rsp` in the order in which they are pushed, so that CR2 tells the first that is missing. */
function probeFrame({ mmu }: MicrocodeCpu, top: bigint, rsp: bigint, stack: AccessKind): void {
  const first = BigInt.asUintN(64, top - WORD);
  mmu.probe(first, Number(WORD), 'write', stack);
  const page = first & ~BigInt(PAGE_MASK);
  if (rsp < page) mmu.probe(page - WORD, Number(WORD), 'write', stack);
}

/** Where the frame is pushed: an IST stack, the stack of the new privilege level, or the current one; aligned to 16 bytes. */
function stackTop(cpu: MicrocodeCpu, gate: Gate, cpl: number, inner: boolean, ext: number): bigint {
  const { state } = cpu;
  if (gate.ist === 0 && !inner) return state.gpr(GPR.RSP) & ~STACK_ALIGNMENT;
  const field = gate.ist === 0 ? TSS64.RSP0 + 8 * cpl : TSS64.IST1 + 8 * (gate.ist - 1);
  return stackFromTss(cpu, field, ext) & ~STACK_ALIGNMENT;
}
