// Xen's CPUID leaves (Xen public/arch-x86/cpuid.h). They are the VMM's, as KVM has them; only the conversion from TSC to time is
// KVM's to fill in (kvm_xen_update_tsc_info). They come first, and KVM's own leaves 0x100 behind them.

import type { CpuidResult } from '../../cpu/features.ts';
import { timeScale } from '../pv/timeScale.ts';

/** What a VMM has Xen's leaves say. */
export interface XenCpuid {
  readonly version: { readonly major: number; readonly minor: number };
  /** Where the guest asks for its hypercall page. */
  readonly msr: number;
  readonly domainId: number;
}

export const XEN_CPUID = { BASE: 0x4000_0000, VERSION: 1, HYPERCALL: 2, TIME: 3, HVM: 4 } as const;
/** "XenVMMXenVMM" in EBX, ECX, EDX. */
export const XEN_SIGNATURE = { ebx: 0x566e6558, ecx: 0x65584d4d, edx: 0x4d4d566e } as const;
/** EAX of the HVM leaf. */
export const XEN_HVM_FEATURE = { X2APIC_VIRT: 1 << 1, VCPU_ID: 1 << 3, DOMID: 1 << 4, UPCALL_VECTOR: 1 << 6 } as const;

const NS_PER_S = 1_000_000_000n;
const NOTHING: CpuidResult = { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/** Each leaf's answer, by its number behind the base. */
export function xenLeaves(
  { version, msr, domainId }: XenCpuid,
  tscKhz: number,
): ((subleaf: number, vcpu: number) => CpuidResult)[] {
  const { multiplier, shift } = timeScale(NS_PER_S, BigInt(tscKhz) * 1000n);
  const { X2APIC_VIRT, VCPU_ID, DOMID, UPCALL_VECTOR } = XEN_HVM_FEATURE;
  const time = [
    { eax: 0, ebx: 0, ecx: tscKhz, edx: 0 },
    { eax: 0, ebx: 0, ecx: multiplier, edx: shift >>> 0 },
    { eax: tscKhz, ebx: 0, ecx: 0, edx: 0 },
  ];
  return [
    () => ({ eax: XEN_CPUID.BASE + XEN_CPUID.HVM, ...XEN_SIGNATURE }),
    () => ({ ...NOTHING, eax: ((version.major << 16) | version.minor) >>> 0 }),
    () => ({ eax: 1, ebx: msr, ecx: 0, edx: 0 }),
    (subleaf) => time[subleaf] ?? NOTHING,
    (subleaf, vcpu) =>
      subleaf === 0
        ? { eax: X2APIC_VIRT | VCPU_ID | DOMID | UPCALL_VECTOR, ebx: vcpu, ecx: domainId, edx: 0 }
        : NOTHING,
  ];
}
