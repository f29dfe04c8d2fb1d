// What KVM_RUN returns to userspace with: struct kvm_run as a union. Accesses carry no data pointer: userspace answers them
// through `GuestCpu.complete`, and the instruction is executed again with the answer.

export type UserspaceExit =
  | {
      readonly reason: 'IO';
      readonly port: number;
      readonly size: 1 | 2 | 4;
      readonly direction: 'in' | 'out';
      /** `out`: the value written. */
      readonly value: number;
    }
  | {
      readonly reason: 'MMIO';
      readonly gpa: number;
      /** Bytes, 1 to 8. */
      readonly size: number;
      readonly write: boolean;
      readonly value: bigint;
    }
  /** A signal for the vCPU's thread: nothing is to be served. */
  | { readonly reason: 'INTR' }
  /** Triple fault. */
  | { readonly reason: 'SHUTDOWN' }
  /** The hypervisor or the processor met what they do not implement. */
  | { readonly reason: 'INTERNAL_ERROR'; readonly what: string; readonly hint: string };
