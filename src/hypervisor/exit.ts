// The way out of the guest: vmx_vcpu_run() behind the exit, vcpu_enter_guest() from there to the exit's handler, and the call of
// the handler (Linux 6.16 arch/x86/kvm/x86.c, vmx/vmx.c). What single exits mean is in exits/. The host's own interrupts are
// handled first, then the exit. Its reason travels by value.

import { EXIT, type ExitReason } from '../cpu/exit.ts';
import { COST } from '../host/costs.ts';
import { CONTINUE, TO_USERSPACE, type Disposition, type ExitHandler } from './exits/handler.ts';
import { EXIT_HANDLERS } from './exits/table.ts';
import {
  FASTPATH,
  fastpathInRun,
  fastpathIrqoff,
  finishEarlyWrite,
  NEED_SKIP_EMULATED_INSN,
  type Fastpath,
} from './fastpath.ts';
import { completeInterrupts } from './inject.ts';
import { describedExit, exitedCode, traceExit } from './runTrace.ts';
import { VCPU_MODE, type Vcpu } from './vcpu.ts';

/** vmx_vcpu_run(), from the exit on: the trace, and what became of the injected event. */
export function vmxExit(vcpu: Vcpu, reason: ExitReason): void {
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

/** vcpu_enter_guest() from the exit to its handler. */
export function finishExit(vcpu: Vcpu, reason: number): Fastpath {
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

/** The fast path, and for whoever listens what it did. */
export const fastpathExplained = (vcpu: Vcpu, reason: ExitReason): Fastpath =>
  vcpu.probes.active && reason !== EXIT.STOPPED ? explainFastpath(vcpu, reason) : fastpathInRun(vcpu, reason);

function explainFastpath(vcpu: Vcpu, reason: ExitReason): Fastpath {
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
export function handleExit(vcpu: Vcpu, reason: number, fastpath: Fastpath): Disposition {
  if (fastpath === FASTPATH.EXIT_HANDLED) return CONTINUE;
  if (vcpu.fastVmexit) {
    vcpu.fastVmexit = false;
    return CONTINUE;
  }
  if (reason === EXIT.STOPPED) return reportStop(vcpu);
  const handler = handlerOf(reason, fastpath);
  return vcpu.probes.active ? explainHandler(vcpu, reason, handler) : handler(vcpu);
}

function reportStop(vcpu: Vcpu): Disposition {
  const { what, hint } = vcpu.guest.stopped!;
  vcpu.userspace = { reason: 'INTERNAL_ERROR', what, hint };
  return TO_USERSPACE;
}

/** Calls a handler, and tells whoever listens what it did. */
function explainHandler(vcpu: Vcpu, reason: number, handler: ExitHandler): Disposition {
  const { cpu, probes } = vcpu;
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
