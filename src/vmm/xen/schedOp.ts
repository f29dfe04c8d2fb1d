// HYPERVISOR_sched_op, but for yield and poll, which are KVM's: a vCPU that waits for an event, and the end of the domain.

import { setXenVcpuAttr } from '../../hypervisor/xen/attributes.ts';
import { VCPU_INFO } from '../../hypervisor/xen/layout.ts';
import { RUNSTATE, SCHEDOP } from '../../hypervisor/xen/names.ts';
import { SHUTDOWN } from './abi.ts';
import type { XenDomain } from './domain.ts';
import { HypercallError, type Hypercall } from './hypercall.ts';

/** Null: there is no such operation. */
export function schedOp(domain: XenDomain, call: Hypercall): number | null {
  switch (call.u32(0)) {
    case SCHEDOP.BLOCK:
      return block(domain, call);
    case SCHEDOP.SHUTDOWN:
      return shutdown(domain, call.copyFrom(call.pointer(1), 4).getUint32(0, true));
    default:
      return null;
  }
}

/**
 * SCHEDOP_block: enables events, and halts the vCPU by KVM_SET_MP_STATE until an interrupt that it takes. That it is blocked is
 * the VMM's to say: of a vCPU that halts by itself KVM takes no notice.
 */
function block({ vm, pages }: XenDomain, { vcpu }: Hypercall): number {
  const info = pages.vcpuInfo(vcpu.id);
  if (info !== null) vm.memory.write(info + VCPU_INFO.UPCALL_MASK, Uint8Array.of(0));
  vcpu.mpState = 'halted';
  setXenVcpuAttr(vcpu, { type: 'RUNSTATE_CURRENT', state: RUNSTATE.BLOCKED });
  return 0;
}

/** SCHEDOP_shutdown: the domain ends, as its tools would have it. */
function shutdown({ machine }: XenDomain, reason: number): number {
  switch (reason) {
    case SHUTDOWN.POWEROFF:
      machine.powerOff();
      return 0;
    case SHUTDOWN.REBOOT:
      machine.reset('SCHEDOP_shutdown');
      return 0;
    case SHUTDOWN.CRASH:
      machine.crash('SCHEDOP_shutdown');
      return 0;
    case SHUTDOWN.SUSPEND:
      machine.stop('suspending a Xen domain (SCHEDOP_shutdown) is not implemented', 'take a snapshot of the machine');
      return 0;
    default:
      throw new HypercallError('EINVAL', `there is no reason ${reason} to shut down`);
  }
}
