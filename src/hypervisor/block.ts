// How a vCPU that is not runnable waits (vcpu_block, kvm_vcpu_block), and what makes it runnable again (kvm_vcpu_has_events).

import { block } from '../host/sleep.ts';
import type { Sleep } from '../host/sleep.ts';
import { ACTIVITY, RFLAGS } from '../x86/names/registers.ts';
import { CONTINUE, type Disposition } from './exits/handler.ts';
import { adjustHaltPoll, pollWhileHalted } from './haltPoll.ts';
import { hasExtint } from './inject.ts';
import { NONE } from './lapic/priority.ts';
import { KVM_REQ } from './requests.ts';
import { RUN_POINT, type RunPoint } from './runPoint.ts';
import type { Vcpu } from './vcpu.ts';

/**
 * vcpu_block(): waits until the vCPU is runnable or somebody wants it to look; a runnable one leaves its halt. `from`: POLLING
 * or BLOCKED, if the wait goes on in a thread that was made anew.
 */
export function* vcpuBlock(vcpu: Vcpu, from: RunPoint = RUN_POINT.START): Sleep<Disposition> {
  const begins = from === RUN_POINT.START;
  if (!begins || !isRunnable(vcpu)) {
    const { timer } = vcpu.lapic;
    const { place } = vcpu;
    if (begins) {
      place.hvTimer = timer.hvTimerInUse;
      // The preemption timer counts in guest mode only.
      if (place.hvTimer) timer.switchToSwTimer();
    }
    yield* vcpuHalt(vcpu, from);
    // An ARM guest is entered and finds its interrupt; a halted x86 guest is not entered before it has one.
    if (vcpu.directTimer !== null) vcpu.directTimer.timer.flushHwstate();
    if (place.hvTimer) timer.switchToHvTimer();
    if (vcpu.xen !== null) vcpu.xen.poll.end();
    if (!isRunnable(vcpu)) return CONTINUE;
  } else if (vcpu.xen !== null) vcpu.xen.poll.end();
  vcpu.lapic.events.accept();
  if (vcpu.mpState === 'halted' || vcpu.mpState === 'runnable') vcpu.pv.asyncPf.halted = false;
  if (vcpu.mpState === 'halted') {
    vcpu.pvUnhalted = false;
    vcpu.mpState = 'runnable';
  }
  return CONTINUE;
}

/** kvm_vcpu_halt(): polls, then blocks. */
function* vcpuHalt(vcpu: Vcpu, from: RunPoint): Sleep<void> {
  if (from === RUN_POINT.START) vcpu.place.haltedAt = vcpu.cpu.now;
  const slept = from === RUN_POINT.BLOCKED;
  const found = !slept && (yield* pollWhileHalted(vcpu, () => shouldStopBlocking(vcpu), from));
  const waited = !found && (yield* waitForEvent(vcpu, slept));
  const cycles = vcpu.cpu.now - vcpu.place.haltedAt;
  adjustHaltPoll(vcpu, cycles);
  if (!vcpu.probes.active) return;
  // Every wake-up counts as valid: only other architectures tell invalid ones apart.
  vcpu.probes.fire('kvm_vcpu_wakeup', { vcpu: vcpu.id, cycles, waited, valid: true }, vcpu.cpu.now);
}

/** kvm_vcpu_block(): whether the thread slept; `slept`: it did so already. */
function* waitForEvent(vcpu: Vcpu, slept: boolean): Sleep<boolean> {
  const thread = vcpu.vm.host.thisCpu.thread!;
  const { directTimer } = vcpu;
  let waited = slept;
  if (directTimer !== null && !slept) directTimer.timer.schedule();
  thread.aboutToBlock = true;
  while (!shouldStopBlocking(vcpu)) {
    waited = true;
    if (vcpu.vm.vcpus.every(neverRunsAgain)) vcpu.vm.onStuck();
    const on = describeWait(vcpu);
    vcpu.place.point = RUN_POINT.BLOCKED;
    if (thread.aboutToBlock) yield* block(on);
    thread.aboutToBlock = true;
  }
  thread.aboutToBlock = false;
  if (directTimer !== null) directTimer.timer.unschedule();
  return waited;
}

/** kvm_vcpu_check_block(). */
function shouldStopBlocking(vcpu: Vcpu): boolean {
  if (isRunnable(vcpu)) return true;
  if (vcpu.lapic.timer.hasPendingTimer() || vcpu.signalPending) return true;
  if (vcpu.directTimer !== null && vcpu.directTimer.timer.hasPendingTimer()) return true;
  if (vcpu.xen !== null && (vcpu.xen.timer.hasPendingTimer() || vcpu.xen.poll.over)) return true;
  return vcpu.requests.check(KVM_REQ.UNBLOCK);
}

/** kvm_arch_vcpu_runnable(). */
function isRunnable(vcpu: Vcpu): boolean {
  return (vcpu.mpState === 'runnable' && !vcpu.pv.asyncPf.halted) || hasEvents(vcpu);
}

/** kvm_vcpu_has_events(): something would make a halted vCPU run. */
export function hasEvents(vcpu: Vcpu): boolean {
  const { events, guest, lapic } = vcpu;
  if (lapic.events.pending && vcpu.initSipiAllowed()) return true;
  if (vcpu.pv.asyncPf.hasDone) return true;
  if (vcpu.pvUnhalted || events.exception.pending) return true;
  if (events.nmi.pending > 0 || vcpu.requests.test(KVM_REQ.NMI)) return true;
  if (vcpu.xen !== null && vcpu.xen.shadow.pending) return true;
  if (guest.state.pendingDb !== 0) return true; // HLT was single-stepped: its trap is due
  return guest.interruptible() && (hasExtint(vcpu) || lapic.pendingInterrupt() !== NONE);
}

const interruptsOff = ({ guest }: Vcpu): boolean => (guest.state.rflags & RFLAGS.IF) === 0;

/** Halted with interrupts off, or waiting for INIT or SIPI: only another vCPU can wake it, if one runs. */
function neverRunsAgain(vcpu: Vcpu): boolean {
  if (isRunnable(vcpu) || vcpu.pv.asyncPf.expectsPage) return false;
  if (vcpu.xen !== null && vcpu.xen.poll.waiting) return false;
  return vcpu.mpState !== 'halted' || interruptsOff(vcpu);
}

/** Halted: its thread blocks, or its CPU stands still in guest mode. */
export const isHalted = (vcpu: Vcpu): boolean =>
  vcpu.mpState === 'halted' || vcpu.guest.state.activity === ACTIVITY.HALTED;

/** What a blocked vCPU waits for, for the report of a machine in which nothing can happen any more. */
export function describeWait(vcpu: Vcpu): string {
  const { lapic, xen } = vcpu;
  if (vcpu.place.point === RUN_POINT.DOWN) return `${vcpu.name} is down until VCPUOP_up`;
  if (vcpu.pv.asyncPf.halted) return `${vcpu.name} waits for a page that the host has paged out`;
  if (!isHalted(vcpu)) return `${vcpu.name} waits for ${vcpu.mpState === 'uninitialized' ? 'INIT' : 'SIPI'}`;
  if (xen !== null && xen.poll.waiting) return `${vcpu.name} polls for a Xen event`;
  if (interruptsOff(vcpu)) return `${vcpu.name} is halted with interrupts disabled`;
  const deadline = vcpu.directDeadline?.deadline ?? lapic.timer.tscdeadline;
  const isArmed = deadline !== 0n || (xen !== null && xen.timer.expires !== 0n);
  return `${vcpu.name} is halted, ${isArmed ? 'its timer is armed' : 'no timer is armed'}`;
}
