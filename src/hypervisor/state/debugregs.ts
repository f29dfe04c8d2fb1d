// KVM_GET_DEBUGREGS and KVM_SET_DEBUGREGS: DR0 to DR3, DR6 and DR7 (struct kvm_debugregs).

import type { CpuState } from '../../cpu/state.ts';
import type { Vcpu } from '../vcpu.ts';
import { requireU64, vcpuIoctl } from './ioctl.ts';

export interface Debugregs {
  /** DR0 to DR3. */
  readonly db: readonly bigint[];
  readonly dr6: bigint;
  readonly dr7: bigint;
}

const BREAKPOINTS = 4;
const at = (state: CpuState, register: number): number => state.at('dr', register) >> 3;

export function getDebugregs(vcpu: Vcpu): Debugregs {
  return vcpuIoctl(vcpu, 'GET_DEBUGREGS', () => {
    const { state } = vcpu.guest;
    const read = (register: number): bigint => state.views.u64[at(state, register)]!;
    return { db: Array.from({ length: BREAKPOINTS }, (_, i) => read(i)), dr6: read(6), dr7: read(7) };
  });
}

/** Throws VcpuStateError. */
export function setDebugregs(vcpu: Vcpu, { db, dr6, dr7 }: Debugregs): void {
  vcpuIoctl(vcpu, 'SET_DEBUGREGS', (refuse) => {
    if (db.length !== BREAKPOINTS) refuse(`db has ${db.length} registers, not ${BREAKPOINTS}`);
    requireU64({ dr6, dr7, ...Object.fromEntries(db.map((value, i) => [`db[${i}]`, value])) }, refuse);
    for (const [name, value] of Object.entries({ dr6, dr7 })) {
      if (value >> 32n !== 0n) refuse(`${name} 0x${value.toString(16)} has bits above 31`);
    }
    const { state } = vcpu.guest;
    [...db].forEach((value, i) => (state.views.u64[at(state, i)] = value));
    state.views.u64[at(state, 6)] = dr6;
    state.views.u64[at(state, 7)] = dr7;
    vcpu.guest.registersReplaced();
  });
}
