// What a CPU offers to its guest: the CPUID features by name, and the width of its physical addresses. The hypervisor derives
// it from the CPUID leaves that it answers; microcode asks it which bits are reserved and which instructions exist.

import { CPUID_FEATURE, CPUID_LEAF, type CpuidFeature, type CpuidRegister } from '../x86/names/cpuid.ts';
import { MAXPHYADDR } from '../x86/names/paging.ts';

export interface Features {
  has(feature: CpuidFeature): boolean;
  /** MAXPHYADDR: bits of a guest physical address. */
  readonly physicalAddressBits: number;
  /** Where vendors differ, as AMD's processors do. Default: as Intel's. */
  readonly isAmd?: boolean;
}

/** One answer of CPUID, as unsigned 32-bit numbers. */
export type CpuidResult = Readonly<Record<CpuidRegister, number>>;

export const DEFAULT_PHYSICAL_ADDRESS_BITS = MAXPHYADDR;

/** A CPU that offers the features named. */
export function featuresOf(
  names: Iterable<CpuidFeature>,
  physicalAddressBits = DEFAULT_PHYSICAL_ADDRESS_BITS,
  isAmd = false,
): Features {
  const offered = new Set(names);
  return { has: (feature) => offered.has(feature), physicalAddressBits, isAmd };
}

/** "AuthenticAMD" in EBX, EDX, ECX. */
const AMD = { ebx: 0x6874_7541, edx: 0x6974_6e65, ecx: 0x444d_4163 } as const;

/** The features that a CPUID table says are there. */
export function featuresFromCpuid(
  cpuid: (leaf: number, subleaf: number) => CpuidResult,
  physicalAddressBits = DEFAULT_PHYSICAL_ADDRESS_BITS,
): Features {
  const offered = (Object.keys(CPUID_FEATURE) as CpuidFeature[]).filter((name) => {
    const { leaf, subleaf, register, bit } = CPUID_FEATURE[name];
    return ((cpuid(leaf, subleaf)[register] >>> bit) & 1) === 1;
  });
  const { ebx, ecx, edx } = cpuid(CPUID_LEAF.VENDOR, 0);
  const isAmd = ebx === AMD.ebx && ecx === AMD.ecx && edx === AMD.edx;
  return featuresOf(offered, physicalAddressBits, isAmd);
}
