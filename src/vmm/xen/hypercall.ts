// A hypercall that has come to the VMM: its arguments, structures in guest memory by their linear addresses, and how it fails.

import { readGuestVirt, writeGuestVirt } from '../../hypervisor/guestVirt.ts';
import type { Vcpu } from '../../hypervisor/vcpu.ts';
import type { UserspaceExit } from '../../hypervisor/userspace.ts';
import type { Errno } from './abi.ts';

/** A hypercall's answer is an error. */
export class HypercallError extends Error {
  override readonly name = 'HypercallError';
  readonly code: Errno;

  constructor(code: Errno, message: string) {
    super(`${message} (${code})`);
    this.code = code;
  }
}

export type HypercallExit = Extract<UserspaceExit, { reason: 'XEN' }>;

export class Hypercall {
  readonly vcpu: Vcpu;
  readonly nr: number;
  readonly is64Bit: boolean;
  readonly cpl: number;
  readonly #params: readonly bigint[];

  constructor(vcpu: Vcpu, { input, longMode, cpl, params }: HypercallExit) {
    this.vcpu = vcpu;
    this.nr = Number(BigInt.asUintN(32, input));
    this.is64Bit = longMode;
    this.cpl = cpl;
    this.#params = params;
  }

  /** An argument of 32 bits, unsigned. */
  u32(index: number): number {
    return Number(BigInt.asUintN(32, this.#params[index]!));
  }

  /** A pointer. */
  pointer(index: number): bigint {
    return this.#params[index]!;
  }

  /** copy_from_guest(). Throws HypercallError (EFAULT). */
  copyFrom(gva: bigint, size: number): DataView {
    const bytes = readGuestVirt(this.vcpu, gva, size);
    if (bytes === null) throw fault(gva);
    return new DataView(bytes.buffer);
  }

  /** copy_to_guest(). Throws HypercallError (EFAULT); pages before the one that is missing are written then. */
  copyTo(gva: bigint, bytes: Uint8Array): void {
    if (!writeGuestVirt(this.vcpu, gva, bytes)) throw fault(gva);
  }

  /** Changes a structure where it lies: what has come in goes out with what `change` has written. */
  update(gva: bigint, size: number, change: (structure: DataView) => void): number {
    const structure = this.copyFrom(gva, size);
    change(structure);
    this.copyTo(gva, new Uint8Array(structure.buffer));
    return 0;
  }

  /** KVM_TRANSLATE: the guest physical address of a linear one. Throws HypercallError (EFAULT). */
  translate(gva: bigint): number {
    const gpa = this.vcpu.guest.translate(gva);
    if (gpa === null) throw fault(gva);
    return Number(gpa);
  }
}

const fault = (gva: bigint): HypercallError =>
  new HypercallError('EFAULT', `there is no guest memory at 0x${gva.toString(16)}`);
