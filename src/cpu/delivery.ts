// Delivery of interrupts, NMIs, exceptions and software interrupts through the 64-bit IDT (SDM vol. 3, 6.12 to 6.14 and
// INT n in vol. 2). Not when an event is due: that is the run loop's and the hypervisor's affair.
//
// Theory. Delivering an event may raise an exception, which is delivered in its place (serially, as a double fault, or as
// a triple fault that shuts the CPU down), or it may exit, for a stack page that is not there. So each attempt checks
// everything and probes the whole frame before it writes a byte: an attempt that fails leaves RIP, RSP, flags, segments and
// memory as they were, and after an exit the event is told in `vectoringEvent`, from which the hypervisor injects it again.

import { CR0, DR6, DR7, EFER, ERROR_CODE, RFLAGS, SEGMENT, SYSTEM_TYPE, TSS64 } from '../x86/names/registers.ts';
import { PAGE_MASK } from '../x86/names/paging.ts';
import { ACTIVITY, GPR, SELECTOR } from '../x86/names/registers.ts';
import { VECTOR } from '../x86/names/vectors.ts';
import type { AccessKind } from './access.ts';
import { isCanonicalAddress } from './canonical.ts';
import { gateDpl, isNull, markAccessed, readDescriptor, readGate, segmentOf, selectorError } from './descriptors.ts';
import type { Descriptor, Gate } from './descriptors.ts';
import { escalate, eventClass, exceptionClass } from './doubleFault.ts';
import { EXIT } from './exit.ts';
import { exitSignal, guestFault, raise, stop } from './fault.ts';
import { EVENT_TYPE, hasErrorCode, interruption, isSoftware, isValid, typeOf, vectorOf } from './interruption.ts';
import type { EventType } from './interruption.ts';
import type { MicrocodeCpu } from './microcode/microcode.ts';
import { readRflags, writeRflags } from './rflags.ts';
import { dplOf, is64BitCode, isCode, isConforming, isPresent, nullSegment, systemType } from './segments.ts';
import { segmentBase, segmentLimit, segmentSelector, writeSegment } from './segments.ts';
import type { CpuState } from './state.ts';
import { vmExit } from './vmexit.ts';

/** An event being delivered. */
interface Event {
  readonly info: number;
  readonly errorCode: number;
  /** The RIP that the frame saves. */
  readonly returnRip: bigint;
  /** Bytes of the instruction that causes it (software events), else 0. */
  readonly length: number;
  /**
   * RF is set in the saved flags: the event is a fault, and its instruction will run again. Of an instruction breakpoint it is
   * for the handler to set it (SDM vol. 3, 17.3.1.1).
   */
  readonly resume: boolean;
}

/** Delivers the exception in `guestFault`, which the instruction at state.rip raised, unless it exits. */
export function deliverFault(cpu: MicrocodeCpu): void {
  deliver(cpu, takeFault(cpu, 0));
}

/** Delivers the debug trap that is due at this instruction boundary. */
export function deliverDebugTrap(cpu: MicrocodeCpu): void {
  const { state } = cpu;
  const causes = BigInt(state.pendingDb);
  state.pendingDb = 0;
  const info = interruption(EVENT_TYPE.EXCEPTION, VECTOR.DB);
  exitIfIntercepted(cpu, info, 0, causes, 0);
  recordDebugCauses(state, causes);
  deliver(cpu, { info, errorCode: 0, returnRip: state.rip, length: 0, resume: false });
}

/**
 * Delivers the event that the hypervisor injected in `state.entryEvent`, if there is one; false if there is none. Injection
 * has no side effects on CR2 or DR6 (SDM vol. 3, 26.6), and no exit of its own: only what its delivery raises may exit.
 */
export function deliverEntryEvent(cpu: MicrocodeCpu): boolean {
  const { state } = cpu;
  const info = state.entryEvent;
  if (!isValid(info)) return false;
  state.entryEvent = 0;
  if (!isSoftware(info)) state.pendingDb = 0; // SDM vol. 3, 26.7.3
  const length = isSoftware(info) ? state.entryLength : 0;
  const returnRip = BigInt.asUintN(64, state.rip + BigInt(length));
  deliver(cpu, { info, errorCode: state.entryErrorCode, returnRip, length, resume: isFault(info) });
  return true;
}

/** Delivers a virtual interrupt, which is in service already, through the IDT. */
export function deliverVirtualInterrupt(cpu: MicrocodeCpu, vector: number): void {
  const info = interruption(EVENT_TYPE.EXTERNAL, vector);
  deliver(cpu, { info, errorCode: 0, returnRip: cpu.state.rip, length: 0, resume: false });
}

/** INT n, INT3, INTO and INT1, of `length` bytes at state.rip. INT3, INTO and INT1 may exit as the exceptions they are. */
export function deliverSoftwareEvent(cpu: MicrocodeCpu, type: EventType, vector: number, length: number): void {
  const info = interruption(type, vector);
  if (type !== EVENT_TYPE.SOFT_INTERRUPT) exitIfIntercepted(cpu, info, 0, 0n, length);
  const returnRip = BigInt.asUintN(64, cpu.state.rip + BigInt(length));
  deliver(cpu, { info, errorCode: 0, returnRip, length, resume: false });
}

/** Abort and trap classes among the exceptions; all others are faults (SDM vol. 3, table 6-1). #DB is either. */
const NO_FAULTS: ReadonlySet<number> = new Set([VECTOR.DB, VECTOR.BP, VECTOR.OF, VECTOR.DF, VECTOR.MC]);
const isFault = (info: number): boolean => typeOf(info) === EVENT_TYPE.EXCEPTION && !NO_FAULTS.has(vectorOf(info));

function deliver(cpu: MicrocodeCpu, event: Event): void {
  for (let current = event; ; ) {
    try {
      throughIdt(cpu, current);
      return;
    } catch (thrown) {
      if (thrown === exitSignal) recordVectoring(cpu.state, current);
      if (thrown !== guestFault) throw thrown;
    }
    current = secondEvent(cpu, current, event);
  }
}

/** What is delivered instead of `first`, after its delivery raised `guestFault`. `cause` is the event that it all began with. */
function secondEvent(cpu: MicrocodeCpu, first: Event, cause: Event): Event {
  const { state } = cpu;
  // An NMI that was begun blocks further ones, even if another handler runs before its own (SDM vol. 3, 6.7.1).
  if (typeOf(first.info) === EVENT_TYPE.NMI) state.nmiBlocked = 1;
  try {
    const second = takeFault(cpu, first.length);
    switch (escalate(eventClass(first.info), exceptionClass(vectorOf(second.info)))) {
      case 'serial':
        return second;
      case 'double': {
        const info = interruption(EVENT_TYPE.EXCEPTION, VECTOR.DF, true);
        exitIfIntercepted(cpu, info, 0, 0n, 0);
        return { info, errorCode: 0, returnRip: state.rip, length: 0, resume: false };
      }
      case 'triple':
        return shutDown(state, cause, second);
    }
  } catch (thrown) {
    if (thrown === exitSignal) recordVectoring(state, first);
    throw thrown;
  }
}

/** A triple fault tells how it came about, which VMX's does not. */
function shutDown(state: CpuState, first: Event, last: Event): never {
  const qualification = (BigInt(last.errorCode) << 32n) | BigInt(last.info);
  return vmExit(state, EXIT.TRIPLE_FAULT, 0, qualification, BigInt(first.errorCode), first.info);
}

/** Turns `guestFault` into an event, with the side effects that it has before delivery; exits if it is intercepted. */
function takeFault(cpu: MicrocodeCpu, length: number): Event {
  const { state } = cpu;
  const { vector, address } = guestFault;
  const errorCode = guestFault.errorCode ?? 0;
  const info = interruption(EVENT_TYPE.EXCEPTION, vector, guestFault.errorCode !== null);
  exitIfIntercepted(cpu, info, errorCode, address, length);
  if (vector === VECTOR.PF) state.cr2 = address;
  if (vector === VECTOR.DB) recordDebugCauses(state, address);
  const resume = vector === VECTOR.DB ? (address & BREAKPOINT_CAUSES) === 0n : isFault(info);
  return { info, errorCode, returnRip: state.rip, length: 0, resume };
}

/** Leaves with EXCEPTION_NMI if the exception bitmap says so: before CR2 or DR6 change (SDM vol. 3, 27.1). */
function exitIfIntercepted(cpu: MicrocodeCpu, info: number, errorCode: number, detail: bigint, length: number): void {
  if (((cpu.controls.exceptionBitmap >>> vectorOf(info)) & 1) === 0) return;
  vmExit(cpu.state, EXIT.EXCEPTION_NMI, length, detail, BigInt(errorCode), info);
}

function recordVectoring(state: CpuState, event: Event): void {
  state.vectoringEvent = event.info;
  state.vectoringErrorCode = event.errorCode;
  state.exitLength = event.length;
}

const BREAKPOINT_CAUSES = DR6.B0 | DR6.B1 | DR6.B2 | DR6.B3;

/** DR6 tells the causes of a #DB; breakpoint bits of earlier ones are cleared, the others stay (SDM vol. 3, 17.2.3). */
function recordDebugCauses(state: CpuState, causes: bigint): void {
  const dr = state.views.u64;
  const dr6 = state.at('dr', 6) >> 3;
  const dr7 = state.at('dr', 7) >> 3;
  dr[dr6] = (dr[dr6]! & ~BREAKPOINT_CAUSES) | DR6.FIXED | causes;
  dr[dr7]! &= ~DR7.GD;
}

const SINGLE_STEP = Number(DR6.BS);
const GATE_BYTES = 16;
const STACK_ALIGNMENT = 15n;
const WORD = 8n;
const FRAME_WORDS = 5;

/** One attempt: checks all, probes all, then commits. Faults carry EXT unless a program asked for the interrupt itself. */
function throughIdt(cpu: MicrocodeCpu, event: Event): void {
  const { state } = cpu;
  requireLongMode(state);
  const type = typeOf(event.info);
  const vector = vectorOf(event.info);
  // INT1 counts as external, INT n, INT3 and INTO do not.
  const requested = type === EVENT_TYPE.SOFT_INTERRUPT || type === EVENT_TYPE.SOFT_EXCEPTION;
  const ext = requested ? 0 : ERROR_CODE.EXT;

  const gate = checkGate(cpu, vector, requested, ext);
  const code = checkTarget(cpu, gate, ext);
  const cpl = isConforming(code.attributes) ? state.cpl : dplOf(code.attributes);
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
  push(BigInt((event.resume ? rflags | RFLAGS.RF : rflags) >>> 0));
  push(state.gpr(GPR.RSP));
  push(BigInt(segmentSelector(state, SEGMENT.SS)));

  writeSegment(state, SEGMENT.CS, segmentOf(code, gate.selector, cpl));
  if (inner) writeSegment(state, SEGMENT.SS, nullSegment(cpl, cpl));
  state.setGpr(GPR.RSP, rsp);
  state.rip = gate.offset;
  const cleared = RFLAGS.TF | RFLAGS.NT | RFLAGS.VM | RFLAGS.RF;
  const isInterruptGate = systemType(gate.attributes) === SYSTEM_TYPE.INTERRUPT_GATE;
  writeRflags(state, rflags & ~(isInterruptGate ? cleared | RFLAGS.IF : cleared));
  state.shadow = 0;
  state.pendingDb &= ~SINGLE_STEP; // what MOV SS has held off comes at the handler's first instruction
  state.activity = ACTIVITY.ACTIVE;
  if (type === EVENT_TYPE.NMI) state.nmiBlocked = 1;
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

function requireLongMode(state: CpuState): void {
  if ((state.cr0 & CR0.PE) === 0n) {
    stop('event delivery in real mode is not implemented', 'enter the guest in 64-bit mode');
  }
  if ((state.efer & EFER.LMA) === 0n) {
    stop('event delivery in protected mode is not implemented', 'enter the guest in 64-bit mode');
  }
}

/** The gate of a vector, checked in the manual's order. */
function checkGate(cpu: MicrocodeCpu, vector: number, requested: boolean, ext: number): Gate {
  const { state } = cpu;
  const error = (vector << 3) | ERROR_CODE.IDT | ext;
  const offset = vector * GATE_BYTES;
  if (offset + GATE_BYTES - 1 > state.idtrLimit) raise.gp(error);
  const gate = readGate(cpu, BigInt.asUintN(64, state.idtrBase + BigInt(offset)));
  const type = systemType(gate.attributes);
  if (type !== SYSTEM_TYPE.INTERRUPT_GATE && type !== SYSTEM_TYPE.TRAP_GATE) raise.gp(error);
  if (requested && gateDpl(gate) < state.cpl) raise.gp(error);
  if (!isPresent(gate.attributes)) raise.np(error);
  return gate;
}

/** The code segment of a gate: 64-bit, and no less privileged than the CPL. */
function checkTarget(cpu: MicrocodeCpu, { selector }: Gate, ext: number): Descriptor {
  if (isNull(selector)) raise.gp(ext);
  const error = selectorError(selector) | ext;
  const code = readDescriptor(cpu, selector) ?? raise.gp(error);
  if (!isCode(code.attributes) || dplOf(code.attributes) > cpu.state.cpl) raise.gp(error);
  if (!is64BitCode(code.attributes)) raise.gp(error);
  if (!isPresent(code.attributes)) raise.np(error);
  return code;
}

/** Where the frame is pushed: an IST stack, the stack of the new privilege level, or the current one; aligned to 16 bytes. */
function stackTop(cpu: MicrocodeCpu, gate: Gate, cpl: number, inner: boolean, ext: number): bigint {
  const { state } = cpu;
  if (gate.ist === 0 && !inner) return state.gpr(GPR.RSP) & ~STACK_ALIGNMENT;
  const field = gate.ist === 0 ? TSS64.RSP0 + 8 * cpl : TSS64.IST1 + 8 * (gate.ist - 1);
  return stackFromTss(cpu, field, ext) & ~STACK_ALIGNMENT;
}

/** A stack pointer from the TSS; #TS if the TSS is too short. */
export function stackFromTss({ state, mmu }: MicrocodeCpu, field: number, ext: number): bigint {
  const selector = segmentSelector(state, SEGMENT.TR);
  if (field + 7 > segmentLimit(state, SEGMENT.TR)) raise.ts((selector & ~SELECTOR.RPL) | ext);
  return mmu.read(BigInt.asUintN(64, segmentBase(state, SEGMENT.TR) + BigInt(field)), 8, 'system');
}
