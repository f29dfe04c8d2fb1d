// Models of processors, as data: how they call themselves, and which features they offer. No model offers what trapline does
// not execute; a feature comes by itself with the last of its instructions.

import type { CpuidFeature } from '../x86/names/cpuid.ts';
import { ROWS } from '../x86/rows.ts';

/** A processor model: identification, and the features it offers by name. */
export interface CpuModel {
  readonly vendor: string;
  readonly brand: string;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  readonly features: readonly CpuidFeature[];
  /** QEMU's kvm=off: CPUID does not say that KVM is there. A guest that knows both takes Xen only then. */
  readonly kvm?: false;
}

/* prettier-ignore */
/**
 * What every x86-64 processor has. FPU to SSE2 cannot be absent in 64-bit mode (LFENCE and MFENCE belong to SSE2), so those of
 * their instructions that are not executed yet stop the machine by name and raise no #UD.
 */
const BASELINE: readonly CpuidFeature[] = [
  'FPU', 'DE', 'PSE', 'TSC', 'MSR', 'PAE', 'CX8', 'APIC', 'SEP', 'PGE', 'CMOV', 'PAT', 'PSE36', 'MMX', 'FXSR', 'SSE', 'SSE2',
  'SYSCALL', 'NX', 'LM',
];

/* prettier-ignore */
/** What no instruction is needed for: paging, interrupts, time, the speed of others. */
const PLATFORM: readonly CpuidFeature[] = [
  'MCE', 'MCA', 'MTRR', 'PCID', 'X2APIC', 'TSC_DEADLINE', 'HYPERVISOR', 'TSC_ADJUST', 'SMEP', 'SMAP', 'UMIP', 'ERMS', 'FSRM', 'LAHF_LM', 'PAGE1GB',
  'INVARIANT_TSC', 'ZERO_FCS_FDS',
];

/* prettier-ignore */
/**
 * What is offered as soon as trapline executes every instruction of it. Not MONITOR: its MWAIT would be KVM's, a NOP, and
 * KVM does not offer it either.
 */
const EXTENSIONS: readonly CpuidFeature[] = [
  'CX16', 'MOVBE', 'POPCNT', 'CLFLUSH', 'FSGSBASE', 'BMI1', 'BMI2', 'INVPCID', 'ADX', 'RDPID', 'LZCNT', 'PREFETCHW', 'RDTSCP',
  'CLFLUSHOPT', 'CLWB', 'CLDEMOTE', 'MOVDIRI', 'MOVDIR64B', 'SERIALIZE', 'WBNOINVD', 'RDRAND', 'RDSEED', 'WAITPKG',
];

/** Whether trapline executes every instruction of a feature. */
const isExecuted = (feature: CpuidFeature): boolean =>
  ROWS.every((row) => row.cpuid !== feature || row.semantics !== undefined || row.microcode !== undefined);

/** A Skylake server: the hosts that the published figures come from. */
const SKYLAKE_SERVER = { vendor: 'GenuineIntel', family: 6, model: 85, stepping: 4 } as const;

/** Everything that trapline executes, whatever processor had it first. */
export const MAX_MODEL: CpuModel = {
  ...SKYLAKE_SERVER,
  brand: 'trapline virtual processor',
  features: [...BASELINE, ...PLATFORM, ...EXTENSIONS.filter(isExecuted)],
};

/* prettier-ignore */
/** What came later than Skylake. */
const LATER: ReadonlySet<CpuidFeature> = new Set([
  'UMIP', 'FSRM', 'RDPID', 'CLDEMOTE', 'MOVDIRI', 'MOVDIR64B', 'SERIALIZE', 'WBNOINVD', 'WAITPKG',
]);

/** The models by the names users write. */
export const CPU_MODELS = {
  max: MAX_MODEL,
  skylake: {
    ...SKYLAKE_SERVER,
    brand: 'Intel Xeon Processor (Skylake)',
    features: MAX_MODEL.features.filter((feature) => !LATER.has(feature)),
  },
  /** QEMU's model of that name, without what trapline does not execute of it. */
  qemu64: {
    vendor: 'AuthenticAMD',
    brand: 'QEMU Virtual CPU version 2.5+',
    family: 15,
    model: 107,
    stepping: 1,
    features: [...BASELINE, 'MCE', 'MCA', 'MTRR', 'X2APIC', 'HYPERVISOR', 'LAHF_LM', 'CX16', 'CLFLUSH'],
  },
  /** The least that a kernel for KVM can expect: 64-bit mode, and the local APIC with its deadline timer. */
  minimal: {
    vendor: 'GenuineIntel',
    brand: 'trapline minimal processor',
    family: 6,
    model: 15,
    stepping: 1,
    features: [...BASELINE, 'X2APIC', 'TSC_DEADLINE', 'HYPERVISOR', 'INVARIANT_TSC', 'LAHF_LM', 'CX16', 'CLFLUSH'],
  },
} as const satisfies Record<string, CpuModel>;
export type CpuModelName = keyof typeof CPU_MODELS;
export const isCpuModel = (name: string): name is CpuModelName => Object.hasOwn(CPU_MODELS, name);
