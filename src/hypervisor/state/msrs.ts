// KVM_GET_MSR_INDEX_LIST, KVM_GET_MSRS and KVM_SET_MSRS. What each MSR is stands in ../msrs.ts, one record each; here is how a
// VMM reaches them, which is not quite as a guest does.
//
// Theory: entries are taken one by one. The first that fails ends the call, and the result is how many went well: that is how
// a VMM finds the culprit. Host-initiated accesses follow rules of their own. The TSC and TSC_ADJUST are restored separately,
// IA32_APIC_BASE may go from any mode to any, and an MSR of the list that this VM does not offer reads 0 and takes 0
// (kvm_do_msr_access), so that one list serves all VMs.

import { MSRS, nameOfMsr, type MsrRecord } from '../msrs.ts';
import type { Vcpu } from '../vcpu.ts';
import { requireBits, requireU64, vcpuIoctl } from './ioctl.ts';

/** struct kvm_msr_entry. */
export interface MsrEntry {
  readonly index: number;
  readonly data: bigint;
}

/**
 * KVM_GET_MSR_INDEX_LIST: the MSRs to save, in an order in which they can be restored. The LAPIC's own registers are not among
 * them; IA32_APIC_BASE, EFER, FS_BASE and GS_BASE are, though KVM leaves these to KVM_GET_SREGS.
 */
export const MSR_INDEX_LIST: readonly number[] = [...MSRS.values()]
  .filter(({ saved }) => saved)
  .map(({ index }) => index);

/** KVM_GET_MSRS: the entries up to the first MSR that cannot be read. */
export function getMsrs(vcpu: Vcpu, indices: readonly number[] = MSR_INDEX_LIST): MsrEntry[] {
  return vcpuIoctl(vcpu, 'GET_MSRS', () => {
    const entries: MsrEntry[] = [];
    for (const index of indices) {
      const record = MSRS.get(index);
      const data = record?.read(vcpu) ?? (record?.saved ? 0n : null);
      if (data === null) break;
      entries.push({ index, data });
    }
    return entries;
  });
}

/** KVM_SET_MSRS: how many entries were set. Throws VcpuStateError, with nothing set, for data that is no MSR's. */
export function setMsrs(vcpu: Vcpu, entries: readonly MsrEntry[]): number {
  return vcpuIoctl(vcpu, 'SET_MSRS', (refuse) => {
    for (const { index, data } of entries) {
      requireBits(32, { index }, refuse);
      requireU64({ [nameOfMsr(index)]: data }, refuse);
    }
    const failed = entries.findIndex(({ index, data }) => !write(vcpu, MSRS.get(index), data));
    return failed < 0 ? entries.length : failed;
  });
}

function write(vcpu: Vcpu, record: MsrRecord | undefined, data: bigint): boolean {
  if (record === undefined) return false;
  return record.write(vcpu, data, true) || (record.saved && data === 0n && record.read(vcpu) === null);
}
