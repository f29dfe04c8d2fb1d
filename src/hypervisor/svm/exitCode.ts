// What an exit is called on AMD processors: exit codes of the VMCB with their two information fields (AMD64 manual vol. 2,
// 15.12 to 15.25 and appendix C). trapline's processor says what happened in the words of VMX.
//
// Theory: VMX has one reason for a kind of instruction and a qualification for the rest; SVM has a code for each control and
// debug register and direction, one for both directions of MSRs, and one for whatever nested paging could not translate. So
// a number alone means nothing: 32 is WRMSR on one and a read of DR0 on the other.

import type { Exit } from '../../cpu/exit.ts';
import { SVM_EXIT } from '../../x86/names/svm.ts';

/** exit_code, exit_info_1 and exit_info_2 of the VMCB. */
export interface SvmExit {
  readonly code: number;
  readonly info1: bigint;
  readonly info2: bigint;
}

/** Exits that carry nothing. The window for NMIs opens with the IRET that ends one. */
const PLAIN = {
  EXTERNAL_INTERRUPT: SVM_EXIT.INTR,
  INTERRUPT_WINDOW: SVM_EXIT.VINTR,
  NMI_WINDOW: SVM_EXIT.IRET,
  TRIPLE_FAULT: SVM_EXIT.SHUTDOWN,
  CPUID: SVM_EXIT.CPUID,
  HLT: SVM_EXIT.HLT,
  INVD: SVM_EXIT.INVD,
  RDPMC: SVM_EXIT.RDPMC,
  RDTSC: SVM_EXIT.RDTSC,
  RDTSCP: SVM_EXIT.RDTSCP,
  VMCALL: SVM_EXIT.VMMCALL,
  PAUSE_INSTRUCTION: SVM_EXIT.PAUSE,
  WBINVD: SVM_EXIT.WBINVD,
  MWAIT_INSTRUCTION: SVM_EXIT.MWAIT,
  MONITOR_INSTRUCTION: SVM_EXIT.MONITOR,
  XSETBV: SVM_EXIT.XSETBV,
} as const;

/** EXITINFO1 of IOIO: direction, size, and the port in the upper half. */
const IOIO = { IN: 1, SIZE_SHIFT: 4, PORT_SHIFT: 16 };
/** EXITINFO1 of a nested page fault is a page-fault error code; the final address, not a table, was looked for. */
const NPF = { PRESENT: 1n, WRITE: 1n << 1n, USER: 1n << 2n, FETCH: 1n << 4n, FINAL: 1n << 32n };
/** EXITINFO1 of a control register access: a MOV, whose register is in the low bits. */
const CR_MOV = 1n << 63n;

/** Null for what does not exist on AMD: the preemption timer, and exits of APIC virtualisation. */
export function svmExit(exit: Exit): SvmExit | null {
  const of = (code: number, info1: bigint | number = 0, info2 = 0n): SvmExit => ({ code, info1: BigInt(info1), info2 });
  switch (exit.reason) {
    case 'EXCEPTION_NMI':
      return of(SVM_EXIT.EXCP_BASE + exit.vector, exit.errorCode ?? 0);
    case 'MSR_READ':
      return of(SVM_EXIT.MSR, 0);
    case 'MSR_WRITE':
      return of(SVM_EXIT.MSR, 1);
    case 'IO_INSTRUCTION': {
      const direction = exit.direction === 'in' ? IOIO.IN : 0;
      const info = ((exit.port << IOIO.PORT_SHIFT) | (exit.size << IOIO.SIZE_SHIFT) | direction) >>> 0;
      return of(SVM_EXIT.IOIO, info, exit.rip + BigInt(exit.length));
    }
    case 'CR_ACCESS': {
      const read = exit.access === 'read';
      const mov = read || exit.access === 'write' ? CR_MOV | BigInt(exit.gpr) : 0n;
      return of((read ? SVM_EXIT.READ_CR0 : SVM_EXIT.WRITE_CR0) + exit.cr, mov);
    }
    case 'DR_ACCESS':
      return of((exit.access === 'read' ? SVM_EXIT.READ_DR0 : SVM_EXIT.WRITE_DR0) + exit.dr, exit.gpr);
    case 'INVLPG':
      return of(SVM_EXIT.INVLPG, exit.gva);
    case 'EPT_VIOLATION':
      return of(SVM_EXIT.NPF, NPF.FINAL | NPF.USER | accessBits(exit.access), exit.gpa);
    case 'EPT_MISCONFIG':
      // KVM maps MMIO with a reserved bit, so that the entry is found present.
      return of(SVM_EXIT.NPF, NPF.FINAL | NPF.USER | NPF.PRESENT | accessBits(exit.access), exit.gpa);
    case 'PREEMPTION_TIMER':
    case 'TPR_BELOW_THRESHOLD':
    case 'EOI_INDUCED':
    case 'APIC_WRITE':
      return null;
    default:
      return of(PLAIN[exit.reason]);
  }
}

function accessBits(access: 'read' | 'write' | 'fetch'): bigint {
  if (access === 'read') return 0n;
  return access === 'write' ? NPF.WRITE : NPF.FETCH;
}
