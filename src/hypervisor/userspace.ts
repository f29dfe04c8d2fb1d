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
  /** A hypercall of a Xen guest: answered by `vcpu.xen.hypercallResult`. Registers of 32 bits outside of 64-bit mode. */
  | {
      readonly reason: 'XEN';
      readonly type: 'HCALL';
      readonly longMode: boolean;
      readonly cpl: number;
      readonly input: bigint;
      readonly params: readonly bigint[];
    }
  /** A signal for the vCPU's thread: nothing is to be served. */
  | { readonly reason: 'INTR' }
  /** Triple fault. */
  | { readonly reason: 'SHUTDOWN' }
  /** The hypervisor or the processor met what they do not implement. */
  | { readonly reason: 'INTERNAL_ERROR'; readonly what: string; readonly hint: string };
