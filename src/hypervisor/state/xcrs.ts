// KVM_GET_XCRS and KVM_SET_XCRS: the extended control registers, of which there is XCR0 (struct kvm_xcrs).

import { illegalXcr0 } from '../../cpu/controlRegisters.ts';
import type { Vcpu } from '../vcpu.ts';
import { requireU64, vcpuIoctl } from './ioctl.ts';

/** struct kvm_xcr. */
export interface KvmXcr {
  readonly xcr: number;
  readonly value: bigint;
}
export interface Xcrs {
  readonly xcrs: readonly KvmXcr[];
}

/** XCR_XFEATURE_ENABLED_MASK. */
const XCR0 = 0;

export function getXcrs(vcpu: Vcpu): Xcrs {
  return vcpuIoctl(vcpu, 'GET_XCRS', () => ({ xcrs: [{ xcr: XCR0, value: vcpu.guest.state.xcr0 }] }));
}

/** KVM ignores registers other than XCR0; they are refused here. Throws VcpuStateError. */
export function setXcrs(vcpu: Vcpu, { xcrs }: Xcrs): void {
  vcpuIoctl(vcpu, 'SET_XCRS', (refuse) => {
    for (const { xcr, value } of xcrs) {
      if (xcr !== XCR0) refuse(`there is no XCR${xcr}, only XCR0`);
      requireU64({ XCR0: value }, refuse);
      const illegal = illegalXcr0(value, vcpu.vm.features);
      if (illegal !== null) refuse(illegal);
    }
    for (const { value } of xcrs) vcpu.guest.state.xcr0 = value;
  });
}
