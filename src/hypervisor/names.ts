// KVM's paravirtual interface by name: CPUID leaves and feature bits, MSRs, hypercalls, reasons of a return to userspace
// (Linux asm/kvm_para.h, uapi/linux/kvm.h, Documentation/virt/kvm/x86). Architectural names are in src/x86/names.

/** CPUID leaves of the hypervisor. */
export const KVM_CPUID = {
  /** Highest leaf of the range and the signature. */
  SIGNATURE: 0x40000000,
  FEATURES: 0x40000001,
  /** TSC and APIC bus frequency in kHz (a VMware convention that VMMs follow). */
  TIMING: 0x40000010,
} as const;

/** "KVMKVMKVM" and three zero bytes, in EBX, ECX, EDX. */
export const KVM_SIGNATURE = { ebx: 0x4b4d564b, ecx: 0x564b4d56, edx: 0x0000004d } as const;

/** Bits of EAX of KVM_CPUID.FEATURES. */
export const KVM_FEATURE = {
  CLOCKSOURCE: 0,
  NOP_IO_DELAY: 1,
  CLOCKSOURCE2: 3,
  ASYNC_PF: 4,
  STEAL_TIME: 5,
  PV_EOI: 6,
  PV_UNHALT: 7,
  PV_TLB_FLUSH: 9,
  ASYNC_PF_VMEXIT: 10,
  PV_SEND_IPI: 11,
  POLL_CONTROL: 12,
  PV_SCHED_YIELD: 13,
  ASYNC_PF_INT: 14,
  MSI_EXT_DEST_ID: 15,
  HC_MAP_GPA_RANGE: 16,
  MIGRATION_CONTROL: 17,
  /** RFC series of July 2023, never merged; the bit is free upstream. */
  LAZY_TSCDEADLINE: 18,
  CLOCKSOURCE_STABLE_BIT: 24,
} as const;

/** KVM's MSRs. */
export const KVM_MSR = {
  WALL_CLOCK: 0x11,
  SYSTEM_TIME: 0x12,
  WALL_CLOCK_NEW: 0x4b564d00,
  SYSTEM_TIME_NEW: 0x4b564d01,
  ASYNC_PF_EN: 0x4b564d02,
  STEAL_TIME: 0x4b564d03,
  PV_EOI_EN: 0x4b564d04,
  POLL_CONTROL: 0x4b564d05,
  ASYNC_PF_INT: 0x4b564d06,
  ASYNC_PF_ACK: 0x4b564d07,
  MIGRATION_CONTROL: 0x4b564d08,
  /** RFC series of July 2023; free upstream. */
  LAZY_TSCDEADLINE: 0x4b564d09,
} as const;

/** Hypercall numbers (RAX). */
export const KVM_HC = {
  VAPIC_POLL_IRQ: 1,
  MMU_OP: 2,
  KICK_CPU: 5,
  CLOCK_PAIRING: 9,
  SEND_IPI: 10,
  SCHED_YIELD: 11,
  MAP_GPA_RANGE: 12,
} as const;

/** Results of a hypercall (RAX): negated errno values of KVM's own. */
export const KVM_HC_ERROR = {
  /** No such hypercall. */
  ENOSYS: -1000n,
  /** Not from CPL 0. */
  EPERM: -1n,
  EFAULT: -14n,
  EINVAL: -22n,
  EOPNOTSUPP: -95n,
} as const;

/** Why KVM_RUN returned to userspace. */
export const KVM_EXIT = {
  UNKNOWN: 0,
  IO: 2,
  HYPERCALL: 3,
  DEBUG: 4,
  HLT: 5,
  MMIO: 6,
  SHUTDOWN: 8,
  FAIL_ENTRY: 9,
  INTR: 10,
  INTERNAL_ERROR: 17,
  XEN: 34,
} as const;

const msrNames = new Map<number, string>(Object.entries(KVM_MSR).map(([name, index]) => [index, `MSR_KVM_${name}`]));
/** The name of one of KVM's MSRs; undefined when the index is not one. */
export const kvmMsrName = (index: number): string | undefined => msrNames.get(index);

const hypercallNames = new Map<number, string>(Object.entries(KVM_HC).map(([name, nr]) => [nr, `KVM_HC_${name}`]));
/** The name of a hypercall; undefined when there is none of that number. */
export const hypercallName = (nr: number): string | undefined => hypercallNames.get(nr);
