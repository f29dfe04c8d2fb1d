// Model-specific registers of the architecture (SDM vol. 4, chapter 2): index by name and name by index. KVM's and Xen's
// paravirtual MSRs are named by the hypervisor.

export const MSR = {
  P5_MC_ADDR: 0x0,
  P5_MC_TYPE: 0x1,
  TSC: 0x10,
  PLATFORM_ID: 0x17,
  APIC_BASE: 0x1b,
  EBL_CR_POWERON: 0x2a,
  EBC_FREQUENCY_ID: 0x2c,
  SMI_COUNT: 0x34,
  FEATURE_CONTROL: 0x3a,
  TSC_ADJUST: 0x3b,
  SPEC_CTRL: 0x48,
  PRED_CMD: 0x49,
  /** Microcode update trigger. */
  BIOS_UPDT_TRIG: 0x79,
  /** Microcode revision. */
  BIOS_SIGN_ID: 0x8b,
  P6_PERFCTR0: 0xc1,
  P6_PERFCTR1: 0xc2,
  PLATFORM_INFO: 0xce,
  /** Longest wait of UMWAIT and TPAUSE, and whether C0.2 is allowed (SDM vol. 3, 10.9). */
  UMWAIT_CONTROL: 0xe1,
  MPERF: 0xe7,
  APERF: 0xe8,
  MTRRCAP: 0xfe,
  ARCH_CAPABILITIES: 0x10a,
  FLUSH_CMD: 0x10b,
  BBL_CR_CTL3: 0x11e,
  MISC_FEATURES_ENABLES: 0x140,
  SYSENTER_CS: 0x174,
  SYSENTER_ESP: 0x175,
  SYSENTER_EIP: 0x176,
  MCG_CAP: 0x179,
  MCG_STATUS: 0x17a,
  MCG_CTL: 0x17b,
  P6_EVNTSEL0: 0x186,
  P6_EVNTSEL1: 0x187,
  PERF_STATUS: 0x198,
  PERF_CTL: 0x199,
  MISC_ENABLE: 0x1a0,
  DEBUGCTL: 0x1d9,
  LASTBRANCHFROMIP: 0x1db,
  LASTBRANCHTOIP: 0x1dc,
  LASTINTFROMIP: 0x1dd,
  LASTINTTOIP: 0x1de,
  POWER_CTL: 0x1fc,
  /** Page attribute table: eight memory types. */
  PAT: 0x277,
  MTRR_DEF_TYPE: 0x2ff,
  RAPL_POWER_UNIT: 0x606,
  PKG_ENERGY_STATUS: 0x611,
  DRAM_ENERGY_STATUS: 0x619,
  PP0_ENERGY_STATUS: 0x639,
  PP1_ENERGY_STATUS: 0x641,
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
  AMD64_SYSCFG: 0xc0010010,
  K7_HWCR: 0xc0010015,
  AMD64_NB_CFG: 0xc001001f,
  AMD64_PATCH_LOADER: 0xc0010020,
  K8_INT_PENDING_MSG: 0xc0010055,
  FAM10H_MMIO_CONF_BASE: 0xc0010058,
  K8_TSEG_ADDR: 0xc0010112,
  K8_TSEG_MASK: 0xc0010113,
  VM_HSAVE_PA: 0xc0010117,
  AMD64_DC_CFG: 0xc0011022,
  AMD64_TW_CFG: 0xc0011023,
  AMD64_BU_CFG2: 0xc001102a,
  F15H_EX_CFG: 0xc001102c,
} as const;

/** Memory type range registers (SDM vol. 3, 12.11.2): the fixed ranges, and pairs of base and mask for the variable ones. */
export const MTRR = {
  PHYSBASE0: 0x200,
  FIX64K_00000: 0x250,
  FIX16K_80000: 0x258,
  FIX16K_A0000: 0x259,
  /** The first of eight. */
  FIX4K_C0000: 0x268,
} as const;

/** Machine-check bank i has four registers from MC0_CTL + 4 * i on: CTL, STATUS, ADDR, MISC (SDM vol. 3, 16.3.2). */
export const MC0_CTL = 0x400;

/** AMD's performance counters of the K7, four of each. */
export const K7_EVNTSEL0 = 0xc0010000;
export const K7_PERFCTR0 = 0xc0010004;

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
const VARIABLE_RANGES = 8;
const MC_BANKS = 32;
for (let i = 0; i < VARIABLE_RANGES; i++) {
  names.set(MTRR.PHYSBASE0 + 2 * i, `MSR_MTRR_PHYSBASE${i}`);
  names.set(MTRR.PHYSBASE0 + 2 * i + 1, `MSR_MTRR_PHYSMASK${i}`);
}
for (const [name, index] of Object.entries(MTRR).slice(1)) names.set(index, `MSR_MTRR_${name}`);
for (let i = 1; i < 8; i++)
  names.set(MTRR.FIX4K_C0000 + i, `MSR_MTRR_FIX4K_${(0xc0000 + i * 0x8000).toString(16).toUpperCase()}`);
for (let i = 0; i < MC_BANKS; i++) {
  for (const [at, name] of ['CTL', 'STATUS', 'ADDR', 'MISC'].entries())
    names.set(MC0_CTL + 4 * i + at, `MSR_MC${i}_${name}`);
}
for (let i = 0; i < 4; i++) {
  names.set(K7_EVNTSEL0 + i, `MSR_K7_EVNTSEL${i}`);
  names.set(K7_PERFCTR0 + i, `MSR_K7_PERFCTR${i}`);
}
for (const [name, index] of Object.entries(MSR)) names.set(index, `MSR_${name}`);
for (const [name, index] of Object.entries(X2APIC_MSR)) names.set(index, `X2APIC_${name}`);

/** The name of an architectural MSR, such as `MSR_TSC_DEADLINE` or `X2APIC_ICR`; undefined when the index is not one. */
export const msrName = (index: number): string | undefined => names.get(index);
