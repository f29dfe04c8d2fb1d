// KVM_GET_FPU and KVM_SET_FPU: x87 and SSE state (struct kvm_fpu). The upper halves of the vector registers would travel with
// KVM_GET_XSAVE, which comes with AVX.

import type { CpuState, FieldName } from '../../cpu/state.ts';
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
const TAG = { VALID: 0, ZERO: 1, SPECIAL: 2, EMPTY: 3 } as const;
const TOP_SHIFT = 11;
/** Bits of MXCSR that a processor without misaligned SSE has. */
const MXCSR_BITS = 16;
const INTEGER_BIT = 1n << 63n;
const EXPONENT = 0x7fffn;

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
    let ftwx = 0;
    for (let i = 0; i < 8; i++) if (((state.ftw >> (2 * i)) & TAG.EMPTY) !== TAG.EMPTY) ftwx |= 1 << i;
    return {
      fpr: read128(state, 'st', 8, 2),
      fcw: state.fcw,
      fsw: state.fsw,
      ftwx,
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
    state.ftw = fullTags(fpu);
    state.fop = lastOpcode;
    state.fip = lastIp;
    state.fdp = lastDp;
    state.mxcsr = mxcsr;
  });
}

/** FXRSTOR: the tag of a register that is not empty follows from what it holds (SDM vol. 1, 10.5.1). */
function fullTags({ fpr, ftwx, fsw }: Fpu): number {
  let tags = 0;
  for (let physical = 0; physical < 8; physical++) {
    const value = fpr[(physical - (fsw >> TOP_SHIFT)) & 7]!;
    const tag = ((ftwx >> physical) & 1) === 0 ? TAG.EMPTY : tagOf(value);
    tags |= tag << (2 * physical);
  }
  return tags;
}

function tagOf(value: bigint): number {
  const exponent = (value >> 64n) & EXPONENT;
  const significand = value & LOW;
  if (exponent === 0n) return significand === 0n ? TAG.ZERO : TAG.SPECIAL;
  return exponent === EXPONENT || (significand & INTEGER_BIT) === 0n ? TAG.SPECIAL : TAG.VALID;
}
