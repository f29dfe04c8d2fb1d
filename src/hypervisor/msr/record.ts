// What an MSR is to the hypervisor: one record, as data, and the ways in which most are made. Which ones there are is in
// ../msrs.ts.

import { msrName } from '../../x86/names/msrs.ts';
import { kvmMsrName } from '../names.ts';
import type { Vcpu } from '../vcpu.ts';

export interface MsrRecord {
  readonly index: number;
  readonly name: string;
  /** Value after power-on, where it is a constant. */
  readonly reset: bigint;
  /** In the list that a VMM saves and restores (KVM_GET_MSR_INDEX_LIST). */
  readonly saved: boolean;
  /** Reading it has no effect, and gives the same until something else happens to the vCPU: no time is in it. */
  readonly steady?: boolean;
  /** The value; null is #GP. */
  read(vcpu: Vcpu): bigint | null;
  /**
   * False is #GP, and nothing has changed. `hostInitiated`: the VMM restores a vCPU (msr_data.host_initiated); where nothing
   * is said of it, it makes no difference.
   */
  write(vcpu: Vcpu, value: bigint, hostInitiated: boolean): boolean;
}

/** The name of any MSR that has one; its number in hexadecimal otherwise. */
export const nameOfMsr = (index: number): string =>
  msrName(index) ?? kvmMsrName(index) ?? `0x${(index >>> 0).toString(16)}`;

export const named = (index: number, rest: Omit<MsrRecord, 'index' | 'name'>): MsrRecord => ({
  index,
  name: nameOfMsr(index),
  ...rest,
});

/** Registers of the processor itself (src/cpu). */
export const processor = (index: number, reset = 0n): MsrRecord =>
  named(index, {
    reset,
    saved: true,
    read: ({ guest }) => guest.readMsr(index),
    write: ({ guest }, value) => guest.writeMsr(index, value),
  });

/** What a guest may do that has no effect: a constant to read, writes that are ignored, refused, or refused but for 0. */
export const constant = (index: number, value: bigint, writes: 'ignored' | 'refused' | 'zero' = 'refused'): MsrRecord =>
  named(index, {
    reset: value,
    saved: false,
    steady: true,
    read: () => value,
    write: (_, written) => writes === 'ignored' || (writes === 'zero' && written === 0n),
  });

/** Kept by the hypervisor and nothing else: reads what was written, where `isLegal` allows it. */
export const kept = (
  index: number,
  reset: bigint,
  isLegal: (value: bigint, vcpu: Vcpu, hostInitiated: boolean) => boolean = () => true,
): MsrRecord =>
  named(index, {
    reset,
    saved: true,
    steady: true,
    read: ({ keptMsrs }) => keptMsrs.get(index) ?? reset,
    write: (vcpu, value, hostInitiated) => {
      if (!isLegal(value, vcpu, hostInitiated)) return false;
      vcpu.keptMsrs.set(index, value);
      return true;
    },
  });
