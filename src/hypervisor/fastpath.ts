// Exits that are done with before the host's interrupts are on again: vmx_exit_handlers_fastpath and what it calls (Linux 6.16
// arch/x86/kvm/vmx/vmx.c, x86.c). Nothing here may sleep, touch guest memory that might not be there, or take a lock that does.

import { EXIT, type ExitReason } from '../cpu/exit.ts';
import { joinWords } from '../cpu/words.ts';
import { COST } from '../host/costs.ts';
import { GPR } from '../x86/names/registers.ts';
import { MSR, X2APIC_MSR } from '../x86/names/msrs.ts';
import { emulateHalt } from './exits/halt.ts';
import { CONTINUE, say, skipInstruction, type Disposition } from './exits/handler.ts';
import { handlePreemptionTimer } from './exits/time.ts';
import { describeMsrWrite } from './exits/msrAction.ts';
import { sendIpiEarly } from './ipiFastpath.ts';
import { NONE } from './lapic/priority.ts';
import type { Vcpu } from './vcpu.ts';

/** enum exit_fastpath_completion: what is left to do. */
export const FASTPATH = {
  /** Everything: the slow path handles the exit. */
  NONE: 0,
  /** Back into the guest, interrupts still off. */
  REENTER_GUEST: 1,
  /** The exit is done; the outer loop runs. */
  EXIT_HANDLED: 2,
  /** The slow path has only to step over the instruction (the name of 5.6). */
  SKIP_EMUL_INS: 3,
} as const;
export type Fastpath = (typeof FASTPATH)[keyof typeof FASTPATH];

/** vmx_exit_handlers_fastpath(). */
export function exitHandlersFastpath(vcpu: Vcpu, reason: ExitReason): Fastpath {
  switch (reason) {
    case EXIT.MSR_WRITE:
      return fastpathSetMsr(vcpu);
    case EXIT.PREEMPTION_TIMER:
      handlePreemptionTimer(vcpu);
      return FASTPATH.REENTER_GUEST;
    case EXIT.HLT:
      return emulateHalt(vcpu) ? FASTPATH.REENTER_GUEST : FASTPATH.EXIT_HANDLED;
    default:
      return FASTPATH.NONE;
  }
}

/** handle_fastpath_set_msr_irqoff(): ICR, and the deadline where the preemption timer carries it. */
function fastpathSetMsr(vcpu: Vcpu): Fastpath {
  const { state } = vcpu.guest;
  const index = state.gpr32(GPR.RCX);
  if (index === X2APIC_MSR.ICR) {
    if (!sendIpiEarly(vcpu, 'reenter')) return FASTPATH.NONE;
  } else if (index === MSR.TSC_DEADLINE && vcpu.lapic.timer.canUseHvTimer) {
    vcpu.lapic.timer.setLapicTscdeadlineMsr(joinWords(state.gpr32(GPR.RAX), state.gpr32(GPR.RDX)));
  } else return FASTPATH.NONE;
  finishEarlyWrite(vcpu, true);
  return FASTPATH.REENTER_GUEST;
}

/** What a design does in vmx_vcpu_run, right behind the exit. Those of 2019 know no way back into the guest from here. */
export function fastpathInRun(vcpu: Vcpu, reason: ExitReason): Fastpath {
  const design = vcpu.vm.params.fastpath;
  if (design === 'reenter') return exitHandlersFastpath(vcpu, reason);
  return design === 'v1' ? fastpathV1(vcpu, reason) : FASTPATH.NONE;
}

function fastpathV1(vcpu: Vcpu, reason: ExitReason): Fastpath {
  vcpu.fastVmexit = reason === EXIT.MSR_WRITE && sendIpiEarly(vcpu, 'v1');
  if (vcpu.fastVmexit) finishEarlyWrite(vcpu, false);
  return FASTPATH.NONE;
}

/** A reason that is none of the processor's: the exit is handled, its instruction is still to be stepped over. */
export const NEED_SKIP_EMULATED_INSN = -0x100;

/** The reason that the rest of the exit is told, which the design `fake-reason` overloads. */
export function reasonAfterRun(vcpu: Vcpu, reason: ExitReason): number {
  if (vcpu.vm.params.fastpath !== 'fake-reason' || reason !== EXIT.MSR_WRITE) return reason;
  return sendIpiEarly(vcpu, 'fake-reason') ? NEED_SKIP_EMULATED_INSN : reason;
}

/** What a design does in handle_exit_irqoff. */
export function fastpathIrqoff(vcpu: Vcpu, reason: number): Fastpath {
  const design = vcpu.vm.params.fastpath;
  if (design !== 'irqoff' && design !== 'all-icr') return FASTPATH.NONE;
  return reason === EXIT.MSR_WRITE ? sendIpiIrqoff(vcpu, design) : FASTPATH.NONE;
}

function sendIpiIrqoff(vcpu: Vcpu, design: 'irqoff' | 'all-icr'): Fastpath {
  // The reason and its qualification are read once more than where the processor has just left.
  vcpu.cpu.charge(COST.vmread);
  vcpu.cpu.charge(COST.vmread);
  const sent = sendIpiEarly(vcpu, design);
  return sent && design === 'irqoff' ? FASTPATH.SKIP_EMUL_INS : FASTPATH.NONE;
}

/** What every early WRMSR ends with: the instruction is stepped over, and the write counted and traced. */
export function finishEarlyWrite(vcpu: Vcpu, traced: boolean): Disposition {
  const { state } = vcpu.guest;
  const index = state.gpr32(GPR.RCX);
  vcpu.cpu.charge(COST.srcu);
  vcpu.cpu.charge(COST.srcu);
  vcpu.stat.msrWrites.add(index);
  skipInstruction(vcpu);
  if (traced && vcpu.probes.active) {
    const value = joinWords(state.gpr32(GPR.RAX), state.gpr32(GPR.RDX));
    vcpu.probes.fire('kvm_msr', { vcpu: vcpu.id, write: true, index, value, fault: false }, vcpu.cpu.now);
    say(vcpu, describeMsrWrite(vcpu, index, value, NONE));
  }
  return CONTINUE;
}
