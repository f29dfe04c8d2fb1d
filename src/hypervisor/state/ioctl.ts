// What all vCPU ioctls of a VMM share: when they may be called, on whose clock they run, and how they refuse.
//
// Theory: in KVM an ioctl takes vcpu->mutex, which KVM_RUN holds from its start to its return; so a VMM first makes the vCPU's
// thread leave KVM_RUN by a signal. Here nobody would let an ioctl wait: called too early it is an error that says where the
// vCPU stands. It runs on the vCPU's own physical CPU, at that CPU's position, and takes the host time of what it does there.

import { describeWait } from '../block.ts';
import { VCPU_MODE, type Vcpu } from '../vcpu.ts';

/** EINVAL: a value that no vCPU, or not this one, can have. EBUSY: the vCPU is in KVM_RUN. Nothing has changed. */
export type VcpuStateErrno = 'EINVAL' | 'EBUSY';

/** Why state of a vCPU was not read or written. */
export class VcpuStateError extends Error {
  override readonly name = 'VcpuStateError';
  readonly code: VcpuStateErrno;

  constructor(code: VcpuStateErrno, message: string) {
    super(`${message} (${code})`);
    this.code = code;
  }
}

/** Throws EINVAL, with the ioctl and the vCPU in front of the reason. */
export type Refuse = (why: string) => never;

/** Runs an ioctl, called by its name without KVM_. Throws VcpuStateError while the vCPU is in KVM_RUN. */
export function vcpuIoctl<T>(vcpu: Vcpu, name: string, run: (refuse: Refuse) => T): T {
  if (vcpu.load.loaded) {
    throw new VcpuStateError(
      'EBUSY',
      `KVM_${name} of ${vcpu.name}: ${standing(vcpu)}; pause the machine before, so that KVM_RUN returns`,
    );
  }
  const { host } = vcpu.vm;
  const caller = host.thisCpu;
  host.thisCpu = vcpu.cpu;
  try {
    return run((why) => {
      throw new VcpuStateError('EINVAL', `KVM_${name} of ${vcpu.name}: ${why}`);
    });
  } finally {
    host.thisCpu = caller;
  }
}

/** Where a vCPU in KVM_RUN stands, for a person. */
function standing(vcpu: Vcpu): string {
  const { thread, guest } = vcpu;
  const rip = `rip 0x${guest.state.rip.toString(16)}`;
  if (thread?.state === 'finished') return `its machine ended while it was in KVM_RUN, at ${rip}`;
  if (thread?.state === 'blocked' && vcpu.mpState !== 'runnable') return describeWait(vcpu);
  if (vcpu.mode !== VCPU_MODE.OUTSIDE_GUEST) return `it is in guest mode, at ${rip}`;
  return `it is in KVM_RUN, between an exit and the next entry, at ${rip}`;
}

/** Throws unless each is an unsigned 64-bit bigint. */
export function requireU64(values: Readonly<Record<string, bigint>>, refuse: Refuse): void {
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== 'bigint' || value < 0n || value >> 64n !== 0n) {
      refuse(`${name} is ${String(value)}, not an unsigned 64-bit bigint`);
    }
  }
}

/** Throws unless each is an unsigned number of at most so many bits. */
export function requireBits(bits: number, values: Readonly<Record<string, number>>, refuse: Refuse): void {
  for (const [name, value] of Object.entries(values)) {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** bits) {
      refuse(`${name} is ${String(value)}, which does not fit ${bits === 1 ? 'one bit' : `${bits} bits`}`);
    }
  }
}
