// KVM_GET_MP_STATE and KVM_SET_MP_STATE: whether a vCPU runs, halts, or waits for INIT or SIPI (struct kvm_mp_state).

import type { MpState } from '../lapic/owner.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vcpu } from '../vcpu.ts';
import { vcpuIoctl } from './ioctl.ts';

/** `sipi-received` is for setting only: a SIPI is pending, whose vector KVM_SET_VCPU_EVENTS brings. */
export interface KvmMpState {
  readonly mpState: MpState | 'sipi-received';
}

const MP_STATES: readonly string[] = ['runnable', 'uninitialized', 'init-received', 'halted', 'sipi-received'];

/** Takes a pending INIT or SIPI first, and so may reset the vCPU: read this group before the others. */
export function getMpState(vcpu: Vcpu): KvmMpState {
  return vcpuIoctl(vcpu, 'GET_MP_STATE', () => {
    vcpu.lapic.events.accept();
    return { mpState: vcpu.mpState === 'halted' && vcpu.pvUnhalted ? 'runnable' : vcpu.mpState };
  });
}

/** Throws VcpuStateError. */
export function setMpState(vcpu: Vcpu, { mpState }: KvmMpState): void {
  vcpuIoctl(vcpu, 'SET_MP_STATE', (refuse) => {
    if (!MP_STATES.includes(mpState)) refuse(`there is no state '${mpState}', only ${MP_STATES.join(', ')}`);
    vcpu.mpState = mpState === 'sipi-received' ? 'init-received' : mpState;
    if (mpState === 'sipi-received') vcpu.lapic.events.restoreSipi();
    if (mpState === 'runnable') vcpu.pvUnhalted = false;
    vcpu.requests.make(KVM_REQ.EVENT);
  });
}
