// Scripted Xen guests: memory at 0, the pages where their VMM has put them, and what the hypervisor has written there.

import type { Vcpu } from '../../src/hypervisor/vcpu.ts';
import { setXenVcpuAttr, setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { VCPU_INFO } from '../../src/hypervisor/xen/layout.ts';
import { XEN_CONFIG, XenError } from '../../src/hypervisor/xen/names.ts';
import { pvRig, u64, u8 } from './pvRig.ts';
import type { Step } from './scriptedCpu.ts';
import type { RigOptions, VmRig } from './vmRig.ts';

export const XEN = { version: { major: 4, minor: 18 }, msr: 0x4000_0000, domainId: 7 };
/** shared_info. */
export const SHARED = 0x1000;
/** Its first 64 bytes, which nobody uses here, and from there on the vcpu_info of each vCPU in turn. */
export const infoOf = (vcpu: number): number => SHARED + 0x40 * (vcpu + 1);
export const UPCALL_VECTOR = 0xf3;

/** A VM with four pages at 0, Xen switched on, and shared_info and vcpu_info where they belong. */
export function xenRig(scripts: Step[][], options: RigOptions = {}, longMode = true): VmRig {
  const rig = pvRig(scripts, { xen: XEN, ...options });
  const { vm } = rig;
  vm.xen!.configure({ flags: XEN_CONFIG.INTERCEPT_HCALL | XEN_CONFIG.EVTCHN_SEND, msr: XEN.msr });
  setXenVmAttr(vm, { type: 'LONG_MODE', longMode });
  setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: SHARED / 4096 });
  setXenVmAttr(vm, { type: 'UPCALL_VECTOR', vector: UPCALL_VECTOR });
  for (const vcpu of vm.vcpus) setXenVcpuAttr(vcpu, { type: 'VCPU_INFO', gpa: infoOf(vcpu.id) });
  return rig;
}

/** The errno of what refuses. */
export function errnoOf(call: () => void): string {
  try {
    call();
  } catch (error) {
    if (error instanceof XenError) return error.code;
    throw error;
  }
  return 'no error';
}

/** What the guest finds in its vcpu_info. */
export const infoAt = (rig: VmRig, vcpu: number): { upcall: number; sel: bigint } => {
  const { pendingSel, wordBits } = rig.vm.xen!.layout;
  const sel = u64(rig, infoOf(vcpu) + pendingSel);
  return { upcall: u8(rig, infoOf(vcpu) + VCPU_INFO.UPCALL_PENDING), sel: BigInt.asUintN(wordBits, sel) };
};

/** The host takes guest pages away; slots stay, and who looks a page up finds it again. */
export const takeAway = ({ vm }: VmRig, gpa: number): void => vm.memslots.invalidate(gpa >> 12, 1);

/** The slot with all memory goes away, and comes back. */
export function removeMemory({ vm }: VmRig): () => void {
  const { firstPage, pages, ...slot } = vm.memslots.slots[0]!;
  vm.memslots.set({ ...slot, gpa: firstPage * 4096, size: 0 });
  return () => vm.memslots.set({ ...slot, gpa: firstPage * 4096, size: pages * 4096 });
}

export const only = (rig: VmRig): Vcpu => rig.vm.vcpus[0]!;
