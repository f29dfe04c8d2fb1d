// The way into the guest: vcpu_enter_guest() up to the entry, and vmx_vcpu_run() up to there (Linux 6.16 arch/x86/kvm/x86.c,
// vmx/vmx.c). Requests are serviced and events injected, then interrupts go off, the mode becomes IN_GUEST, and only then is
// looked for a reason not to enter.

import { COST } from '../host/costs.ts';
import { CONTINUE, TO_USERSPACE, type Disposition } from './exits/handler.ts';
import { cancelInjection, checkAndInjectEvents, processNmi } from './inject.ts';
import { KVM_REQ } from './requests.ts';
import { traceEntry } from './runTrace.ts';
import { VCPU_MODE, type Vcpu } from './vcpu.ts';
import { xenHasInterrupt } from './xen/evtchn.ts';

/** vcpu_enter_guest() up to the entry: null to enter, else what to do instead. */
export function prepareEntry(vcpu: Vcpu): Disposition | null {
  const { cpu } = vcpu;
  if (vcpu.directTimer !== null) vcpu.directTimer.timer.flushHwstate();
  if (vcpu.lapic.timer.lazy.stale) vcpu.lapic.timer.lazy.refresh();
  if (vcpu.requests.pending || vcpu.xen !== null) {
    const disposition = serviceRequests(vcpu);
    if (disposition !== null) return disposition;
  }

  cpu.disablePreemption();
  cpu.charge(COST.guestSwitch);
  cpu.disableInterrupts();
  vcpu.mode = VCPU_MODE.IN_GUEST;
  cpu.charge(COST.srcu);
  if (vcpu.apicv !== null) vcpu.apicv.syncPirToIrr();
  return exitRequested(vcpu) ? turnBack(vcpu) : null;
}

/** Something came up: the outer loop runs once more. */
function turnBack(vcpu: Vcpu): Disposition {
  const { cpu } = vcpu;
  vcpu.mode = VCPU_MODE.OUTSIDE_GUEST;
  cpu.enableInterrupts();
  cpu.enablePreemption();
  cpu.charge(COST.srcu);
  cancelInjection(vcpu);
  if (vcpu.pv.eoi.pending) vcpu.pv.eoi.syncFromGuest();
  return CONTINUE;
}

/** What was asked of the vCPU, and the events that are due: null to enter, else what to do instead. */
function serviceRequests(vcpu: Vcpu): Disposition | null {
  const { requests } = vcpu;
  let eventsAreDue = false;
  if (requests.pending) {
    if (vcpu.recurrence.watched && requests.pendingBesides(KVM_REQ.EVENT)) vcpu.recurrence.disturbed();
    serviceFirst(vcpu);
    if (requests.check(KVM_REQ.APF_HALT)) {
      vcpu.pv.asyncPf.halted = true;
      return CONTINUE;
    }
    if (requests.check(KVM_REQ.STEAL_UPDATE)) recordStealTime(vcpu);
    if (requests.check(KVM_REQ.SMI)) return refuseSmi(vcpu);
    if (requests.check(KVM_REQ.APF_READY)) vcpu.pv.asyncPf.checkCompletion();
    eventsAreDue = requests.check(KVM_REQ.EVENT);
  }
  if (eventsAreDue || (vcpu.xen !== null && xenHasInterrupt(vcpu))) {
    vcpu.stat.reqEvent++;
    vcpu.recurrence.lookedForEvents = true;
    vcpu.lapic.events.accept();
    if (vcpu.mpState !== 'runnable') return CONTINUE;
    checkAndInjectEvents(vcpu);
    if (vcpu.lapic.enabled) vcpu.pv.eoi.syncToGuest();
  }
  return null;
}

/** record_steal_time(): a Xen guest has its runstate instead. */
function recordStealTime(vcpu: Vcpu): void {
  if (vcpu.xen !== null && vcpu.vm.xen!.enabled) vcpu.xen.runstate.setRunning();
  else vcpu.pv.stealTime.record();
}

/** vmx_vcpu_run(), up to the entry. Returns the host position at which the preemption timer ends guest mode; Infinity: never. */
export function vmxEnter(vcpu: Vcpu): number {
  const { cpu, hvTimer } = vcpu;
  if (vcpu.directTimer !== null) vcpu.directTimer.enter();
  if (vcpu.probes.active) traceEntry(vcpu);
  cpu.charge(COST.vmEntry);
  waitLapicExpire(vcpu);
  vcpu.syncTsc();
  let timerEnd = Infinity;
  if (hvTimer !== null && hvTimer.armed) {
    cpu.charge(COST.vmwrite);
    timerEnd = hvTimer.update(cpu.now);
  }
  // The instruction that stands half way is finished, and none behind it.
  if (vcpu.signalPending) vcpu.endGuestModeAt(cpu.now + 1);
  return timerEnd;
}

/** kvm_wait_lapic_expire(): a timer interrupt about to be taken waits for its deadline, which the timer may be early for. */
function waitLapicExpire({ lapic: { timer }, events: { interrupt }, cpu, apicv }: Vcpu): void {
  if (apicv !== null && apicv.active) {
    if (timer.hasExpired && timer.isRequested) cpu.now += timer.waitLapicExpire(timer.vector);
  } else if (interrupt.injected && timer.hasExpired) cpu.now += timer.waitLapicExpire(interrupt.vector);
}

/** kvm_vcpu_exit_request(): something came up between the service of requests and the entry. */
function exitRequested(vcpu: Vcpu): boolean {
  if (vcpu.mode === VCPU_MODE.EXITING_GUEST || vcpu.requests.pending) return true;
  return vcpu.cpu.needResched || mustReturn(vcpu);
}

/** Between two entries of the inner loop: what was posted is synced, and nobody wants the outer loop. */
export function mayReenter(vcpu: Vcpu): boolean {
  if (vcpu.apicv !== null) vcpu.apicv.syncPirToIrr();
  return !exitRequested(vcpu);
}

/** A signal waits, and no instruction stands half way: complete_userspace_io() comes before -EINTR. */
export function mustReturn(vcpu: Vcpu): boolean {
  return vcpu.signalPending && !vcpu.guest.halfway;
}

/** The requests that are serviced before anything else; EVENT follows, UNBLOCK is the outer loop's. */
function serviceFirst(vcpu: Vcpu): void {
  const { requests } = vcpu;
  if (requests.check(KVM_REQ.MIGRATE_TIMER)) migrateTimers(vcpu);
  if (requests.check(KVM_REQ.MASTERCLOCK_UPDATE)) vcpu.vm.clock.updateMasterClock();
  if (requests.check(KVM_REQ.GLOBAL_CLOCK_UPDATE)) vcpu.vm.clock.updateGlobally(vcpu);
  if (requests.check(KVM_REQ.CLOCK_UPDATE)) vcpu.pv.clock.update();
  if (requests.check(KVM_REQ.LAZY_TSCDEADLINE)) vcpu.lapic.timer.lazy.requested();
  if (requests.check(KVM_REQ.NMI)) processNmi(vcpu);
  if (requests.check(KVM_REQ.SCAN_IOAPIC)) scanIoapic(vcpu);
}

/** __kvm_migrate_timers(): the interval timer follows the first vCPU. */
function migrateTimers({ id, lapic, vm }: Vcpu): void {
  lapic.timer.migrate();
  if (id === 0) vm.irqchip.pit.migrate();
}

/** vcpu_scan_ioapic(). */
function scanIoapic(vcpu: Vcpu): void {
  const { lapic, apicv, ioapicVectors, vm } = vcpu;
  if (!lapic.hardwareEnabled) return;
  if (apicv !== null) apicv.syncPirToIrr();
  vm.irqchip.ioapic.scan(vcpu);
  vcpu.recurrence.forget();
  if (apicv !== null) apicv.loadEoiExitmap(ioapicVectors.words);
}

/** There is no system management mode: who sends an SMI is told so, by name. */
function refuseSmi(vcpu: Vcpu): Disposition {
  const what = `an SMI for ${vcpu.name}: system management mode is not implemented`;
  vcpu.userspace = {
    reason: 'INTERNAL_ERROR',
    what,
    hint: 'send no interrupt with delivery mode SMI (ICR bits 10:8 = 2)',
  };
  return TO_USERSPACE;
}
