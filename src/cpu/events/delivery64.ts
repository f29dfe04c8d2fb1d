// Delivery through the 64-bit IDT, from 64-bit and compatibility mode (SDM vol. 3, 6.14): always to 64-bit code, with a frame of
// 64-bit words that holds SS:RSP in any case, on an IST stack if the gate names one.

import { PAGE_MASK } from '../../x86/names/paging.ts';
import { GPR, SEGMENT, SYSTEM_TYPE, TSS64 } from '../../x86/names/registers.ts';
import type { AccessKind } from '../memory/access.ts';
import { isCanonicalAddress } from '../canonical.ts';
import { markAccessed, readLongGate, segmentOf, type Gate } from '../segments/descriptors.ts';
import { begin, extOf, handlerFlags, readHandlerCode, readIdtGate, savedFlags } from './event.ts';
import type { Event, GateLayout } from './event.ts';
import { raise } from '../fault.ts';
import { cplBehind } from './gate.ts';
import { hasErrorCode } from './interruption.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import { readRflags, writeRflags } from '../rflags.ts';
import { is64BitCode, nullSegment, segmentSelector, writeSegment } from '../segments/segments.ts';
import { stackFromTss } from './taskState.ts';

const GATES: GateLayout = { bytes: 16, read: (cpu, address) => readLongGate(cpu, BigInt.asUintN(64, address)) };
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

  let at = rsp;
  const push = (value: bigint): void => {
    cpu.mmu.write(at, 8, value, stack);
    at += WORD;
  };
  const rflags = readRflags(state);
  if (words > FRAME_WORDS) push(BigInt(event.errorCode));
  push(event.returnRip);
  push(BigInt(segmentSelector(state, SEGMENT.CS)));
  push(savedFlags(event, rflags));
  push(state.gpr(GPR.RSP));
  push(BigInt(segmentSelector(state, SEGMENT.SS)));

  writeSegment(state, SEGMENT.CS, segmentOf(code, gate.selector, cpl));
  if (inner) writeSegment(state, SEGMENT.SS, nullSegment(cpl, cpl));
  state.setGpr(GPR.RSP, rsp);
  state.rip = gate.offset;
  writeRflags(state, handlerFlags(gate, rflags));
  begin(state, event);
  if (inner) {
    state.cpl = cpl;
    cpu.mmu.selectViews();
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
