// Which handler takes which exit: kvm_vmx_exit_handlers. Exhaustive by its type.

import { EXIT } from '../../cpu/exit.ts';
import { handleApicWrite, handleEoiInduced, handleTprBelowThreshold } from './apic.ts';
import { handleCrAccess } from './controlRegister.ts';
import { handleCpuid } from './cpuid.ts';
import { handleEptMisconfig, handleEptViolation } from './ept.ts';
import { handleExceptionNmi } from './exception.ts';
import { handleHalt, handlePause } from './halt.ts';
import type { ExitHandler, VmxExitName } from './handler.ts';
import { handleVmcall } from './hypercall.ts';
import { handleIo } from './io.ts';
import { handleMsrRead, handleMsrWrite } from './msr.ts';
import { handleCacheFlush, handleMonitorMwait, handleXsetbv } from './system.ts';
import { handlePreemptionTimer, handleRdpmc, handleRdtsc, handleRdtscp } from './time.ts';
import { handleTripleFault, unexpected } from './unexpected.ts';
import { handleExternalInterrupt, handleInterruptWindow, handleNmiWindow } from './window.ts';

const HANDLERS: Readonly<Record<VmxExitName, ExitHandler>> = {
  EXCEPTION_NMI: handleExceptionNmi,
  EXTERNAL_INTERRUPT: handleExternalInterrupt,
  TRIPLE_FAULT: handleTripleFault,
  INTERRUPT_WINDOW: handleInterruptWindow,
  NMI_WINDOW: handleNmiWindow,
  CPUID: handleCpuid,
  HLT: handleHalt,
  INVD: handleCacheFlush,
  INVLPG: unexpected('INVLPG'),
  RDPMC: handleRdpmc,
  RDTSC: handleRdtsc,
  VMCALL: handleVmcall,
  CR_ACCESS: handleCrAccess,
  DR_ACCESS: unexpected('access to a debug register'),
  IO_INSTRUCTION: handleIo,
  MSR_READ: handleMsrRead,
  MSR_WRITE: handleMsrWrite,
  MWAIT_INSTRUCTION: handleMonitorMwait,
  MONITOR_INSTRUCTION: handleMonitorMwait,
  PAUSE_INSTRUCTION: handlePause,
  TPR_BELOW_THRESHOLD: handleTprBelowThreshold,
  EOI_INDUCED: handleEoiInduced,
  EPT_VIOLATION: handleEptViolation,
  EPT_MISCONFIG: handleEptMisconfig,
  RDTSCP: handleRdtscp,
  PREEMPTION_TIMER: handlePreemptionTimer,
  WBINVD: handleCacheFlush,
  XSETBV: handleXsetbv,
  APIC_WRITE: handleApicWrite,
};

/** The handlers by basic exit reason. */
export const EXIT_HANDLERS: readonly ExitHandler[] = Object.entries(HANDLERS).reduce<ExitHandler[]>(
  (table, [name, handler]) => {
    table[EXIT[name as VmxExitName]] = handler;
    return table;
  },
  Array.from({ length: 1 + Math.max(...Object.values(EXIT)) }, () => unexpected('an unknown reason')),
);
