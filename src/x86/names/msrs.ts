// Model-specific registers of the architecture (SDM vol. 4, chapter 2): index by name and name by index. KVM's and Xen's
// paravirtual MSRs are named by the hypervisor.

export const MSR = {
  TSC: 0x10,
  APIC_BASE: 0x1b,
  FEATURE_CONTROL: 0x3a,
  TSC_ADJUST: 0x3b,
  SPEC_CTRL: 0x48,
  PRED_CMD: 0x49,
  /** Microcode revision. */
  BIOS_SIGN_ID: 0x8b,
  /** Longest wait of UMWAIT and TPAUSE, and whether C0.2 is allowed (SDM vol. 3, 10.9). */
  UMWAIT_CONTROL: 0xe1,
  MPERF: 0xe7,
  APERF: 0xe8,
  MTRRCAP: 0xfe,
  ARCH_CAPABILITIES: 0x10a,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  MCG_CAP: 0x179,
  MCG_STATUS: 0x17a,
  MISC_ENABLE: 0x1a0,
  /** Page attribute table: eight memory types. */
  PAT: 0x277,
  MTRR_DEF_TYPE: 0x2ff,
  /** Absolute guest TSC at which the local APIC timer fires, in TSC-deadline mode. */
  TSC_DEADLINE: 0x6e0,
  XSS: 0xda0,
  EFER: 0xc0000080,
  /** Selectors of SYSCALL (bits 32 to 47) and SYSRET (48 to 63). */
  STAR: 0xc0000081,
  /** RIP of SYSCALL in 64-bit mode. */
  LSTAR: 0xc0000082,
  CSTAR: 0xc0000083,
  /** RFLAGS bits that SYSCALL clears. */
  FMASK: 0xc0000084,
  FS_BASE: 0xc0000100,
  GS_BASE: 0xc0000101,
  /** What SWAPGS exchanges with GS_BASE. */
  KERNEL_GS_BASE: 0xc0000102,
  /** What RDTSCP and RDPID return in ECX. */
  TSC_AUX: 0xc0000103,
} as const;

/** The page attribute table after reset: write-back, write-through, uncached-minus, uncached, twice (SDM vol. 3, 11.12.4). */
export const PAT_RESET = 0x0007040600070406n;

/** MSRs of the local APIC in x2APIC mode: 0x800 + (xAPIC register offset >> 4) (SDM vol. 3, table 11-6). */
export const X2APIC_MSR = {
  ID: 0x802,
  VERSION: 0x803,
  TPR: 0x808,
  PPR: 0x80a,
  EOI: 0x80b,
  LDR: 0x80d,
  SIVR: 0x80f,
  /** In-service: eight registers of 32 vectors. */
  ISR0: 0x810, ISR1: 0x811, ISR2: 0x812, ISR3: 0x813, ISR4: 0x814, ISR5: 0x815, ISR6: 0x816, ISR7: 0x817,
  /** Trigger mode: set for level-triggered. */
  TMR0: 0x818, TMR1: 0x819, TMR2: 0x81a, TMR3: 0x81b, TMR4: 0x81c, TMR5: 0x81d, TMR6: 0x81e, TMR7: 0x81f,
  /** Interrupt request. */
  IRR0: 0x820, IRR1: 0x821, IRR2: 0x822, IRR3: 0x823, IRR4: 0x824, IRR5: 0x825, IRR6: 0x826, IRR7: 0x827,
  ESR: 0x828,
  LVT_CMCI: 0x82f,
  /** Interrupt command: destination in the upper half. */
  ICR: 0x830,
  LVT_TIMER: 0x832,
  LVT_THERMAL: 0x833,
  LVT_PMI: 0x834,
  LVT_LINT0: 0x835,
  LVT_LINT1: 0x836,
  LVT_ERROR: 0x837,
  /** Initial count. */
  TMICT: 0x838,
  /** Current count. */
  TMCCT: 0x839,
  /** Divide configuration. */
  TDCR: 0x83e,
  SELF_IPI: 0x83f,
} as const; // prettier-ignore

/** The range of MSR indices that address the local APIC in x2APIC mode. */
export const X2APIC_FIRST = 0x800;
export const X2APIC_LAST = 0x8ff;

/** IA32_APIC_BASE (SDM vol. 3, 11.4.4). */
export const APIC_BASE = {
  /** This is the bootstrap processor. */
  BSP: 1n << 8n,
  /** x2APIC mode. */
  EXTD: 1n << 10n,
  /** xAPIC global enable. */
  EN: 1n << 11n,
  ADDRESS: 0xffffff000n,
  DEFAULT_ADDRESS: 0xfee00000n,
} as const;

const names = new Map<number, string>();
for (const [name, index] of Object.entries(MSR)) names.set(index, `MSR_${name}`);
for (const [name, index] of Object.entries(X2APIC_MSR)) names.set(index, `X2APIC_${name}`);

/** The name of an architectural MSR, such as `MSR_TSC_DEADLINE` or `X2APIC_ICR`; undefined when the index is not one. */
export const msrName = (index: number): string | undefined => names.get(index);
