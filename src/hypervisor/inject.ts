// Events on their way into the guest: what is queued on a vCPU, and KVM's order of injecting it (kvm_check_and_inject_events
// in Linux arch/x86/kvm/x86.c). How an event is delivered is the processor's affair.
//
// Theory: an event is *pending* until it is handed to the processor, *injected* until the processor has delivered it. When
// delivery itself exits (the IDT or the stack is not mapped, say), the exit names the event in its vectoring information,
// and it must be injected again before anything else. Only one event fits into an entry; for the others a window is opened:
// the processor exits as soon as it could take them.

import { errorCodeOf, EVENT_TYPE, isValid, typeOf, vectorOf } from '../cpu/events/interruption.ts';
import type { SavedFields } from '../cpu/savedFields.ts';
import type { Atomic, Cell } from '../host/cells.ts';
import { COST } from '../host/costs.ts';
import { RFLAGS } from '../x86/names/registers.ts';
import { VECTOR } from '../x86/names/vectors.ts';
import { acceptsPicInterrupt } from './lapic/lvt.ts';
import { NONE } from './lapic/priority.ts';
import { KVM_REQ } from './requests.ts';
import type { Vcpu } from './vcpu.ts';
import { xenHasInterrupt } from './xen/evtchn.ts';

/** NMIs that can wait: while one is in service or on its way one, else two, of which one is taken at once. */
const NMI_LIMIT = { IN_SERVICE: 1, IDLE: 2 } as const;

/** What the PIC requests has no vector before it is acknowledged. */
const EXTINT = 256;

export class QueuedEvents {
  readonly exception = { pending: false, injected: false, vector: 0, errorCode: null as number | null };
  readonly interrupt = { injected: false, soft: false, vector: 0 };
  /** `queued`: sent, and not looked at yet. */
  readonly nmi: { queued: Cell<number>; pending: Cell<number>; injected: boolean } = {
    queued: 0,
    pending: 0,
    injected: false,
  };

  transfer(fields: SavedFields): void {
    fields.part('exception').own(this.exception, 'pending', 'injected', 'vector', 'errorCode');
    fields.part('interrupt').own(this.interrupt, 'injected', 'soft', 'vector');
    fields.part('nmi').own(this.nmi, 'queued', 'pending', 'injected');
  }

  /** kvm_event_needs_reinjection(). */
  get needsReinjection(): boolean {
    return this.exception.injected || this.interrupt.injected || this.nmi.injected;
  }

  /** The processor has delivered what was injected. */
  delivered(): void {
    this.exception.injected = false;
    this.interrupt.injected = false;
    this.nmi.injected = false;
  }

  /** kvm_clear_exception_queue() and kvm_clear_interrupt_queue(). */
  clear(): void {
    this.exception.pending = this.exception.injected = this.interrupt.injected = this.nmi.injected = false;
    this.nmi.queued = this.nmi.pending = 0;
  }

  /** Nothing waits: the common case of every entry. */
  get idle(): boolean {
    return !this.exception.pending && this.nmi.pending === 0 && !this.needsReinjection;
  }
}

/** kvm_queue_exception(): the guest takes the exception at the next entry. */
export function queueException(vcpu: Vcpu, vector: number, errorCode: number | null): void {
  const { exception } = vcpu.events;
  exception.pending = true;
  exception.injected = false;
  exception.vector = vector;
  exception.errorCode = errorCode;
  vcpu.requests.make(KVM_REQ.EVENT);
}

/** kvm_queue_interrupt(): an acknowledged interrupt is delivered at the next entry, before anything else. */
export function queueInterrupt({ events: { interrupt } }: Vcpu, vector: number, soft: boolean): void {
  interrupt.injected = true;
  interrupt.soft = soft;
  interrupt.vector = vector;
}

/** kvm_inject_gp(vcpu, 0). */
export function injectGp(vcpu: Vcpu): void {
  queueException(vcpu, VECTOR.GP, 0);
}

/** kvm_inject_page_fault(): a #PF that is nobody's page walk; `address` is what CR2 says. */
export function injectPageFault(vcpu: Vcpu, address: bigint, errorCode: number): void {
  vcpu.guest.state.cr2 = address;
  queueException(vcpu, VECTOR.PF, errorCode);
}

/** kvm_inject_nmi(): from any physical CPU. */
export function queueNmi({ events: { nmi } }: Vcpu): Atomic<void> {
  nmi.queued++;
}

/** process_nmi(): what was sent becomes pending, as far as a processor keeps NMIs; more are lost. */
export function processNmi(vcpu: Vcpu): void {
  const { nmi } = vcpu.events;
  const inService = vcpu.guest.state.nmiBlocked !== 0 || nmi.injected;
  const sent = takeQueuedNmis(vcpu);
  nmi.pending = Math.min(nmi.pending + sent, inService ? NMI_LIMIT.IN_SERVICE : NMI_LIMIT.IDLE);
  if (nmi.pending > 0) vcpu.requests.make(KVM_REQ.EVENT);
}

function takeQueuedNmis({ events: { nmi } }: Vcpu): Atomic<number> {
  const sent = nmi.queued;
  nmi.queued = 0;
  return sent;
}

/** kvm_check_and_inject_events(): hands at most one event to the processor and opens the windows for those that wait. */
export function checkAndInjectEvents(vcpu: Vcpu): void {
  const { events, guest } = vcpu;
  const { exception, interrupt, nmi } = events;
  let canInject = !events.needsReinjection;

  if (exception.injected) injectException(vcpu, true);
  else if (!exception.pending) {
    if (nmi.injected) guest.inject({ type: 'nmi', vector: VECTOR.NMI, errorCode: null });
    else if (interrupt.injected) injectInterrupt(vcpu, true);
  }

  if (exception.pending) {
    exception.pending = false;
    exception.injected = true;
    injectException(vcpu, false);
    canInject = false;
  }

  if (nmi.pending > 0) {
    if (canInject && nmiAllowed(vcpu)) {
      nmi.pending--;
      nmi.injected = true;
      guest.inject({ type: 'nmi', vector: VECTOR.NMI, errorCode: null });
      canInject = false;
    }
    if (nmi.pending > 0) guest.controls.nmiWindow = true;
  }

  let vector = injectableInterrupt(vcpu);
  if (vector === NONE) return;
  if (canInject && guest.interruptible()) {
    queueInterrupt(vcpu, getInterrupt(vcpu, vector), false);
    injectInterrupt(vcpu, false);
    vector = injectableInterrupt(vcpu);
  }
  if (vector !== NONE) guest.controls.interruptWindow = true;
}

/** kvm_cpu_has_extint(): the PIC requests, and LINT0 lets it through; or Xen has events for the vCPU. */
export const hasExtint = (vcpu: Vcpu): boolean =>
  (vcpu.vm.irqchip.pic.output && acceptsPicInterrupt(vcpu.lapic)) || (vcpu.xen !== null && xenHasInterrupt(vcpu));

/** kvm_cpu_has_injectable_intr(): the PIC first; with APIC virtualisation the processor delivers the LAPIC's by itself. */
function injectableInterrupt(vcpu: Vcpu): number {
  if (hasExtint(vcpu)) return EXTINT;
  return vcpu.apicv !== null && vcpu.apicv.active ? NONE : vcpu.lapic.pendingInterrupt();
}

/** kvm_cpu_get_interrupt(): the vector of an injectable interrupt, which is acknowledged. */
function getInterrupt(vcpu: Vcpu, vector: number): number {
  const { vm, lapic } = vcpu;
  // kvm_cpu_get_extint(): the upcall stays requested until the guest has looked at its events.
  if (vcpu.xen !== null && vector === EXTINT && xenHasInterrupt(vcpu)) return vm.xen!.upcallVector;
  if (vector === EXTINT) return vm.irqchip.pic.readIrq();
  lapic.acknowledge(vector);
  return vector;
}

/**
 * vmx_nmi_allowed(): no NMI in service, no shadow; no debug trap is due, which would have come first (SDM vol. 3, 6.9); and no
 * instruction stands half way, which would touch its device once more behind the NMI.
 */
function nmiAllowed({ guest: { state, halfway } }: Vcpu): boolean {
  return state.nmiBlocked === 0 && state.shadow === 0 && state.pendingDb === 0 && !halfway;
}

/** exception_type() == EXCPT_FAULT. */
const isFault = (vector: number): boolean => !NO_FAULTS.has(vector);
const NO_FAULTS: ReadonlySet<number> = new Set([VECTOR.DB, VECTOR.BP, VECTOR.OF, VECTOR.DF, VECTOR.MC]);

function injectException(vcpu: Vcpu, reinjected: boolean): void {
  const { vector, errorCode } = vcpu.events.exception;
  vcpu.cpu.charge(COST.inject);
  // What the handler returns to is executed again, and must not meet its breakpoint again (SDM vol. 3, 17.3.1.1).
  if (!reinjected && isFault(vector)) vcpu.guest.state.rflags |= RFLAGS.RF;
  vcpu.guest.inject({ type: 'exception', vector, errorCode });
  const { probes } = vcpu.vm;
  if (probes.active) {
    probes.fire('kvm_inj_exception', { vcpu: vcpu.id, vector, errorCode, reinjected }, vcpu.cpu.now);
  }
}

function injectInterrupt(vcpu: Vcpu, reinjected: boolean): void {
  const { vector, soft } = vcpu.events.interrupt;
  vcpu.cpu.charge(COST.inject);
  vcpu.stat.irqInjections++;
  vcpu.guest.inject({ type: soft ? 'soft' : 'external', vector, errorCode: null });
  const { probes } = vcpu.vm;
  if (probes.active) {
    probes.fire('kvm_inj_virq', { vcpu: vcpu.id, vector, soft, reinjected }, vcpu.cpu.now);
  }
}

/**
 * vmx_complete_interrupts(): after an exit, decides what became of the injected event. Delivered: forgotten. Delivery
 * exited: injected again at the next entry. Never entered: likewise.
 */
export function completeInterrupts(vcpu: Vcpu): void {
  const { state } = vcpu.guest;
  if (isValid(state.entryEvent)) cancelInjection(vcpu);
  else if (isValid(state.vectoringEvent)) queueAgain(vcpu, state.vectoringEvent);
  else if (vcpu.events.needsReinjection) vcpu.events.delivered();
}

function queueAgain(vcpu: Vcpu, info: number): void {
  const { events } = vcpu;
  const { state } = vcpu.guest;
  const type = typeOf(info);
  events.nmi.injected = type === EVENT_TYPE.NMI;
  events.interrupt.injected = type === EVENT_TYPE.EXTERNAL || type === EVENT_TYPE.SOFT_INTERRUPT;
  events.exception.injected = !events.nmi.injected && !events.interrupt.injected;
  if (events.interrupt.injected) {
    events.interrupt.vector = vectorOf(info);
    events.interrupt.soft = type === EVENT_TYPE.SOFT_INTERRUPT;
  } else if (events.exception.injected) {
    events.exception.vector = vectorOf(info);
    events.exception.errorCode = errorCodeOf(info, state.vectoringErrorCode);
  }
  vcpu.requests.make(KVM_REQ.EVENT);
}

/** vmx_cancel_injection(): takes an event back that the processor has not seen; it stays injected, so it comes first again. */
export function cancelInjection(vcpu: Vcpu): void {
  const { state } = vcpu.guest;
  if (!isValid(state.entryEvent)) return;
  state.entryEvent = 0;
  vcpu.requests.make(KVM_REQ.EVENT);
}
