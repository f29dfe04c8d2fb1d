// KVM_GET_REGS and KVM_SET_REGS: general registers, RIP and RFLAGS (struct kvm_regs).

import { readRflags, writeRflags } from '../../cpu/rflags.ts';
import { GPR, RFLAGS } from '../../x86/names/registers.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vcpu } from '../vcpu.ts';
import { requireU64, vcpuIoctl } from './ioctl.ts';

const NAMES = Object.keys(GPR).map((name) => name.toLowerCase()) as Lowercase<keyof typeof GPR>[];

export type Regs = Record<Lowercase<keyof typeof GPR> | 'rip' | 'rflags', bigint>;

const DEFINED_RFLAGS = BigInt(Object.values(RFLAGS).reduce((all, bit) => all | bit, 0));

/** A copy of the registers. */
export function getRegs(vcpu: Vcpu): Regs {
  return vcpuIoctl(vcpu, 'GET_REGS', () => {
    const { state } = vcpu.guest;
    const general = Object.fromEntries(NAMES.map((name, i) => [name, state.gpr(i)])) as Regs;
    return { ...general, rip: state.rip, rflags: BigInt(readRflags(state)) };
  });
}

/**
 * Sets them; a pending exception is forgotten, so this comes before KVM_SET_VCPU_EVENTS. RFLAGS values at which KVM lets VM
 * entry fail are refused here. Throws VcpuStateError.
 */
export function setRegs(vcpu: Vcpu, regs: Regs): void {
  vcpuIoctl(vcpu, 'SET_REGS', (refuse) => {
    requireU64(Object.fromEntries([...NAMES, 'rip', 'rflags'].map((name) => [name, regs[name as keyof Regs]])), refuse);
    const reserved = regs.rflags & ~DEFINED_RFLAGS;
    if (reserved !== 0n) refuse(`rflags has the reserved bits 0x${reserved.toString(16)}`);
    if ((regs.rflags & BigInt(RFLAGS.VM)) !== 0n) refuse('rflags.VM is set: virtual-8086 mode is not implemented');

    const { guest, events, requests } = vcpu;
    NAMES.forEach((name, i) => guest.state.setGpr(i, regs[name]));
    guest.state.rip = regs.rip;
    writeRflags(guest.state, Number(regs.rflags));
    guest.registersReplaced();
    events.exception.pending = false;
    requests.make(KVM_REQ.EVENT);
  });
}
