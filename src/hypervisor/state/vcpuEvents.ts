// KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS: exceptions, interrupts and NMIs on their way into the guest (struct
// kvm_vcpu_events, with KVM_CAP_EXCEPTION_PAYLOAD: pending and injected exceptions are told apart).
//
// Theory: an event that is injected was on its way when the vCPU left, and is injected again, before anything else; one that
// is pending has not been looked at yet. A debug trap that is due is told as a pending #DB whose payload is its causes.

import { DR6, SHADOW } from '../../x86/names/registers.ts';
import { VECTOR } from '../../x86/names/vectors.ts';
import { processNmi } from '../inject.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vcpu } from '../vcpu.ts';
import { requireBits, requireU64, vcpuIoctl, type Refuse } from './ioctl.ts';

export interface VcpuEvents {
  readonly exception: {
    readonly injected: boolean;
    readonly nr: number;
    readonly hasErrorCode: boolean;
    readonly pending: boolean;
    readonly errorCode: number;
  };
  readonly interrupt: {
    readonly injected: boolean;
    readonly nr: number;
    readonly soft: boolean;
    /** KVM_X86_SHADOW_INT_MOV_SS (1) and KVM_X86_SHADOW_INT_STI (2). */
    readonly shadow: number;
  };
  readonly nmi: { readonly injected: boolean; readonly pending: number; readonly masked: boolean };
  /** Never valid when read: 0. Null: the vCPU's stays (KVM_VCPUEVENT_VALID_SIPI_VECTOR is clear). */
  readonly sipiVector: number | null;
  readonly smi: { readonly smm: boolean; readonly pending: boolean; readonly latchedInit: boolean };
  readonly exceptionHasPayload: boolean;
  readonly exceptionPayload: bigint;
}

const SHADOW_INT = { MOV_SS: 1, STI: 2 } as const;
const LAST_EXCEPTION = 31;

/** A copy of what is on its way. Read it last: other groups may move an event. */
export function getVcpuEvents(vcpu: Vcpu): VcpuEvents {
  return vcpuIoctl(vcpu, 'GET_VCPU_EVENTS', () => {
    if (vcpu.requests.check(KVM_REQ.NMI)) processNmi(vcpu);
    const { events, guest, lapic, requests } = vcpu;
    const { exception, interrupt, nmi } = events;
    const { shadow, nmiBlocked, pendingDb } = guest.state;
    const trap = pendingDb !== 0 && !exception.pending && !exception.injected;
    return {
      exception: {
        injected: exception.injected,
        nr: trap ? VECTOR.DB : exception.vector,
        hasErrorCode: !trap && exception.errorCode !== null,
        pending: exception.pending || trap,
        errorCode: trap ? 0 : (exception.errorCode ?? 0),
      },
      interrupt: {
        injected: interrupt.injected && !interrupt.soft,
        nr: interrupt.vector,
        soft: false,
        shadow:
          ((shadow & SHADOW.MOV_SS) !== 0 ? SHADOW_INT.MOV_SS : 0) | ((shadow & SHADOW.STI) !== 0 ? SHADOW_INT.STI : 0),
      },
      nmi: { injected: nmi.injected, pending: nmi.pending, masked: nmiBlocked !== 0 },
      sipiVector: null,
      smi: { smm: false, pending: requests.test(KVM_REQ.SMI), latchedInit: lapic.events.initPending },
      exceptionHasPayload: trap,
      exceptionPayload: trap ? BigInt(pendingDb) : 0n,
    };
  });
}

/** Throws VcpuStateError. */
export function setVcpuEvents(vcpu: Vcpu, saved: VcpuEvents): void {
  vcpuIoctl(vcpu, 'SET_VCPU_EVENTS', (refuse) => {
    check(saved, refuse);
    const { events, guest, lapic, requests } = vcpu;
    const { exception, interrupt, nmi } = saved;
    const trap = isTrap(saved);
    guest.state.pendingDb = trap ? Number(saved.exceptionPayload) : 0;
    events.exception.injected = exception.injected;
    events.exception.pending = exception.pending && !trap;
    events.exception.vector = exception.nr;
    events.exception.errorCode = exception.hasErrorCode ? exception.errorCode : null;
    events.interrupt.injected = interrupt.injected;
    events.interrupt.soft = interrupt.soft;
    events.interrupt.vector = interrupt.nr;
    guest.state.shadow =
      ((interrupt.shadow & SHADOW_INT.MOV_SS) !== 0 ? SHADOW.MOV_SS : 0) |
      ((interrupt.shadow & SHADOW_INT.STI) !== 0 ? SHADOW.STI : 0);
    events.nmi.injected = nmi.injected;
    events.nmi.queued = 0;
    events.nmi.pending = nmi.pending;
    guest.state.nmiBlocked = nmi.masked ? 1 : 0;
    if (saved.sipiVector !== null) lapic.events.sipiVector = saved.sipiVector;
    lapic.events.restoreInit(saved.smi.latchedInit);
    requests.make(KVM_REQ.EVENT);
  });
}

const TRAP_CAUSES = DR6.B0 | DR6.B1 | DR6.B2 | DR6.B3 | DR6.BS;

/** A debug trap of the processor rather than an exception that the hypervisor queued. */
const isTrap = ({ exception, exceptionHasPayload, exceptionPayload }: VcpuEvents): boolean =>
  exception.pending &&
  exception.nr === VECTOR.DB &&
  exceptionHasPayload &&
  exceptionPayload !== 0n &&
  (exceptionPayload & ~TRAP_CAUSES) === 0n;

function check(saved: VcpuEvents, refuse: Refuse): void {
  const { exception, interrupt, nmi, sipiVector, smi, exceptionPayload } = saved;
  requireBits(8, { 'exception.nr': exception.nr, 'interrupt.nr': interrupt.nr }, refuse);
  requireBits(32, { 'exception.errorCode': exception.errorCode }, refuse);
  requireBits(2, { 'interrupt.shadow': interrupt.shadow, 'nmi.pending': nmi.pending }, refuse);
  if (sipiVector !== null) requireBits(8, { sipiVector }, refuse);
  requireU64({ exceptionPayload }, refuse);
  if (exception.injected && exception.pending) refuse('one exception cannot be pending and injected at once');
  if ((exception.injected || exception.pending) && (exception.nr > LAST_EXCEPTION || exception.nr === VECTOR.NMI)) {
    refuse(`vector ${exception.nr} is no exception`);
  }
  if (saved.exceptionHasPayload && !isTrap(saved)) refuse('only a pending #DB can have a payload: B0 to B3 and BS');
  if (nmi.pending > 2) refuse(`${nmi.pending} NMIs are pending: two can wait`);
  if (smi.smm || smi.pending) refuse('there is no system management mode');
}
