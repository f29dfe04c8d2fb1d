// Delivery of interrupts, NMIs, exceptions and software interrupts (SDM vol. 3, 6.12 to 6.15 and INT n in vol. 2): what becomes an
// event, and what an event becomes whose delivery fails. One attempt is a matter of the mode: delivery64.ts, delivery32.ts,
// deliveryReal.ts. Not when an event is due: that is the run loop's and the hypervisor's affair.
//
// Theory. Delivering an event may raise an exception, which is delivered in its place (serially, as a double fault, or as
// a triple fault that shuts the CPU down), or it may exit, for a stack page that is not there. So each attempt checks
// everything and probes the whole frame before it writes a byte: an attempt that fails leaves RIP, RSP, flags, segments and
// memory as they were, and after an exit the event is told in `vectoringEvent`, from which the hypervisor injects it again.

import { DR6, DR7 } from '../../x86/names/registers.ts';
import { VECTOR } from '../../x86/names/vectors.ts';
import { isLongMode, isRealMode } from '../segments/codeMode.ts';
import { deliverAtHand } from './commonDelivery.ts';
import { deliverProtected } from './delivery32.ts';
import { deliverLong } from './delivery64.ts';
import { deliverReal } from './deliveryReal.ts';
import { escalate, eventClass, exceptionClass } from './doubleFault.ts';
import type { Event } from './event.ts';
import { EXIT } from '../exit.ts';
import { exitSignal, guestFault } from '../fault.ts';
import { EVENT_TYPE, interruption, isSoftware, isValid, typeOf, vectorOf, type EventType } from './interruption.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import type { CpuState } from '../state.ts';
import { vmExit } from '../vmexit.ts';

/** Delivers the exception in `guestFault`, which the instruction at state.rip raised, unless it exits. */
export function deliverFault(cpu: MicrocodeCpu): void {
  const { info, errorCode, length, resume } = takeFault(cpu, 0);
  deliver(cpu, info, errorCode, length, resume);
}

/** Delivers the debug trap that is due at this instruction boundary. */
export function deliverDebugTrap(cpu: MicrocodeCpu): void {
  const { state } = cpu;
  const causes = BigInt(state.pendingDb);
  state.pendingDb = 0;
  const info = interruption(EVENT_TYPE.EXCEPTION, VECTOR.DB);
  exitIfIntercepted(cpu, info, 0, causes, 0);
  recordDebugCauses(state, causes);
  deliver(cpu, info, 0, 0, false);
}

/**
 * Delivers the event that the hypervisor injected in `state.entryEvent`, if there is one; false if there is none. Injection
 * has no side effects on CR2 or DR6 (SDM vol. 3, 26.6), and no exit of its own: only what its delivery raises may exit.
 */
export function deliverEntryEvent(cpu: MicrocodeCpu): boolean {
  const { state } = cpu;
  const info = state.entryEvent | 0;
  if (!isValid(info)) return false;
  state.entryEvent = 0;
  if (!isSoftware(info)) state.pendingDb = 0; // SDM vol. 3, 26.7.3
  const length = isSoftware(info) ? state.entryLength : 0;
  deliver(cpu, info, state.entryErrorCode | 0, length, isFault(info));
  return true;
}

/** Delivers a virtual interrupt, which is in service already, through the IDT. */
export function deliverVirtualInterrupt(cpu: MicrocodeCpu, vector: number): void {
  const info = interruption(EVENT_TYPE.EXTERNAL, vector);
  deliver(cpu, info, 0, 0, false);
}

/** INT n, INT3, INTO and INT1, of `length` bytes at state.rip. INT3, INTO and INT1 may exit as the exceptions they are. */
export function deliverSoftwareEvent(cpu: MicrocodeCpu, type: EventType, vector: number, length: number): void {
  const info = interruption(type, vector);
  // INT1 is a #DB itself, and tells of what MOV SS has held off: there is no second one behind it.
  const held = BigInt(cpu.state.pendingDb) & ~DR6.BS;
  const causes = type === EVENT_TYPE.PRIVILEGED_SOFT_EXCEPTION ? held : 0n;
  if (type !== EVENT_TYPE.SOFT_INTERRUPT) exitIfIntercepted(cpu, info, 0, causes, length);
  if (causes !== 0n) {
    cpu.state.pendingDb &= ~Number(causes);
    recordDebugCauses(cpu.state, causes);
  }
  deliver(cpu, info, 0, length, false);
}

/** Abort and trap classes among the exceptions; all others are faults (SDM vol. 3, table 6-1). #DB is either. */
const NO_FAULTS: ReadonlySet<number> = new Set([VECTOR.DB, VECTOR.BP, VECTOR.OF, VECTOR.DF, VECTOR.MC]);
const isFault = (info: number): boolean => typeOf(info) === EVENT_TYPE.EXCEPTION && !NO_FAULTS.has(vectorOf(info));

/** Signed words will do: larger numbers than 31 bits would be objects. */
function deliver(cpu: MicrocodeCpu, info: number, errorCode: number, length: number, resume: boolean): void {
  if (deliverAtHand(cpu, info, errorCode, length, resume)) return;
  deliverOrdinarily(cpu, { info: info >>> 0, errorCode: errorCode >>> 0, length, resume });
}

function deliverOrdinarily(cpu: MicrocodeCpu, event: Event): void {
  for (let current = event; ; ) {
    try {
      attempt(cpu, current);
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
        const info = interruption(EVENT_TYPE.EXCEPTION, VECTOR.DF, !isRealMode(state));
        exitIfIntercepted(cpu, info, 0, 0n, 0);
        return { info, errorCode: 0, length: 0, resume: false };
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
  // In real mode no exception has an error code (SDM vol. 3, 24.9.2).
  const info = interruption(EVENT_TYPE.EXCEPTION, vector, guestFault.errorCode !== null && !isRealMode(state));
  exitIfIntercepted(cpu, info, errorCode, address, length);
  if (vector === VECTOR.PF) state.cr2 = address;
  if (vector === VECTOR.DB) recordDebugCauses(state, address);
  const resume = vector === VECTOR.DB ? (address & BREAKPOINT_CAUSES) === 0n : isFault(info);
  return { info, errorCode, length: 0, resume };
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

/** One attempt: checks all, probes all, then commits. */
function attempt(cpu: MicrocodeCpu, event: Event): void {
  const { state } = cpu;
  if (isLongMode(state)) deliverLong(cpu, event);
  else if (isRealMode(state)) deliverReal(cpu, event);
  else deliverProtected(cpu, event);
}
