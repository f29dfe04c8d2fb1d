// KVM_GET_FPU and KVM_SET_FPU: x87 and SSE state (struct kvm_fpu). The upper halves of the vector registers would travel with
// KVM_GET_XSAVE, which comes with AVX.

import type { CpuState, FieldName } from '../../cpu/state.ts';
import { abridgedTags, fullTags } from '../../cpu/x87Words.ts';
import type { Vcpu } from '../vcpu.ts';
import { requireBits, requireU64, vcpuIoctl } from './ioctl.ts';

export interface Fpu {
  /** ST0 to ST7, 80 bits each. */
  readonly fpr: readonly bigint[];
  readonly fcw: number;
  readonly fsw: number;
  /** The abridged tag word of FXSAVE: bit i is set unless physical register i is empty. */
  readonly ftwx: number;
  readonly lastOpcode: number;
  readonly lastIp: bigint;
  readonly lastDp: bigint;
  /** XMM0 to XMM15, 128 bits each. */
  readonly xmm: readonly bigint[];
  readonly mxcsr: number;
}

const LOW = 0xffff_ffff_ffff_ffffn;
/** Bits of MXCSR that a processor without misaligned SSE has. */
const MXCSR_BITS = 16;

/** Registers of 128 bits, `stride` u64 apart. */
function read128(state: CpuState, field: FieldName, count: number, stride: number): bigint[] {
  const first = state.at(field) >> 3;
  const { u64 } = state.views;
  return Array.from({ length: count }, (_, i) => (u64[first + stride * i + 1]! << 64n) | u64[first + stride * i]!);
}
function write128(state: CpuState, field: FieldName, values: readonly bigint[], stride: number): void {
  const first = state.at(field) >> 3;
  values.forEach((value, i) => {
    state.views.u64[first + stride * i] = value & LOW;
    state.views.u64[first + stride * i + 1] = value >> 64n;
  });
}

export function getFpu(vcpu: Vcpu): Fpu {
  return vcpuIoctl(vcpu, 'GET_FPU', () => {
    const { state } = vcpu.guest;
    return {
      fpr: read128(state, 'st', 8, 2),
      fcw: state.fcw,
      fsw: state.fsw,
      ftwx: abridgedTags(state.ftw),
      lastOpcode: state.fop,
      lastIp: state.fip,
      lastDp: state.fdp,
      xmm: read128(state, 'vec', 16, 4),
      mxcsr: state.mxcsr,
    };
  });
}

/** Throws VcpuStateError. */
export function setFpu(vcpu: Vcpu, fpu: Fpu): void {
  vcpuIoctl(vcpu, 'SET_FPU', (refuse) => {
    const { fpr, xmm, fcw, fsw, ftwx, lastOpcode, lastIp, lastDp, mxcsr } = fpu;
    if (fpr.length !== 8) refuse(`fpr has ${fpr.length} registers, not 8`);
    if (xmm.length !== 16) refuse(`xmm has ${xmm.length} registers, not 16`);
    if (fpr.some((value) => value < 0n || value >> 80n !== 0n)) refuse('a register of fpr does not fit 80 bits');
    if (xmm.some((value) => value < 0n || value >> 128n !== 0n)) refuse('a register of xmm does not fit 128 bits');
    requireBits(16, { fcw, fsw, lastOpcode }, refuse);
    requireBits(8, { ftwx }, refuse);
    requireBits(MXCSR_BITS, { mxcsr }, refuse);
    requireU64({ lastIp, lastDp }, refuse);
    const { state } = vcpu.guest;
    write128(state, 'st', fpr, 2);
    write128(state, 'vec', xmm, 4);
    state.fcw = fcw;
    state.fsw = fsw;
    state.ftw = fullTags(fpr, ftwx, fsw);
    state.fop = lastOpcode;
    state.fip = lastIp;
    state.fdp = lastDp;
    state.mxcsr = mxcsr;
  });
}
