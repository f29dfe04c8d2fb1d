// Single-target IPIs handled as soon as the guest has left: which writes of the x2APIC ICR qualify, and the designs that
// were compared on the way to today's (seed 004: KVM list, November 2019). Where each runs is said in run.ts.
//
// Theory. An IPI costs its sender an exit, and its target waits for all that KVM does before it sends: SRCU with its
// barriers, a window in which host interrupts are served, the dispatch of MSRs. Handling it with interrupts still off saves
// that, if nothing there may sleep, fault or be interrupted, and if the slow path knows that it is done. The designs differ
// in where they run and in how they say so:
//
//   v1           a flag on the vCPU. Runs before vcpu->mode and last_guest_tsc are set: a kick of the sender meanwhile sends
//                an IPI for nothing, and whoever asks when the guest was left last hears of the time before. No kvm_msr event
//   fake-reason  the same place; the reason of the exit becomes NEED_SKIP
//   irqoff       a completion value that handle_exit is given; nothing on the vCPU
//   all-icr      every ICR write is early, so the slow path ignores ICR and needs no flag; but an ICR that is refused cannot
//                say so any more: the guest's #GP is lost
//   reenter      back into the guest at once, unless something asks for the outer loop

import { COST } from '../host/costs.ts';
import { GPR } from '../x86/names/registers.ts';
import { X2APIC_MSR } from '../x86/names/msrs.ts';
import { decodeIcr, DELIVERY, SHORTHAND, writeX2apicIcr } from './lapic/icr.ts';
import { X2APIC_BROADCAST } from './lapic/destination.ts';
import type { Vcpu } from './vcpu.ts';

/** The WRMSR that exited is one of the ICR. */
export const writesIcr = (vcpu: Vcpu): boolean => vcpu.guest.state.gpr32(GPR.RCX) === X2APIC_MSR.ICR;

/** What the seed's first version asked: fixed and physical. Shorthands and broadcasts went through. */
const isFixedPhysical = (low: number, dest: number): boolean => {
  const { deliveryMode, logical } = decodeIcr(low, dest);
  return deliveryMode === DELIVERY.FIXED && !logical;
};

/** handle_fastpath_set_x2apic_icr_irqoff(), 6.16: one target, by its id. */
const isSingleTarget = (low: number, dest: number): boolean =>
  isFixedPhysical(low, dest) && decodeIcr(low, dest).shorthand === SHORTHAND.NONE && dest !== X2APIC_BROADCAST;

const ELIGIBLE = {
  v1: isFixedPhysical,
  'fake-reason': isFixedPhysical,
  irqoff: isSingleTarget,
  'all-icr': () => true,
  reenter: isSingleTarget,
} as const;

/** Sends the IPI that EDX:EAX describe if the design wants it early. False: the slow path is to do it. */
export function sendIpiEarly(vcpu: Vcpu, design: keyof typeof ELIGIBLE): boolean {
  const { lapic, guest, cpu } = vcpu;
  if (!lapic.x2apic || !writesIcr(vcpu)) return false;
  const low = guest.state.gpr32(GPR.RAX);
  const high = guest.state.gpr32(GPR.RDX);
  if (!ELIGIBLE[design](low, high)) return false;
  cpu.charge(COST.lapicAccess);
  return writeX2apicIcr(lapic, low, high);
}

/** Whether the slow path takes a write of an MSR for done, whatever became of it: that of ICR in `all-icr`. */
export const isIgnoredBySlowPath = ({ vm }: Vcpu, index: number): boolean =>
  index === X2APIC_MSR.ICR && vm.params.fastpath === 'all-icr';
