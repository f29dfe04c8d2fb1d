// Guest memory by linear addresses, as the hypervisor and a VMM read and write it for CPL 0: kvm_read_guest_virt, or KVM_TRANSLATE and
// then memory. Guest page tables and slots decide, not what the second stage happens to have mapped already.

import { PAGE_SIZE } from '../x86/names/paging.ts';
import type { Vcpu } from './vcpu.ts';

/** Bytes at a linear address; null (EFAULT) where one cannot be read. */
export function readGuestVirt(vcpu: Vcpu, gva: bigint, size: number): Uint8Array | null {
  const bytes = new Uint8Array(size);
  const complete = eachPage(vcpu, gva, size, (gpa, at, length) => {
    const part = vcpu.vm.memory.read(gpa, length);
    if (part !== null) bytes.set(part, at);
    return part !== null;
  });
  return complete ? bytes : null;
}

/** Writes bytes at a linear address; false (EFAULT) where one cannot be written: pages before it are written then. */
export function writeGuestVirt(vcpu: Vcpu, gva: bigint, bytes: Uint8Array): boolean {
  return eachPage(vcpu, gva, bytes.length, (gpa, at, length) =>
    vcpu.vm.memory.write(gpa, bytes.subarray(at, at + length)),
  );
}

/** Calls `piece` for each part of a range that lies in one page, until it answers false or a page is not mapped. */
function eachPage(
  { guest }: Vcpu,
  gva: bigint,
  size: number,
  piece: (gpa: number, at: number, length: number) => boolean,
): boolean {
  for (let at = 0; at < size; ) {
    const gpa = guest.translate(gva + BigInt(at));
    if (gpa === null) return false;
    const length = Math.min(PAGE_SIZE - (Number(gpa) % PAGE_SIZE), size - at);
    if (!piece(Number(gpa), at, length)) return false;
    at += length;
  }
  return true;
}
