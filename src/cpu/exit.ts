// VM exits: why a processor left guest mode, as data. Numbers and names are VMX basic exit reasons (SDM vol. 3, appendix C);
// negative reasons are trapline's own and are no VM exits: nothing counts, traces or costs them.

export const EXIT = {
  EXCEPTION_NMI: 0,
  EXTERNAL_INTERRUPT: 1,
  TRIPLE_FAULT: 2,
  INTERRUPT_WINDOW: 7,
  NMI_WINDOW: 8,
  CPUID: 10,
  HLT: 12,
  INVD: 13,
  INVLPG: 14,
  RDPMC: 15,
  RDTSC: 16,
  VMCALL: 18,
  CR_ACCESS: 28,
  DR_ACCESS: 29,
  IO_INSTRUCTION: 30,
  MSR_READ: 31,
  MSR_WRITE: 32,
  MWAIT_INSTRUCTION: 36,
  MONITOR_INSTRUCTION: 39,
  PAUSE_INSTRUCTION: 40,
  TPR_BELOW_THRESHOLD: 43,
  EOI_INDUCED: 45,
  EPT_VIOLATION: 48,
  EPT_MISCONFIG: 49,
  RDTSCP: 51,
  PREEMPTION_TIMER: 52,
  WBINVD: 54,
  XSETBV: 55,
  APIC_WRITE: 56,
  /** The budget is used up: exactly that many units were executed. */
  BUDGET: -1,
  /** An instruction that observes time stands past the horizon: run again when this CPU is the one furthest behind. */
  AHEAD: -2,
  /** Something that trapline does not implement, named in `processor.stopped`. */
  STOPPED: -3,
  /** An exit was served in place (code/calls.ts), up to where whoever serves it knows. */
  SERVED: -4,
} as const;

export type ExitName = keyof typeof EXIT;
export type ExitReason = (typeof EXIT)[ExitName];

/** How guest physical memory was touched by the access that exited. */
export interface MemoryAccess {
  readonly gva: bigint;
  readonly gpa: bigint;
  readonly access: 'read' | 'write' | 'fetch';
}

/** What every exit carries: where it happened and how long the instruction is (0 when no instruction caused it). */
export interface ExitPlace {
  readonly rip: bigint;
  readonly length: number;
}

/** Where code is found and how it is to be read: RIP alone does not say, outside 64-bit mode. */
export interface CodePlace {
  readonly linear: bigint;
  /** The default operand size of 16- and 32-bit code. */
  readonly bits: 16 | 32 | 64;
}

/** An exception or other event that could not be delivered. */
export interface FailedEvent {
  readonly vector: number;
  readonly errorCode: number | null;
}

/** How a triple fault came about. */
export interface TripleFault {
  /** The event whose delivery failed first: its exception is what the guest did wrong to begin with. */
  readonly first: FailedEvent;
  /** What the delivery of the double fault raised. */
  readonly last: FailedEvent;
  /** Address of the last page fault. */
  readonly cr2: bigint;
}

/** An exit as a discriminated union: handle it exhaustively. */
export type Exit = ExitPlace &
  (
    | { readonly reason: 'EXCEPTION_NMI'; readonly vector: number; readonly errorCode: number | null }
    | { readonly reason: 'EXTERNAL_INTERRUPT' | 'INTERRUPT_WINDOW' | 'NMI_WINDOW' | 'PREEMPTION_TIMER' }
    | ({ readonly reason: 'TRIPLE_FAULT' } & TripleFault)
    | { readonly reason: 'CPUID'; readonly leaf: number; readonly subleaf: number }
    | { readonly reason: 'HLT' | 'INVD' | 'RDPMC' | 'RDTSC' | 'RDTSCP' | 'VMCALL' | 'PAUSE_INSTRUCTION' | 'WBINVD' }
    | { readonly reason: 'MWAIT_INSTRUCTION' | 'MONITOR_INSTRUCTION' | 'XSETBV' }
    | { readonly reason: 'INVLPG'; readonly gva: bigint }
    | { readonly reason: 'TPR_BELOW_THRESHOLD' }
    | { readonly reason: 'EOI_INDUCED'; readonly vector: number }
    /** `offset`: of the register in the APIC page. */
    | { readonly reason: 'APIC_WRITE'; readonly offset: number }
    | {
        readonly reason: 'CR_ACCESS';
        readonly cr: number;
        readonly access: 'write' | 'read' | 'clts' | 'lmsw';
        readonly gpr: number;
        readonly value: bigint;
      }
    | { readonly reason: 'DR_ACCESS'; readonly dr: number; readonly access: 'write' | 'read'; readonly gpr: number }
    | {
        readonly reason: 'IO_INSTRUCTION';
        readonly port: number;
        readonly size: 1 | 2 | 4;
        readonly direction: 'in' | 'out';
        /** `out`: the value written; `in`: 0. */
        readonly value: number;
      }
    | { readonly reason: 'MSR_READ'; readonly index: number }
    | { readonly reason: 'MSR_WRITE'; readonly index: number; readonly value: bigint }
    | ({ readonly reason: 'EPT_VIOLATION' } & MemoryAccess)
    | ({
        readonly reason: 'EPT_MISCONFIG';
        /** Bytes of this fragment, 1 to 8. */
        readonly size: number;
        /** Writes: the value written; reads: 0. */
        readonly value: bigint;
      } & MemoryAccess)
  );
