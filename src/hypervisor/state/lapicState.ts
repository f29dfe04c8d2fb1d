// KVM_GET_LAPIC and KVM_SET_LAPIC as ioctls. What the page holds, and what becomes of the timer, is in ../lapic/savedState.ts.

import { getLapicState, setLapicState } from '../lapic/savedState.ts';
import { REGISTER_PAGE } from '../lapic/registers.ts';
import type { Vcpu } from '../vcpu.ts';
import { requireBits, vcpuIoctl } from './ioctl.ts';

/** struct kvm_lapic_state. */
export interface LapicState {
  /** 1 KiB, byte by byte: each register at its MMIO offset. */
  readonly regs: readonly number[];
}

export function getLapic(vcpu: Vcpu): LapicState {
  return vcpuIoctl(vcpu, 'GET_LAPIC', () => ({ regs: [...getLapicState(vcpu.lapic)] }));
}

/**
 * Replaces the registers; a countdown goes on from its TMCCT. The page is read in the mode that IA32_APIC_BASE says, so that
 * comes first; the timer's mode is in the page, so IA32_TSC_DEADLINE comes after it. Throws VcpuStateError.
 */
export function setLapic(vcpu: Vcpu, { regs }: LapicState): void {
  vcpuIoctl(vcpu, 'SET_LAPIC', (refuse) => {
    if (regs.length !== REGISTER_PAGE) refuse(`regs has ${regs.length} bytes, not ${REGISTER_PAGE}`);
    requireBits(8, Object.fromEntries(regs.map((byte, i) => [`regs[0x${i.toString(16)}]`, byte])), refuse);
    if (!setLapicState(vcpu.lapic, Uint8Array.from(regs))) refuse('the page holds the 32-bit id of another APIC');
  });
}
