// KVM_RUN: the outer loop (vcpu_run), one entry (vcpu_enter_guest) and its VMX half (vmx_vcpu_run), step by step in KVM's
// order (Linux 6.16 arch/x86/kvm/x86.c, vmx/vmx.c). What single exits mean is in exits/, how a vCPU blocks in block.ts.
//
// Theory: the vCPU's thread runs until userspace is needed. An entry services requests, injects events, turns interrupts
// off, says IN_GUEST and only then looks for a reason not to enter; whoever makes a request after that kicks, and the kick
// ends guest mode. After the exit the host's own interrupts are handled first, then the exit. The exit's reason travels by
// value. RESCHED is KVM's own schedule(), after which the vCPU may be on another CPU. Two yields belong to the model: SETTLE,
// until this CPU is the one furthest behind, so that handlers see and do things in the order of time; and SLICE, which only
// lets `Host.step` return. Neither changes what happens. Each yield is a named point at which the loop can be entered anew
// (runPoint.ts).

import { EXIT, type ExitReason } from '../cpu/exit.ts';
import { COST } from '../host/costs.ts';
import { RUNS } from '../host/cpu.ts';
import { RESCHED, SETTLE, SLICE, STEP_UNITS } from '../host/host.ts';
import type { Sleep } from '../host/sleep.ts';
import { vcpuBlock } from './block.ts';
import { CONTINUE, TO_USERSPACE, type Disposition, type ExitHandler } from './exits/handler.ts';
import { EXIT_HANDLERS } from './exits/table.ts';
import {
  FASTPATH,
  fastpathInRun,
  fastpathIrqoff,
  finishEarlyWrite,
  NEED_SKIP_EMULATED_INSN,
  reasonAfterRun,
  type Fastpath,
} from './fastpath.ts';
import { cancelInjection, checkAndInjectEvents, completeInterrupts, processNmi } from './inject.ts';
import { KVM_REQ } from './requests.ts';
import { RUN_POINT, type RunPoint } from './runPoint.ts';
import { describedExit, exitedCode, traceCompletion, traceEntry, traceExit } from './runTrace.ts';
import type { UserspaceExit } from './userspace.ts';
import { NO_PAGE, VCPU_MODE, type Vcpu } from './vcpu.ts';
import { haltInGuest, isPostedOnly, leaveGuestHalt } from './vmx/nonRoot.ts';

/**
 * KVM_RUN: runs the guest until userspace has something to do, and says what. vcpu_enter_guest() stands in the loop itself,
 * between `prepareEntry` and `finishExit`, because only its middle waits: a generator for each entry would be the dearest
 * part of an exit. `from`: the point at which a thread that was made anew goes on, with what `vcpu.place` says.
 */
export function* vcpuRun(vcpu: Vcpu, from: RunPoint = RUN_POINT.START): Sleep<UserspaceExit> {
  const { timer } = vcpu.lapic;
  const { place } = vcpu;
  const { host } = vcpu.vm;
  if (from === RUN_POINT.START) {
    vcpu.load.load();
    if (vcpu.probes.active) traceCompletion(vcpu);
    vcpu.userspace = null;
  }
  for (;;) {
    let disposition: Disposition | null = null;
    if (from === RUN_POINT.POLLING || from === RUN_POINT.BLOCKED) disposition = yield* vcpuBlock(vcpu, from);
    else if (from < RUN_POINT.GUEST) {
      vcpu.atInstructionBoundary = false;
      if (vcpu.mpState !== 'runnable' || vcpu.pv.asyncPf.halted) disposition = yield* vcpuBlock(vcpu);
      else if (vcpu.awaitsPage !== NO_PAGE) disposition = yield* bringPageIn(vcpu);
      else disposition = prepareEntry(vcpu);
    }

    if (disposition === null) {
      const { cpu } = vcpu;
      let reason = place.reason as ExitReason;
      let fastpath = place.fastpath as Fastpath;
      if (from < RUN_POINT.HANDLING) {
        // The inner loop: back into the guest while a fast path has handled the exit and nobody asks for more.
        do {
          if (from < RUN_POINT.EXITED) {
            const timerEnd = from === RUN_POINT.GUEST ? place.timerEnd : vmxEnter(vcpu);
            reason = vmxRun(vcpu, timerEnd);
            while (reason === EXIT.BUDGET || reason === EXIT.AHEAD) {
              place.point = RUN_POINT.GUEST;
              place.timerEnd = timerEnd;
              yield reason === EXIT.AHEAD ? SETTLE : SLICE;
              reason = vmxRun(vcpu, timerEnd);
            }
            cpu.charge(COST.vmExit);
            const ahead = host.isAhead(cpu);
            if (ahead || host.stepIsOver) {
              place.point = RUN_POINT.EXITED;
              place.reason = reason;
              yield ahead ? SETTLE : SLICE;
            }
          }
          from = RUN_POINT.LOOP;
          vmxExit(vcpu, reason);
          fastpath = fastpathExplained(vcpu, reason);
          if (fastpath === FASTPATH.REENTER_GUEST && !mayReenter(vcpu)) fastpath = FASTPATH.EXIT_HANDLED;
        } while (fastpath === FASTPATH.REENTER_GUEST);
      }

      let told: number = reason;
      if (from < RUN_POINT.HANDLING) {
        told = reasonAfterRun(vcpu, reason);
        const completion = finishExit(vcpu, told);
        if (fastpath === FASTPATH.NONE) fastpath = completion;
        // Handlers read the guest's clock: they must not see a time that somebody still has before them.
        if (host.isAhead(cpu)) {
          place.point = RUN_POINT.HANDLING;
          place.reason = told;
          place.fastpath = fastpath;
          yield SETTLE;
        }
      }
      disposition = handleExit(vcpu, told, fastpath);
    }
    from = RUN_POINT.LOOP;

    if (disposition === TO_USERSPACE) return leaveToUserspace(vcpu);
    vcpu.requests.clear(KVM_REQ.UNBLOCK);
    if (timer.hasPendingTimer()) timer.injectApicTimerIrqs();
    if (mustReturn(vcpu)) return leaveBySignal(vcpu);
    if (vcpu.cpu.needResched) {
      place.point = RUN_POINT.LOOP;
      yield RESCHED;
    }
  }
}

/** The rest of a page fault, which may sleep: the page is there when the guest tries again. */
function* bringPageIn(vcpu: Vcpu): Sleep<Disposition> {
  const page = vcpu.awaitsPage;
  vcpu.awaitsPage = NO_PAGE;
  yield* vcpu.vm.swap!.bringIn(page);
  return CONTINUE;
}

/** A signal waits, and no instruction stands half way: complete_userspace_io() comes before -EINTR. */
function mustReturn(vcpu: Vcpu): boolean {
  return vcpu.signalPending && !vcpu.guest.halfway;
}

/** kvm_handle_signal_exit(). */
function leaveBySignal(vcpu: Vcpu): UserspaceExit {
  vcpu.stat.signalExits++;
  vcpu.signalPending = false;
  vcpu.userspace = { reason: 'INTR' };
  return leaveToUserspace(vcpu);
}

function leaveToUserspace(vcpu: Vcpu): UserspaceExit {
  const exit = vcpu.userspace;
  if (exit === null) throw new Error(`${vcpu.name} returned to userspace without saying why`);
  vcpu.load.put();
  vcpu.cpu.charge(COST.userspaceReturn);
  return exit;
}

/** vcpu_enter_guest() up to the entry: null to enter, else what to do instead. */
function prepareEntry(vcpu: Vcpu): Disposition | null {
  const { cpu, requests } = vcpu;
  if (vcpu.directTimer !== null) vcpu.directTimer.timer.flushHwstate();
  if (vcpu.lapic.timer.lazy.stale) vcpu.lapic.timer.lazy.refresh();
  if (requests.pending) {
    serviceRequests(vcpu);
    if (requests.check(KVM_REQ.APF_HALT)) {
      vcpu.pv.asyncPf.halted = true;
      return CONTINUE;
    }
    if (requests.check(KVM_REQ.STEAL_UPDATE)) vcpu.pv.stealTime.record();
    if (requests.check(KVM_REQ.SMI)) return refuseSmi(vcpu);
    if (requests.check(KVM_REQ.APF_READY)) vcpu.pv.asyncPf.checkCompletion();
    if (requests.check(KVM_REQ.EVENT)) {
      vcpu.stat.reqEvent++;
      vcpu.lapic.events.accept();
      if (vcpu.mpState !== 'runnable') return CONTINUE;
      checkAndInjectEvents(vcpu);
      if (vcpu.lapic.enabled) vcpu.pv.eoi.syncToGuest();
    }
  }

  cpu.disablePreemption();
  cpu.charge(COST.guestSwitch);
  cpu.disableInterrupts();
  vcpu.mode = VCPU_MODE.IN_GUEST;
  cpu.charge(COST.srcu);
  if (vcpu.apicv !== null) vcpu.apicv.syncPirToIrr();
  if (exitRequested(vcpu)) {
    vcpu.mode = VCPU_MODE.OUTSIDE_GUEST;
    cpu.enableInterrupts();
    cpu.enablePreemption();
    cpu.charge(COST.srcu);
    cancelInjection(vcpu);
    if (vcpu.pv.eoi.pending) vcpu.pv.eoi.syncFromGuest();
    return CONTINUE;
  }
  return null;
}

/** vcpu_enter_guest() from the exit to its handler. */
function finishExit(vcpu: Vcpu, reason: number): Fastpath {
  const { cpu } = vcpu;
  cpu.charge(COST.guestSwitch);
  vcpu.leftGuestAt = cpu.now;
  vcpu.mode = VCPU_MODE.OUTSIDE_GUEST;
  const completion = handleExitIrqoff(vcpu, reason);
  // Interrupts that became due meanwhile are taken in this window.
  cpu.charge(COST.interruptWindow);
  cpu.enableInterrupts();
  cpu.enablePreemption();
  cpu.charge(COST.srcu);
  if (vcpu.pv.eoi.pending) vcpu.pv.eoi.syncFromGuest();
  cpu.charge(COST.exitDispatch);
  return completion;
}

/** kvm_vcpu_exit_request(): something came up between the service of requests and the entry. */
function exitRequested(vcpu: Vcpu): boolean {
  if (vcpu.mode === VCPU_MODE.EXITING_GUEST || vcpu.requests.pending) return true;
  return vcpu.cpu.needResched || mustReturn(vcpu);
}

/** Between two entries of the inner loop: what was posted is synced, and nobody wants the outer loop. */
function mayReenter(vcpu: Vcpu): boolean {
  if (vcpu.apicv !== null) vcpu.apicv.syncPirToIrr();
  return !exitRequested(vcpu);
}

/** The requests that are serviced before anything else; EVENT follows, UNBLOCK is the outer loop's. */
function serviceRequests(vcpu: Vcpu): void {
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

/** vmx_vcpu_run(), up to the entry. Returns the host position at which the preemption timer ends guest mode; Infinity: never. */
function vmxEnter(vcpu: Vcpu): number {
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
  if (timer.expiredTscdeadline === 0n) return;
  if (apicv !== null && apicv.active) {
    if (timer.isRequested) cpu.now += timer.waitLapicExpire(timer.vector);
  } else if (interrupt.injected) cpu.now += timer.waitLapicExpire(interrupt.vector);
}

/**
 * Guest mode: returns the reason of the exit; AHEAD when this CPU must settle before it goes on, BUDGET when only the
 * host's step is over. Either way the guest has not noticed, and the next call goes on.
 */
function vmxRun(vcpu: Vcpu, timerEnd: number): ExitReason {
  const { cpu, guest, vm: { host } } = vcpu; // prettier-ignore
  if (cpu.guestHalt !== RUNS) leaveGuestHalt(vcpu);
  const horizon = host.horizon(cpu);
  const quantumEnd = horizon + host.quantum;
  const end = Math.min(cpu.events.next, timerEnd, quantumEnd, host.stopAt, cpu.now + STEP_UNITS);
  let reason: ExitReason = EXIT.BUDGET;
  if (end > cpu.now) {
    // Both fit 32 bits; as integers they travel without a box.
    reason = guest.enter((end - cpu.now) | 0, Math.max(Math.min(horizon, end) - cpu.now, -1) | 0);
    cpu.now += guest.used;
    host.stepUnits += guest.used;
    if (reason === EXIT.HLT && !guest.controls.hltExiting) return haltInGuest(vcpu, timerEnd);
    if (reason !== EXIT.BUDGET && reason !== EXIT.AHEAD) return reason;
  }
  // Of both at once the preemption timer goes first (SDM vol. 3, 25.5.1).
  if (cpu.now >= timerEnd) return EXIT.PREEMPTION_TIMER;
  if (cpu.interruptPending && !isPostedOnly(vcpu)) return EXIT.EXTERNAL_INTERRUPT;
  return cpu.now >= quantumEnd ? EXIT.AHEAD : reason;
}

/** vmx_vcpu_run(), from the exit on: the trace, and what became of the injected event. */
function vmxExit(vcpu: Vcpu, reason: ExitReason): void {
  vcpu.vm.host.stepExits++;
  if (reason !== EXIT.STOPPED) {
    vcpu.stat.exits++;
    vcpu.stat.byReason[reason]++;
  }
  if (vcpu.directTimer !== null) vcpu.directTimer.exit();
  if (vcpu.probes.active) traceExit(vcpu, reason);
  completeInterrupts(vcpu);
}

/**
 * vmx_handle_exit_irqoff(): the interrupt that ended guest mode, acknowledged by the exit, is handled while interrupts are
 * still off. SVM leaves it pending: it is taken in the window that follows.
 */
function handleExitIrqoff(vcpu: Vcpu, reason: number): Fastpath {
  if (reason === EXIT.EXTERNAL_INTERRUPT) {
    if (!vcpu.svm) vcpu.cpu.takeInterrupts();
    vcpu.atInstructionBoundary = true;
  }
  return fastpathIrqoff(vcpu, reason);
}

/** The fast path, and for whoever listens what it did. */
function fastpathExplained(vcpu: Vcpu, reason: ExitReason): Fastpath {
  if (!vcpu.probes.active || reason === EXIT.STOPPED) return fastpathInRun(vcpu, reason);
  const exit = describedExit(vcpu, reason);
  const code = exitedCode(vcpu);
  const { tsc } = vcpu.guest.state;
  vcpu.action = '';
  const fastpath = fastpathInRun(vcpu, reason);
  if (fastpath === FASTPATH.NONE) return fastpath;
  const action = `${vcpu.action} (fast path)`;
  vcpu.probes.fire('exit_handled', { vcpu: vcpu.id, tsc, exit, code, action }, vcpu.cpu.now);
  return fastpath;
}

/** vmx_handle_exit(). */
function handleExit(vcpu: Vcpu, reason: number, fastpath: Fastpath): Disposition {
  const { cpu, probes } = vcpu;
  if (fastpath === FASTPATH.EXIT_HANDLED) return CONTINUE;
  if (vcpu.fastVmexit) {
    vcpu.fastVmexit = false;
    return CONTINUE;
  }
  if (reason === EXIT.STOPPED) {
    const { what, hint } = vcpu.guest.stopped!;
    vcpu.userspace = { reason: 'INTERNAL_ERROR', what, hint };
    return TO_USERSPACE;
  }
  const handler = handlerOf(reason, fastpath);
  if (!probes.active) return handler(vcpu);

  const exit = describedExit(vcpu, reason as ExitReason);
  const code = exitedCode(vcpu);
  const { tsc } = vcpu.guest.state;
  vcpu.action = '';
  const disposition = handler(vcpu);
  probes.fire('exit_handled', { vcpu: vcpu.id, tsc, exit, code, action: vcpu.action }, cpu.now);
  return disposition;
}

/** The handler of a reason, unless a fast path has left it nothing but the instruction to step over. */
function handlerOf(reason: number, fastpath: Fastpath): ExitHandler {
  if (fastpath === FASTPATH.SKIP_EMUL_INS) return skipTraced;
  return reason === NEED_SKIP_EMULATED_INSN ? skipUntraced : EXIT_HANDLERS[reason]!;
}
const skipTraced: ExitHandler = (vcpu) => finishEarlyWrite(vcpu, true);
const skipUntraced: ExitHandler = (vcpu) => finishEarlyWrite(vcpu, false);
