// Delivery of 2-level event channels (kvm_xen_set_evtchn_fast and _set_evtchn, _inject_pending_events and __kvm_xen_has_interrupt
// of Linux 6.16 arch/x86/kvm/xen.c; the reader is Linux's drivers/xen/events/events_2l.c).
//
// Theory: a port is a bit of shared_info's `pending`. That it goes from 0 to 1 while its bit of `mask` is 0 is the event, and
// the only one: a port that is pending already, or masked, makes none. The event then goes to a vCPU: the word in which the port
// lies is set in that vCPU's `pending_sel`, and when it was not, `upcall_pending`, in this order; the guest clears
// `upcall_pending`, takes `pending_sel` by an exchange, and looks through these words. So who finds a word selected may rely
// on the guest looking there still. `upcall_pending` acts as the level of an interrupt line that has the global callback
// vector; a vCPU with a vector of its own gets it by its LAPIC, as an edge.
//
// Neither page is pinned, and an event may come in a hard interrupt, where nobody may sleep to bring one back. Without
// shared_info nothing is done and the answer is EWOULDBLOCK: who may sleep tries again behind a refresh, in a thread. Without
// vcpu_info the port is pending already, so the word is kept in a shadow of `pending_sel` in the hypervisor, and the vCPU moves
// it to the guest before it enters: by OR into the guest's word first, then AND out of the shadow, so that no bit is ever
// absent from both, and one that is set meanwhile stays. The first design (28 Oct 2021) always went by the shadow, and moved it
// when interrupts were looked for.

import type { Atomic } from '../../host/cells.ts';
import { COST } from '../../host/costs.ts';
import { DELIVERY, SHORTHAND } from '../lapic/icr.ts';
import { deliverToApics } from '../lapic/delivery.ts';
import type { Vcpu } from '../vcpu.ts';
import type { Vm } from '../vm.ts';
import { mayFault, mightFault } from './fault.ts';
import { VCPU_INFO } from './layout.ts';
import { PRIO_2LEVEL, XEN_ERRNO, XenError } from './names.ts';

/** struct kvm_xen_evtchn: a port, and the vCPU that it is bound to. */
export interface Evtchn {
  readonly port: number;
  /** vcpu_id. */
  readonly vcpu: number;
  readonly priority: number;
}

/** What became of an event: delivered, coalesced with one that waits, or why there was none (a negative errno). */
export const EVTCHN = {
  DELIVERED: 1,
  COALESCED: 0,
  MASKED: -XEN_ERRNO.ENOTCONN,
  WOULD_BLOCK: -XEN_ERRNO.EWOULDBLOCK,
  NO_TARGET: -XEN_ERRNO.EINVAL,
  FAULT: -XEN_ERRNO.EFAULT,
} as const;

/** kvm_xen_set_evtchn_fast(): raises an event from anywhere, a hard interrupt too. An EVTCHN. */
export function setEvtchnFast(vm: Vm, evtchn: Evtchn): number {
  const result = raise(vm, evtchn);
  vm.xen!.stat.count(result);
  if (vm.probes.active)
    vm.probes.fire('kvm_xen_evtchn', { vcpu: evtchn.vcpu, port: evtchn.port, result }, vm.host.thisCpu.now);
  return result;
}

function raise(vm: Vm, { port, vcpu: id }: Evtchn): number {
  const xen = vm.xen!;
  const layout = xen.layout;
  const { page } = xen.sharedInfo;
  const vcpu = vm.vcpus[id];
  if (vcpu === undefined || port >= layout.ports) return EVTCHN.NO_TARGET;
  if (!page.hold()) return EVTCHN.WOULD_BLOCK;
  vm.host.thisCpu.charge(COST.eventChannel);
  const wasPending = page.testAndSetBit(layout.pending, port);
  const masked = !wasPending && page.testBit(layout.mask, port);
  page.release();
  if (wasPending) return EVTCHN.COALESCED;
  if (masked) {
    if (vcpu.xen!.poll.wokenBy(port)) vcpu.xen!.unblock();
    return EVTCHN.MASKED;
  }
  select(vcpu, Math.floor(port / layout.wordBits));
  return EVTCHN.DELIVERED;
}

/** Tells a vCPU to look at a word of the bitmap. */
function select(vcpu: Vcpu, word: number): void {
  const xen = vcpu.xen!;
  const { vcpuInfo } = xen;
  if (vcpu.vm.params.xenEvtchn === 'shadow' || !vcpuInfo.hold()) {
    vcpu.vm.xen!.stat.shadowed++;
    if (xen.shadow.testAndSet(word)) vcpu.vm.xen!.stat.selected++;
    else xen.unblock();
    return;
  }
  const wasSelected = vcpuInfo.testAndSetBit(vcpu.vm.xen!.layout.pendingSel, word);
  if (!wasSelected) vcpuInfo.writeU8(VCPU_INFO.UPCALL_PENDING, 1);
  vcpuInfo.release();
  if (wasSelected) {
    vcpu.vm.xen!.stat.selected++;
    return;
  }
  if (xen.upcallVector !== 0) injectVcpuVector(vcpu);
  else xen.unblock();
}

/** kvm_xen_inject_vcpu_vector(). */
function injectVcpuVector(vcpu: Vcpu): void {
  vcpu.vm.xen!.stat.ownVector++;
  deliverToApics(vcpu.vm, null, {
    vector: vcpu.xen!.upcallVector,
    deliveryMode: DELIVERY.FIXED,
    logical: false,
    assert: true,
    levelTriggered: false,
    shorthand: SHORTHAND.NONE,
    dest: vcpu.id,
    redirectionHint: false,
  });
}

/** kvm_xen_set_evtchn(): the same in a thread that may sleep: shared_info is looked up again until the event is raised. */
export function setEvtchn(vm: Vm, evtchn: Evtchn): number {
  const { sharedInfo, stat } = vm.xen!;
  const { page } = sharedInfo;
  for (;;) {
    const result = setEvtchnFast(vm, evtchn);
    if (result !== EVTCHN.WOULD_BLOCK) return result;
    mightFault(vm.host.thisCpu, 'the page of shared_info');
    stat.slow++;
    if (page.refresh()) continue;
    stat.dropped++;
    return page.active ? EVTCHN.FAULT : EVTCHN.NO_TARGET;
  }
}

/** KVM_XEN_HVM_EVTCHN_SEND. Throws XenError; that nobody took it, because it is masked or pending, is none. */
export function sendEvtchn(vm: Vm, evtchn: Evtchn): void {
  checkEvtchn(vm, evtchn);
  const result = setEvtchn(vm, evtchn);
  if (result === EVTCHN.NO_TARGET)
    throw new XenError(
      'EINVAL',
      `port ${evtchn.port} cannot reach vCPU ${evtchn.vcpu}: there is none, or no shared_info`,
    );
  if (result === EVTCHN.FAULT) throw new XenError('EFAULT', 'no writable slot has the page of shared_info');
}

/** A port that can be delivered to, of the one kind of event channel there is. Throws XenError (EINVAL). */
export function checkEvtchn(vm: Vm, { port, priority }: Evtchn): void {
  const layout = vm.xen!.layout;
  const { ports } = layout;
  if (port <= 0 || port >= ports) throw new XenError('EINVAL', `a port is 1 to ${ports - 1}, not ${port}`);
  if (priority !== PRIO_2LEVEL)
    throw new XenError('EINVAL', `there are 2-level event channels only, priority ${PRIO_2LEVEL}, not ${priority}`);
}

/** kvm_xen_inject_pending_events(): the vCPU moves its shadow to the guest, where it may sleep. Without vcpu_info: next time. */
export function injectPendingEvents(vcpu: Vcpu): void {
  const { shadow, vcpuInfo } = vcpu.xen!;
  if (!shadow.pending) return;
  if (!vcpuInfo.valid()) {
    mightFault(vcpu.vm.host.thisCpu, 'the page of vcpu_info');
    if (!vcpuInfo.refresh()) return;
  }
  syncShadow(vcpu);
}

function syncShadow(vcpu: Vcpu): void {
  const xen = vcpu.xen!;
  const { shadow, vcpuInfo } = xen;
  const words = shadow.words;
  if (!vcpuInfo.hold()) return;
  vcpu.vm.xen!.stat.synced++;
  orPendingSel(vcpu, words);
  shadow.clear(words);
  vcpuInfo.writeU8(VCPU_INFO.UPCALL_PENDING, 1);
  vcpuInfo.release();
  if (xen.upcallVector !== 0) injectVcpuVector(vcpu);
}

/** One locked OR. */
function orPendingSel({ vm, xen }: Vcpu, words: bigint): Atomic<void> {
  const { vcpuInfo } = xen!;
  const layout = vm.xen!.layout;
  const { pendingSel, wordBits } = layout;
  if (wordBits === 64) vcpuInfo.writeU64(pendingSel, vcpuInfo.readU64(pendingSel) | words);
  else vcpuInfo.writeU32(pendingSel, Number(BigInt(vcpuInfo.readU32(pendingSel)) | BigInt.asUintN(32, words)));
}

/**
 * kvm_xen_has_interrupt(): the global callback vector is requested. Where nobody may sleep, a vcpu_info that is not there counts
 * as a request, so that a vCPU wakes up and asks again where one may.
 */
export function xenHasInterrupt(vcpu: Vcpu): boolean {
  const { xen, vm } = vcpu;
  if (xen === null || !xen.vcpuInfo.active || vm.xen!.upcallVector === 0 || !vm.xen!.enabled) return false;
  return upcallPending(vcpu);
}

/** kvm_xen_sw_enable_lapic(): an event that came before the LAPIC could take the vCPU's own vector comes now. */
export function upcallOfEnabledLapic(vcpu: Vcpu): void {
  const xen = vcpu.xen!;
  if (xen.vcpuInfo.active && xen.upcallVector !== 0 && upcallPending(vcpu)) injectVcpuVector(vcpu);
}

/** __kvm_xen_has_interrupt(). */
function upcallPending(vcpu: Vcpu): boolean {
  const { vm } = vcpu;
  const { vcpuInfo, shadow } = vcpu.xen!;
  if (vm.params.xenEvtchn === 'shadow' && shadow.pending) syncShadow(vcpu);
  while (!vcpuInfo.hold()) {
    if (!mayFault(vm.host.thisCpu)) return true;
    if (!vcpuInfo.refresh()) return false;
    if (vm.params.xenEvtchn === 'shadow' && shadow.pending) syncShadow(vcpu);
  }
  const requested = vcpuInfo.readU8(VCPU_INFO.UPCALL_PENDING) !== 0;
  vcpuInfo.release();
  return requested;
}
