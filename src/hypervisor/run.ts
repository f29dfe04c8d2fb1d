// KVM_RUN: the outer loop (vcpu_run), one entry (vcpu_enter_guest) and its VMX half (vmx_vcpu_run), step by step in KVM's
// order (Linux 6.16 arch/x86/kvm/x86.c, vmx/vmx.c). The way in is in entry.ts, the way out in exit.ts, what single exits mean
// in exits/, how a vCPU blocks in block.ts.
//
// Theory: the vCPU's thread runs until userspace is needed. An entry services requests, injects events, turns interrupts
// off, says IN_GUEST and only then looks for a reason not to enter; whoever makes a request after that kicks, and the kick
// ends guest mode. RESCHED is KVM's own schedule(), after which the vCPU may be on another CPU. Two yields belong to the model:
// SETTLE, until this CPU is the one furthest behind, so that handlers see and do things in the order of time; and SLICE, which
// only lets `Host.step` return. Neither changes what happens. Each yield is a named point at which the loop can be entered anew
// (runPoint.ts). Between two of them everything is plain functions, which leave in `place.point` how far they have come. So
// an exit can be served where it happens, while generated code waits for the call to return (`serveExit`): what is done, in
// which order and at what time is the same, only the way back out of WebAssembly and in again is saved.

import { EXIT, type ExitReason } from '../cpu/exit.ts';
import { COST } from '../host/costs.ts';
import { RUNS } from '../host/cpu.ts';
import { RESCHED, SETTLE, SLICE, STEP_UNITS } from '../host/host.ts';
import type { Sleep, SleepRequest } from '../host/sleep.ts';
import { vcpuBlock } from './block.ts';
import { mayReenter, mustReturn, prepareEntry, vmxEnter } from './entry.ts';
import { fastpathExplained, finishExit, handleExit, vmxExit } from './exit.ts';
import { CONTINUE, TO_USERSPACE, type Disposition } from './exits/handler.ts';
import { FASTPATH, reasonAfterRun, type Fastpath } from './fastpath.ts';
import { KVM_REQ } from './requests.ts';
import { RUN_POINT, type RunPoint } from './runPoint.ts';
import { traceCompletion } from './runTrace.ts';
import type { UserspaceExit } from './userspace.ts';
import { NO_PAGE, type Vcpu } from './vcpu.ts';
import { injectPendingEvents } from './xen/evtchn.ts';
import { haltInGuest, isPostedOnly, leaveGuestHalt } from './vmx/nonRoot.ts';
import { completeXenHypercall } from './xen/hypercall.ts';

/**
 * KVM_RUN: runs the guest until userspace has something to do, and says what. `from`: the point at which a thread that was
 * made anew goes on, with what `vcpu.place` says.
 */
export function* vcpuRun(vcpu: Vcpu, from: RunPoint = RUN_POINT.START): Sleep<UserspaceExit> {
  const { place } = vcpu;
  if (from === RUN_POINT.START) start(vcpu);
  for (;;) {
    // A generator for each entry would be the dearest part of an exit: there is one only for a vCPU that has to wait.
    let entered = from >= RUN_POINT.GUEST;
    let disposition: Disposition = CONTINUE;
    if (from === RUN_POINT.POLLING || from === RUN_POINT.BLOCKED) disposition = yield* vcpuBlock(vcpu, from);
    else if (!entered) {
      vcpu.atInstructionBoundary = false;
      if (!isRunning(vcpu)) disposition = yield* vcpuBlock(vcpu);
      else if (vcpu.awaitsPage !== NO_PAGE) disposition = yield* bringPageIn(vcpu);
      else {
        disposition = enterGuest(vcpu);
        entered = place.point === RUN_POINT.GUEST;
      }
    }
    if (entered) {
      for (let pause = advance(vcpu); pause !== null; pause = advance(vcpu)) yield pause;
      disposition = place.disposition;
    }
    from = RUN_POINT.LOOP;
    if (disposition === TO_USERSPACE) return leaveToUserspace(vcpu);
    betweenEntries(vcpu);
    if (mustReturn(vcpu)) return leaveBySignal(vcpu);
    if (vcpu.cpu.needResched) {
      place.point = RUN_POINT.LOOP;
      yield RESCHED;
    }
  }
}

/** KVM_RUN begins: what the last one returned with was served. */
function start(vcpu: Vcpu): void {
  vcpu.load.load();
  if (vcpu.probes.active) traceCompletion(vcpu);
  if (vcpu.xen !== null) completeXenHypercall(vcpu);
  vcpu.userspace = null;
}

const isRunning = (vcpu: Vcpu): boolean => vcpu.mpState === 'runnable' && !vcpu.pv.asyncPf.halted;

/** What vcpu_run() does between two calls of vcpu_enter_guest(). */
function betweenEntries(vcpu: Vcpu): void {
  const { requests, xen, lapic: { timer } } = vcpu; // prettier-ignore
  requests.clear(KVM_REQ.UNBLOCK);
  if (xen !== null) {
    injectPendingEvents(vcpu);
    xen.timer.injectTimerIrqs();
  }
  if (timer.hasPendingTimer()) timer.injectApicTimerIrqs();
}

/** Up to the entry. It stands in guest mode afterwards (`place.point`), unless something came up. */
function enterGuest(vcpu: Vcpu): Disposition {
  const { place } = vcpu;
  place.point = RUN_POINT.LOOP;
  const disposition = prepareEntry(vcpu);
  if (disposition !== null) return disposition;
  place.timerEnd = vmxEnter(vcpu);
  place.point = RUN_POINT.GUEST;
  return CONTINUE;
}

/** From `place.point`, in guest mode or behind, to the end of the exit's handler; or to a point at which the thread waits: for what. */
function advance(vcpu: Vcpu): SleepRequest | null {
  const { place } = vcpu;
  for (;;) {
    let pause = place.point === RUN_POINT.GUEST ? runGuest(vcpu) : null;
    if (pause === null && place.point >= RUN_POINT.EXITED) pause = serve(vcpu);
    if (pause !== null) return pause;
    if (place.point === RUN_POINT.LOOP) return null;
  }
}

/** Guest mode, up to an exit. */
function runGuest(vcpu: Vcpu): SleepRequest | null {
  let reason = vmxRun(vcpu);
  while ((reason === EXIT.AHEAD || reason === EXIT.BUDGET) && mayGoOn(vcpu)) reason = vmxRun(vcpu);
  if (reason === EXIT.AHEAD) return SETTLE;
  if (reason === EXIT.BUDGET) return SLICE;
  return reason === EXIT.SERVED ? vcpu.place.pause : exited(vcpu, reason);
}

/** Nobody is behind who would do anything, and the step is not over. */
const mayGoOn = ({ cpu, vm: { host } }: Vcpu): boolean =>
  cpu.guestHalt === RUNS && cpu.now < host.stopAt && !host.stepIsOver && !host.mustSettle(cpu);

/** The processor has left the guest. */
function exited({ place, cpu, vm: { host } }: Vcpu, reason: ExitReason): SleepRequest | null {
  place.point = RUN_POINT.EXITED;
  place.reason = reason;
  cpu.charge(COST.vmExit);
  if (host.mustSettle(cpu)) return SETTLE;
  return host.stepIsOver ? SLICE : null;
}

/** From an exit to the end of its handler, or back into the guest where a fast path has handled it and nobody asks for more. */
function serve(vcpu: Vcpu): SleepRequest | null {
  const { place, cpu } = vcpu;
  if (place.point === RUN_POINT.EXITED) {
    const reason = place.reason as ExitReason;
    vmxExit(vcpu, reason);
    let fastpath = fastpathExplained(vcpu, reason);
    if (fastpath === FASTPATH.REENTER_GUEST) {
      if (mayReenter(vcpu)) {
        place.timerEnd = vmxEnter(vcpu);
        place.point = RUN_POINT.GUEST;
        return null;
      }
      fastpath = FASTPATH.EXIT_HANDLED;
    }
    place.reason = reasonAfterRun(vcpu, reason);
    const completion = finishExit(vcpu, place.reason);
    place.fastpath = fastpath === FASTPATH.NONE ? completion : fastpath;
    place.point = RUN_POINT.HANDLING;
    // Handlers read the guest's clock: they must not see a time that somebody still has before them.
    if (vcpu.vm.host.mustSettle(cpu)) return SETTLE;
  }
  place.disposition = handleExit(vcpu, place.reason, place.fastpath as Fastpath);
  place.point = RUN_POINT.LOOP;
  return null;
}

/**
 * Serves an exit while generated code waits at its instruction, up to the next entry. True: the guest goes on at once. Else
 * its thread has something to do first, and goes on where `place` says when guest mode has been left with SERVED.
 */
export function serveExit(vcpu: Vcpu, reason: ExitReason): boolean {
  const { place, recurrence, guest } = vcpu;
  account(vcpu);
  if (reason === EXIT.AHEAD) return settles(vcpu);
  recurrence.begin(reason);
  place.pause = exited(vcpu, reason) ?? serve(vcpu);
  if (place.pause !== null) return false;
  if (place.point === RUN_POINT.LOOP && !entersAgain(vcpu)) return false;
  guest.trip = recurrence.end();
  return grant(vcpu);
}

/** An instruction that waits in generated code observes time beyond the horizon: what `runGuest` does, if it may do so by now. */
function settles(vcpu: Vcpu): boolean {
  const { place, guest } = vcpu;
  const reason = dueOr(vcpu, EXIT.AHEAD);
  guest.trip = null;
  place.pause = null;
  if (reason !== EXIT.AHEAD) place.pause = exited(vcpu, reason);
  else if (!mayGoOn(vcpu)) place.pause = SETTLE;
  else if (grant(vcpu)) {
    permitSettling(vcpu);
    return true;
  }
  return false;
}

/** The same again while the others go on to spin, without asking here. */
function permitSettling(vcpu: Vcpu): void {
  const { cpu, guest, vm: { host } } = vcpu; // prettier-ignore
  const until = host.settlesUntil(cpu) - cpu.now;
  if (until >= 0) guest.settling.permit(until, host.leadOver(cpu), host.quantum, nextEnd(vcpu) - cpu.now);
}

/** The outer loop from a handler's end to the next entry, as far as it is one without a wait. */
function entersAgain(vcpu: Vcpu): boolean {
  const { place } = vcpu;
  // Before anything is done that the outer loop would do again.
  if (!isRunning(vcpu) || vcpu.awaitsPage !== NO_PAGE) return false;
  if (place.disposition === TO_USERSPACE) {
    if (!returnsAtOnce(vcpu)) return false;
  } else {
    if (mustReturn(vcpu) || vcpu.cpu.needResched) return false;
    betweenEntries(vcpu);
  }
  vcpu.atInstructionBoundary = false;
  place.disposition = enterGuest(vcpu);
  return place.point === RUN_POINT.GUEST;
}

/** KVM_RUN returns and is called again, where userspace serves the access with nobody before it. False: not here, or never. */
function returnsAtOnce(vcpu: Vcpu): boolean {
  const { userspace, place, cpu, vm: { host } } = vcpu; // prettier-ignore
  if (vcpu.serveAccess === null || userspace === null || vcpu.directTimer !== null) return false;
  if (userspace.reason !== 'IO' && userspace.reason !== 'MMIO') return false;
  if (cpu.now + cpu.costOf(COST.userspaceReturn) > host.horizon(cpu)) return false;
  leaveToUserspace(vcpu);
  if (vcpu.serveAccess(userspace)) {
    start(vcpu);
    return true;
  }
  // The machine has ended, and its threads with it.
  place.pause = SLICE;
  return false;
}

/** The rest of a page fault, which may sleep: the page is there when the guest tries again. */
function* bringPageIn(vcpu: Vcpu): Sleep<Disposition> {
  const page = vcpu.awaitsPage;
  vcpu.awaitsPage = NO_PAGE;
  yield* vcpu.vm.swap!.bringIn(page);
  return CONTINUE;
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

/**
 * Guest mode: returns the reason of the exit; AHEAD when this CPU must settle before it goes on, BUDGET when only the
 * host's step is over. Either way the guest has not noticed, and the next call goes on.
 */
function vmxRun(vcpu: Vcpu): ExitReason {
  const { cpu, guest, place, vm: { host } } = vcpu; // prettier-ignore
  if (cpu.guestHalt !== RUNS) leaveGuestHalt(vcpu);
  guest.trip = null;
  let reason: ExitReason = EXIT.BUDGET;
  if (grant(vcpu)) {
    reason = guest.run();
    account(vcpu);
    if (reason === EXIT.HLT && !guest.controls.hltExiting) return haltInGuest(vcpu, place.timerEnd);
    if (reason !== EXIT.BUDGET && reason !== EXIT.AHEAD) return reason;
  }
  reason = dueOr(vcpu, reason);
  return reason === EXIT.BUDGET && cpu.now >= host.horizon(cpu) + host.quantum ? EXIT.AHEAD : reason;
}

/** What ends guest mode here whatever the guest does, or `reason`. Of both at once the preemption timer goes first (SDM vol. 3, 25.5.1). */
function dueOr(vcpu: Vcpu, reason: ExitReason): ExitReason {
  const { cpu, place } = vcpu;
  if (cpu.now >= place.timerEnd) return EXIT.PREEMPTION_TIMER;
  return cpu.interruptPending && !isPostedOnly(vcpu) ? EXIT.EXTERNAL_INTERRUPT : reason;
}

/** Most of the units of a guest whose exits recur are theirs, and no work: it may use more of them at a time. */
const RECURRING_UNITS = 4 * STEP_UNITS;

/** The next position at which something may end guest mode, whatever other CPUs do. */
function nextEnd({ cpu, guest, place, recurrence, vm: { host } }: Vcpu): number {
  const most = guest.trip === null ? STEP_UNITS : RECURRING_UNITS;
  return Math.min(cpu.events.next, recurrence.grant(place.timerEnd), host.stopAt, cpu.now + most);
}

/** Enters, with the units up to the next thing that may end guest mode; false: there are none. */
function grant(vcpu: Vcpu): boolean {
  const { cpu, guest, vm: { host } } = vcpu; // prettier-ignore
  const horizon = host.horizon(cpu);
  const end = Math.min(nextEnd(vcpu), horizon + host.quantum);
  if (end <= cpu.now) return false;
  // Both fit 32 bits; as integers they travel without a box.
  guest.grant((end - cpu.now) | 0, Math.max(Math.min(horizon, end) - cpu.now, -1) | 0);
  return true;
}

/** The time that the guest has used since it was entered, and the exits that recurred in it. */
function account({ cpu, guest, recurrence, vm: { host } }: Vcpu): void {
  const { recurred, used } = guest;
  const settled = guest.settling.take();
  if (settled >= 0) host.bringUp(cpu, cpu.now + settled);
  recurrence.account(recurred, guest.recurredAt);
  cpu.now += used;
  host.stepUnits += used;
}
