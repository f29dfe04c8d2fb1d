// CPUID feature flags (SDM vol. 2, CPUID): where each stands. A row's `cpuid` is one of these names.

export type CpuidRegister = 'eax' | 'ebx' | 'ecx' | 'edx';
export interface FeatureBit {
  readonly leaf: number;
  readonly subleaf: number;
  readonly register: CpuidRegister;
  readonly bit: number;
}

/** CPUID leaves that have a name. */
export const CPUID_LEAF = {
  VENDOR: 0,
  FEATURES: 1,
  MONITOR: 5,
  EXTENDED_FEATURES: 7,
  /** Cores and threads, enumerated by subleaf. */
  TOPOLOGY: 0xb,
  XSAVE: 0xd,
  /** TSC to crystal ratio. */
  TSC: 0x15,
  FREQUENCY: 0x16,
  EXTENDED_MAX: 0x80000000,
  EXTENDED: 0x80000001,
  BRAND: 0x80000002,
  ADVANCED_POWER: 0x80000007,
  ADDRESS_SIZES: 0x80000008,
} as const;

const at =
  (leaf: number, subleaf: number, register: CpuidRegister) =>
  (bit: number): FeatureBit => ({
    leaf,
    subleaf,
    register,
    bit,
  });
const leaf1c = at(1, 0, 'ecx');
const leaf1d = at(1, 0, 'edx');
const leaf7b = at(7, 0, 'ebx');
const leaf7c = at(7, 0, 'ecx');
const leaf7d = at(7, 0, 'edx');
const leaf7s1a = at(7, 1, 'eax');
const leaf7s1d = at(7, 1, 'edx');
const leafDs1a = at(0xd, 1, 'eax');
const leaf14b = at(0x14, 0, 'ebx');
const leaf19b = at(0x19, 0, 'ebx');
const ext1c = at(0x80000001, 0, 'ecx');
const ext1d = at(0x80000001, 0, 'edx');
const ext7d = at(0x80000007, 0, 'edx');
const ext8b = at(0x80000008, 0, 'ebx');

/* prettier-ignore */
export const CPUID_FEATURE = {
  // Leaf 1, ECX
  SSE3: leaf1c(0), PCLMULQDQ: leaf1c(1), MONITOR: leaf1c(3), VMX: leaf1c(5), SMX: leaf1c(6), SSSE3: leaf1c(9), FMA: leaf1c(12),
  CX16: leaf1c(13), PDCM: leaf1c(15), PCID: leaf1c(17), SSE4_1: leaf1c(19), SSE4_2: leaf1c(20), X2APIC: leaf1c(21), MOVBE: leaf1c(22),
  POPCNT: leaf1c(23), TSC_DEADLINE: leaf1c(24), AES: leaf1c(25), XSAVE: leaf1c(26), OSXSAVE: leaf1c(27), AVX: leaf1c(28),
  F16C: leaf1c(29), RDRAND: leaf1c(30), HYPERVISOR: leaf1c(31),
  // Leaf 1, EDX
  FPU: leaf1d(0), VME: leaf1d(1), DE: leaf1d(2), PSE: leaf1d(3), TSC: leaf1d(4), MSR: leaf1d(5), PAE: leaf1d(6), MCE: leaf1d(7),
  CX8: leaf1d(8), APIC: leaf1d(9), SEP: leaf1d(11), MTRR: leaf1d(12), PGE: leaf1d(13), MCA: leaf1d(14), CMOV: leaf1d(15),
  PAT: leaf1d(16), PSE36: leaf1d(17), CLFLUSH: leaf1d(19), MMX: leaf1d(23), FXSR: leaf1d(24), SSE: leaf1d(25), SSE2: leaf1d(26),
  SS: leaf1d(27), HTT: leaf1d(28),
  // Leaf 7
  FSGSBASE: leaf7b(0), TSC_ADJUST: leaf7b(1), SGX: leaf7b(2), BMI1: leaf7b(3), HLE: leaf7b(4), AVX2: leaf7b(5), SMEP: leaf7b(7),
  BMI2: leaf7b(8), ERMS: leaf7b(9), INVPCID: leaf7b(10), RTM: leaf7b(11), ZERO_FCS_FDS: leaf7b(13), MPX: leaf7b(14), AVX512F: leaf7b(16), AVX512DQ: leaf7b(17),
  RDSEED: leaf7b(18), ADX: leaf7b(19), SMAP: leaf7b(20), AVX512_IFMA: leaf7b(21), CLFLUSHOPT: leaf7b(23), CLWB: leaf7b(24),
  AVX512CD: leaf7b(28), SHA: leaf7b(29), AVX512BW: leaf7b(30), AVX512VL: leaf7b(31),
  AVX512_VBMI: leaf7c(1), UMIP: leaf7c(2), PKU: leaf7c(3), OSPKE: leaf7c(4), WAITPKG: leaf7c(5), AVX512_VBMI2: leaf7c(6),
  CET_SS: leaf7c(7), GFNI: leaf7c(8), VAES: leaf7c(9), VPCLMULQDQ: leaf7c(10), AVX512_VNNI: leaf7c(11), AVX512_BITALG: leaf7c(12),
  AVX512_VPOPCNTDQ: leaf7c(14), LA57: leaf7c(16), RDPID: leaf7c(22), KL: leaf7c(23), CLDEMOTE: leaf7c(25), MOVDIRI: leaf7c(27),
  MOVDIR64B: leaf7c(28), ENQCMD: leaf7c(29), PKS: leaf7c(31),
  FSRM: leaf7d(4), UINTR: leaf7d(5), SERIALIZE: leaf7d(14), TSXLDTRK: leaf7d(16), PCONFIG: leaf7d(18), CET_IBT: leaf7d(20),
  AMX_BF16: leaf7d(22), AVX512_FP16: leaf7d(23), AMX_TILE: leaf7d(24), AMX_INT8: leaf7d(25), ARCH_CAPABILITIES: leaf7d(29),
  SHA512: leaf7s1a(0), SM3: leaf7s1a(1), SM4: leaf7s1a(2), RAO_INT: leaf7s1a(3), AVX_VNNI: leaf7s1a(4), AVX512_BF16: leaf7s1a(5),
  CMPCCXADD: leaf7s1a(7), FRED: leaf7s1a(17), LKGS: leaf7s1a(18), WRMSRNS: leaf7s1a(19), AMX_FP16: leaf7s1a(21), HRESET: leaf7s1a(22), AVX_IFMA: leaf7s1a(23),
  LAM: leaf7s1a(26), MSRLIST: leaf7s1a(27), AVX_VNNI_INT8: leaf7s1d(4), AVX_NE_CONVERT: leaf7s1d(5), AMX_COMPLEX: leaf7s1d(8),
  AVX_VNNI_INT16: leaf7s1d(10),
  // Other basic leaves
  XSAVEOPT: leafDs1a(0), XSAVEC: leafDs1a(1), XGETBV1: leafDs1a(2), XSAVES: leafDs1a(3), PTWRITE: leaf14b(4), AESKLE: leaf19b(0),
  WIDE_KL: leaf19b(2),
  // Extended leaves
  LAHF_LM: ext1c(0), SVM: ext1c(2), LZCNT: ext1c(5), SSE4A: ext1c(6), PREFETCHW: ext1c(8), SKINIT: ext1c(12), XOP: ext1c(11),
  LWP: ext1c(15), FMA4: ext1c(16), TBM: ext1c(21), MONITORX: ext1c(29),
  SYSCALL: ext1d(11), NX: ext1d(20), MMXEXT: ext1d(22), PAGE1GB: ext1d(26), RDTSCP: ext1d(27), LM: ext1d(29), THREEDNOWEXT: ext1d(30),
  THREEDNOW: ext1d(31),
  INVARIANT_TSC: ext7d(8), CLZERO: ext8b(0), RDPRU: ext8b(4), MCOMMIT: ext8b(8), WBNOINVD: ext8b(9), INVLPGB: ext8b(3),
} as const satisfies Record<string, FeatureBit>;

export type CpuidFeature = keyof typeof CPUID_FEATURE;
