// MSRs of the platform that kernels read on their way: what KVM answers, most often a constant, so that they go on (Linux 6.16
// arch/x86/kvm/x86.c kvm_get_msr_common and kvm_set_msr_common, vmx/vmx.c). AMD's are there for every vendor, as in KVM.

import { K7_EVNTSEL0, K7_PERFCTR0, MSR } from '../../x86/names/msrs.ts';
import { constant, kept, named, type MsrRecord } from './record.ts';

/** Microcode revision 1.0, in the upper half. */
const MICROCODE_REVISION = 1n << 32n;

/** IA32_MISC_ENABLE (SDM vol. 4, table 2-2). */
const MISC_ENABLE = { FAST_STRING: 1n, EMON: 1n << 7n, BTS_UNAVAIL: 1n << 11n, PEBS_UNAVAIL: 1n << 12n } as const;
/** As QEMU leaves it: fast strings, and no PMU behind it. */
const MISC_ENABLE_RESET = MISC_ENABLE.FAST_STRING | MISC_ENABLE.BTS_UNAVAIL | MISC_ENABLE.PEBS_UNAVAIL;

/** Bits that say that something is absent cannot be changed; that of the performance monitor keeps its value. */
const miscEnable = named(MSR.MISC_ENABLE, {
  reset: MISC_ENABLE_RESET,
  saved: true,
  read: ({ keptMsrs }) => keptMsrs.get(MSR.MISC_ENABLE) ?? MISC_ENABLE_RESET,
  write: ({ keptMsrs }, value, hostInitiated) => {
    const old = keptMsrs.get(MSR.MISC_ENABLE) ?? MISC_ENABLE_RESET;
    let next = value;
    if (!hostInitiated) {
      if (((old ^ value) & (MISC_ENABLE.BTS_UNAVAIL | MISC_ENABLE.PEBS_UNAVAIL)) !== 0n) return false;
      next = (value & ~MISC_ENABLE.EMON) | (old & MISC_ENABLE.EMON);
    }
    keptMsrs.set(MSR.MISC_ENABLE, next);
    return true;
  },
});

/** IA32_FEATURE_CONTROL without any of its features: the lock, which cannot be opened again. */
const FEATURE_CONTROL_LOCKED = 1n;
const featureControl = kept(MSR.FEATURE_CONTROL, 0n, (value, { keptMsrs }, hostInitiated) => {
  if ((value & ~FEATURE_CONTROL_LOCKED) !== 0n) return false;
  return hostInitiated || keptMsrs.get(MSR.FEATURE_CONTROL) !== FEATURE_CONTROL_LOCKED;
});

/** IA32_DEBUGCTL: LBR and BTF, which are not there, may be written and stay 0; nothing else may. */
const DEBUGCTL_LBR_BTF = 3n;
const debugctl = named(MSR.DEBUGCTL, {
  reset: 0n,
  saved: true,
  read: () => 0n,
  write: (_, value) => (value & ~DEBUGCTL_LBR_BTF) === 0n,
});

/** MSR_PLATFORM_INFO: CPUID can be made to fault outside CPL 0. Only a VMM writes it. */
const PLATFORM_INFO_CPUID_FAULT = 1n << 31n;
const CPUID_FAULT = 1n;
const platformInfo = kept(
  MSR.PLATFORM_INFO,
  PLATFORM_INFO_CPUID_FAULT,
  (_value, _vcpu, hostInitiated) => hostInitiated,
);
const miscFeatures = kept(MSR.MISC_FEATURES_ENABLES, 0n, (value) => (value & ~CPUID_FAULT) === 0n);

/** HWCR: three bits are ignored (0x148), McStatusWrEn and TscFreqSel are kept, others refused. */
const HWCR_IGNORED = 0x148n;
const HWCR_KEPT = (1n << 18n) | (1n << 24n);
const hwcr = named(MSR.K7_HWCR, {
  reset: 0n,
  saved: true,
  read: ({ keptMsrs }) => keptMsrs.get(MSR.K7_HWCR) ?? 0n,
  write: ({ keptMsrs }, value) => {
    const next = value & ~HWCR_IGNORED;
    if ((next & ~HWCR_KEPT) !== 0n) return false;
    keptMsrs.set(MSR.K7_HWCR, next);
    return true;
  },
});

/** A bus of 100 MHz, for a Pentium 4 that asks. */
const EBC_FREQUENCY = 1n << 24n;
/** A multiplier that old kernels divide by. */
const PERF_STATUS = 1000n | (4n << 40n);
/** The level-2 cache is enabled, and has been configured. */
const BBL_CR_CTL3 = 0xbe702111n;

const writeOnly = (index: number): MsrRecord =>
  named(index, { reset: 0n, saved: false, read: () => null, write: () => true });

/** Counters of processors without architectural ones: KVM without a PMU reads 0 and ignores writes. */
const counters = [MSR.P6_PERFCTR0, MSR.P6_PERFCTR1, MSR.P6_EVNTSEL0, MSR.P6_EVNTSEL1].concat(
  ...([0, 1, 2, 3].map((i): number[] => [K7_EVNTSEL0 + i, K7_PERFCTR0 + i]) as never[]),
);

/* prettier-ignore */
export const PLATFORM_MSRS: readonly MsrRecord[] = [
  miscEnable, featureControl, debugctl, platformInfo, miscFeatures, hwcr,
  kept(MSR.POWER_CTL, 0n),
  constant(MSR.BIOS_SIGN_ID, MICROCODE_REVISION, 'ignored'), writeOnly(MSR.BIOS_UPDT_TRIG),
  // No system management mode: no interrupt has been counted.
  constant(MSR.SMI_COUNT, 0n),
  constant(MSR.PLATFORM_ID, 0n), constant(MSR.EBL_CR_POWERON, 0n), constant(MSR.EBC_FREQUENCY_ID, EBC_FREQUENCY),
  constant(MSR.BBL_CR_CTL3, BBL_CR_CTL3, 'ignored'),
  constant(MSR.PERF_STATUS, PERF_STATUS), constant(MSR.PERF_CTL, 0n),
  constant(MSR.LASTBRANCHFROMIP, 0n), constant(MSR.LASTBRANCHTOIP, 0n),
  constant(MSR.LASTINTFROMIP, 0n), constant(MSR.LASTINTTOIP, 0n),
  constant(MSR.RAPL_POWER_UNIT, 0n), constant(MSR.PKG_ENERGY_STATUS, 0n), constant(MSR.DRAM_ENERGY_STATUS, 0n),
  constant(MSR.PP0_ENERGY_STATUS, 0n), constant(MSR.PP1_ENERGY_STATUS, 0n),
  constant(MSR.AMD64_SYSCFG, 0n), constant(MSR.K8_INT_PENDING_MSG, 0n),
  constant(MSR.K8_TSEG_ADDR, 0n), constant(MSR.K8_TSEG_MASK, 0n),
  constant(MSR.FAM10H_MMIO_CONF_BASE, 0n, 'zero'),
  constant(MSR.AMD64_NB_CFG, 0n, 'ignored'), constant(MSR.VM_HSAVE_PA, 0n, 'ignored'),
  constant(MSR.AMD64_BU_CFG2, 0n, 'ignored'), constant(MSR.AMD64_DC_CFG, 0n, 'ignored'),
  constant(MSR.AMD64_TW_CFG, 0n, 'ignored'), constant(MSR.F15H_EX_CFG, 0n, 'ignored'),
  writeOnly(MSR.AMD64_PATCH_LOADER),
  ...counters.map((index) => constant(index, 0n, 'ignored')),
];

/** cpuid_fault_enabled(). */
export const cpuidFaults = ({ keptMsrs }: { readonly keptMsrs: ReadonlyMap<number, bigint> }): boolean =>
  (keptMsrs.get(MSR.MISC_FEATURES_ENABLES) ?? 0n) === CPUID_FAULT;
