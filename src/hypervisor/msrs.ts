// The MSRs that a guest finds: one record each. The registers of the processor itself are behind `GuestCpu.readMsr`, those
// of the local APIC behind the LAPIC; here is who answers what. An index without record is #GP, counted and named.

import { COST } from '../host/costs.ts';
import { APIC_BASE, MSR, PAT_RESET, X2APIC_FIRST, X2APIC_LAST, X2APIC_MSR } from '../x86/names/msrs.ts';
import { isIgnoredBySlowPath } from './ipiFastpath.ts';
import { MACHINE_CHECK_MSRS } from './msr/machineCheck.ts';
import { MTRR_MSRS } from './msr/mtrr.ts';
import { PLATFORM_MSRS } from './msr/platform.ts';
import { named, processor, type MsrRecord } from './msr/record.ts';
import { KVM_MSR } from './names.ts';
import { PV_MSRS } from './pv/msrs.ts';
import { KVM_REQ } from './requests.ts';
import { joinWords } from '../cpu/words.ts';
import type { Vcpu } from './vcpu.ts';
import { writeHypercallPage } from './xen/hypercallPage.ts';

export { nameOfMsr, type MsrRecord } from './msr/record.ts';

/** IA32_TSC and IA32_TSC_ADJUST are one state: a guest's write of either moves both (SDM vol. 3, 18.17.3). */
function moveTsc(vcpu: Vcpu, by: bigint): void {
  vcpu.tscAdjust = BigInt.asUintN(64, vcpu.tscAdjust + by);
  vcpu.setTscOffset(vcpu.tsc.offset + by);
}

/** A VMM restores the two one by one. */
function writeTsc(vcpu: Vcpu, value: bigint, hostInitiated: boolean): boolean {
  if (hostInitiated) vcpu.vm.tscSync.synchronize(vcpu, value);
  else moveTsc(vcpu, value - vcpu.guestTsc());
  return true;
}
function writeTscAdjust(vcpu: Vcpu, value: bigint, hostInitiated: boolean): boolean {
  if (hostInitiated) {
    vcpu.tscAdjust = value;
    return true;
  }
  moveTsc(vcpu, value - vcpu.tscAdjust);
  // The page of the paravirtual clock holds a TSC, too.
  if (vcpu.pv.clock.inUse) vcpu.requests.make(KVM_REQ.CLOCK_UPDATE);
  return true;
}

/** IA32_UMWAIT_CONTROL: all but bit 1 and the upper half. */
const UMWAIT_CONTROL_BITS = 0xffff_fffdn;

/* prettier-ignore */
const RECORDS: readonly MsrRecord[] = [
  named(MSR.TSC, { reset: 0n, saved: true, read: (vcpu) => vcpu.guestTsc(), write: writeTsc }),
  named(MSR.TSC_ADJUST, { reset: 0n, saved: true, steady: true, read: (vcpu) => vcpu.tscAdjust, write: writeTscAdjust }),
  named(MSR.APIC_BASE, {
    reset: APIC_BASE.DEFAULT_ADDRESS | APIC_BASE.EN, saved: true,
    read: ({ lapic }) => lapic.base,
    write: ({ lapic }, value, hostInitiated) => lapic.writeBase(value, hostInitiated),
  }),
  // Restored in this order: the page is there before the deadline that is published in it.
  named(KVM_MSR.LAZY_TSCDEADLINE, {
    reset: 0n, saved: true,
    read: ({ vm, lapic }) => (vm.pvFeatures.has('lazy-tscdeadline') ? lapic.timer.lazy.readMsr() : null),
    write: ({ vm, lapic }, value) => vm.pvFeatures.has('lazy-tscdeadline') && lapic.timer.lazy.writeMsr(value),
  }),
  named(MSR.TSC_DEADLINE, {
    reset: 0n, saved: true,
    read: ({ lapic }) => lapic.timer.getLapicTscdeadlineMsr(),
    write: ({ lapic }, value, hostInitiated) => { lapic.timer.setLapicTscdeadlineMsr(value, hostInitiated); return true; },
  }),
  named(MSR.UMWAIT_CONTROL, {
    reset: 0n, saved: true,
    read: ({ vm, umwaitControl }) => (vm.cpuid.offers('WAITPKG') ? umwaitControl : null),
    write: (vcpu, value) => {
      if (!vcpu.vm.cpuid.offers('WAITPKG') || (value & ~UMWAIT_CONTROL_BITS) !== 0n) return false;
      vcpu.umwaitControl = value;
      return true;
    },
  }),
  processor(MSR.EFER), processor(MSR.STAR), processor(MSR.LSTAR), processor(MSR.CSTAR), processor(MSR.FMASK),
  processor(MSR.FS_BASE), processor(MSR.GS_BASE), processor(MSR.KERNEL_GS_BASE), processor(MSR.TSC_AUX),
  processor(MSR.SYSENTER_CS), processor(MSR.SYSENTER_ESP), processor(MSR.SYSENTER_EIP),
  processor(MSR.PAT, PAT_RESET),
  ...PLATFORM_MSRS,
  ...MTRR_MSRS,
  ...MACHINE_CHECK_MSRS,
  ...PV_MSRS,
];

/** The LAPIC's registers; saved with the LAPIC, not as MSRs. */
const x2apic = (index: number): MsrRecord =>
  named(index, {
    reset: 0n,
    saved: false,
    read: ({ lapic }) => lapic.readMsr(index),
    write: ({ lapic }, value) => lapic.writeMsr(index, value),
  });

/** Every MSR by index. */
export const MSRS: ReadonlyMap<number, MsrRecord> = new Map(
  [...RECORDS, ...Object.values(X2APIC_MSR).map(x2apic)].map((record) => [record.index, record]),
);

/** Those of the first 4096, the most frequent, are found without a look-up. */
const LOW_MSRS = 0x1000;
const byIndex = Array.from({ length: LOW_MSRS }, (_, index) => MSRS.get(index));

/** The record of an index, if it has one. */
export const msrRecord = (index: number): MsrRecord | undefined =>
  index < LOW_MSRS ? byIndex[index] : MSRS.get(index);

const isX2apic = (index: number): boolean => index >= X2APIC_FIRST && index <= X2APIC_LAST;

/** kvm_get_msr(): the value; null is #GP. An unknown index is counted. */
export function readMsr(vcpu: Vcpu, index: number): bigint | null {
  if (isX2apic(index)) {
    const value = vcpu.lapic.readMsr(index);
    vcpu.cpu.charge(COST.lapicAccess);
    return value;
  }
  const record = msrRecord(index);
  if (record !== undefined) return record.read(vcpu);
  vcpu.vm.diagnostics.note('msr-read', index, '#GP(0)', vcpu);
  return null;
}

/** kvm_set_msr() of EDX:EAX: false is #GP. An unknown index is counted. */
export function writeMsr(vcpu: Vcpu, index: number, low: number, high: number): boolean {
  if (isIgnoredBySlowPath(vcpu, index)) return true;
  if (isX2apic(index)) {
    vcpu.cpu.charge(COST.lapicAccess);
    return vcpu.lapic.writeMsrWords(index, low, high);
  }
  const { xen } = vcpu.vm;
  if (xen !== null && xen.enabled && index === xen.config.msr) return writeHypercallPage(vcpu, joinWords(low, high));
  const record = msrRecord(index);
  if (record !== undefined) return record.write(vcpu, joinWords(low, high), false);
  vcpu.vm.diagnostics.note('msr-write', index, '#GP(0)', vcpu);
  return false;
}

/** MSRs that the guest reaches without an exit: vmx_possible_passthrough_msrs, and the TSC for reading. */
export const PASSTHROUGH: readonly { readonly index: number; readonly direction: 'read' | 'both' }[] = [
  { index: MSR.TSC, direction: 'read' },
  { index: MSR.FS_BASE, direction: 'both' },
  { index: MSR.GS_BASE, direction: 'both' },
  { index: MSR.KERNEL_GS_BASE, direction: 'both' },
  { index: MSR.SYSENTER_CS, direction: 'both' },
  { index: MSR.SYSENTER_ESP, direction: 'both' },
  { index: MSR.SYSENTER_EIP, direction: 'both' },
];
