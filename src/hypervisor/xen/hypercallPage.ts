// The hypercall page: how a guest gets it, and what stands there (kvm_xen_write_hypercall_page; Xen
// docs/misc/x86-xenpv-bootloader and public/arch-x86/xen.h).
//
// Theory: a guest calls hypercall n by calling the page at 32 n. It asks for the page by writing its address to the MSR that CPUID
// names; whoever is underneath puts the instruction of this processor there. When hypercalls are intercepted that is done here; else
// the VMM has supplied pages, and the guest asks for them one by one in the low bits. The write also says which layout the
// guest's structures have: that of the mode in which it is made.

import { isLongMode } from '../../cpu/segments/codeMode.ts';
import { PAGE_SIZE } from '../../x86/names/paging.ts';
import type { Vcpu } from '../vcpu.ts';
import { XenError } from './names.ts';

const ENTRY_SIZE = 32;
const MOV_EAX = 0xb8;
const VMCALL = [0x0f, 0x01, 0xc1] as const;
const VMMCALL = [0x0f, 0x01, 0xd9] as const;
const RET = 0xc3;
const INT3 = 0xcc;

/** WRMSR of the MSR: false is #GP. */
export function writeHypercallPage(vcpu: Vcpu, value: bigint): boolean {
  const { vm, svm, guest } = vcpu;
  const xen = vm.xen!;
  const longMode = isLongMode(guest.state);
  if (xen.longMode !== longMode && !latch(vcpu, longMode)) return false;
  const number = Number(value & BigInt(PAGE_SIZE - 1));
  const gpa = Number(value - BigInt(number));
  if (xen.interceptsHypercalls) return number === 0 && vm.memory.write(gpa, hypercallPage(svm));
  const blob = longMode ? xen.config.blob64 : xen.config.blob32;
  const page = blob?.subarray(number * PAGE_SIZE, (number + 1) * PAGE_SIZE);
  return page !== undefined && page.length === PAGE_SIZE && vm.memory.write(gpa, page);
}

function latch({ vm }: Vcpu, longMode: boolean): boolean {
  try {
    vm.xen!.setLongMode(longMode);
    return true;
  } catch (error) {
    if (error instanceof XenError) return false;
    throw error;
  }
}

/** mov $n, %eax; vmcall; ret; and nothing else that can be executed. KVM fills the slot of iret, 23, like any other. */
function hypercallPage(svm: boolean): Uint8Array {
  const page = new Uint8Array(PAGE_SIZE).fill(INT3);
  for (let nr = 0; nr * ENTRY_SIZE < PAGE_SIZE; nr++) {
    page.set([MOV_EAX, nr, 0, 0, 0, ...(svm ? VMMCALL : VMCALL), RET], nr * ENTRY_SIZE);
  }
  return page;
}
