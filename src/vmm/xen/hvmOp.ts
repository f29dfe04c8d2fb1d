// HYPERVISOR_hvm_op: parameters of the domain, and how events interrupt a vCPU (Xen arch/x86/hvm/hvm.c).

import { setXenVcpuAttr, setXenVmAttr } from '../../hypervisor/xen/attributes.ts';
import { FIRST_UPCALL_VECTOR } from '../../hypervisor/xen/names.ts';
import { CALLBACK_TYPE, HVM_NR_PARAMS, HVM_PARAM, HVMOP } from './abi.ts';
import type { XenDomain } from './domain.ts';
import { HypercallError, type Hypercall } from './hypercall.ts';
import { isSelf } from './ports.ts';

/** Null: there is no such operation. */
export function hvmOp(domain: XenDomain, call: Hypercall): number | null {
  const argument = call.pointer(1);
  switch (call.u32(0)) {
    case HVMOP.SET_PARAM:
      return setParam(domain, call, call.copyFrom(argument, 16));
    case HVMOP.GET_PARAM:
      return call.update(argument, 16, (param) => {
        param.setBigUint64(8, getParam(domain, checkedIndex(domain, param)), true);
      });
    case HVMOP.SET_EVTCHN_UPCALL_VECTOR: {
      const upcall = call.copyFrom(argument, 8);
      setUpcallVector(domain, upcall.getUint32(0, true), upcall.getUint8(4));
      return 0;
    }
    default:
      return null;
  }
}

/** struct xen_hvm_param: domid, index, value. */
function checkedIndex({ id }: XenDomain, param: DataView): number {
  const index = param.getUint32(4, true);
  if (index >= HVM_NR_PARAMS) throw new HypercallError('EINVAL', `there is no parameter ${index}`);
  if (!isSelf(param.getUint16(0, true), id)) throw new HypercallError('EPERM', 'a parameter of another domain');
  return index;
}

/** What the guest may read. Without a xenstore both of its parameters are 0, as they are before anybody has set them. */
function getParam({ console, callbackVia }: XenDomain, index: number): bigint {
  switch (index) {
    case HVM_PARAM.CALLBACK_IRQ:
      return callbackVia;
    case HVM_PARAM.STORE_PFN:
    case HVM_PARAM.STORE_EVTCHN:
      return 0n;
    case HVM_PARAM.CONSOLE_PFN:
      return BigInt(console.gfn);
    case HVM_PARAM.CONSOLE_EVTCHN:
      return BigInt(console.port);
    default:
      throw new HypercallError('EPERM', `parameter ${index} is not the guest's to read`);
  }
}

/**
 * Of those here the guest may only write the way in which events interrupt it; a way that there is not is none. Its layouts follow
 * the mode of the call (hvm_latch_shinfo_size): guests that need no hypercall page, as Linux since 2024, say it only so.
 */
function setParam(domain: XenDomain, { is64Bit }: Hypercall, param: DataView): number {
  const index = checkedIndex(domain, param);
  if (index !== HVM_PARAM.CALLBACK_IRQ)
    throw new HypercallError('EPERM', `parameter ${index} is not the guest's to write`);
  const via = param.getBigUint64(8, true);
  setXenVmAttr(domain.vm, { type: 'LONG_MODE', longMode: is64Bit });
  const isVector = Number(via >> 56n) === CALLBACK_TYPE.VECTOR;
  setXenVmAttr(domain.vm, { type: 'UPCALL_VECTOR', vector: isVector ? Number(via & 0xffn) : 0 });
  domain.callbackVia = via;
  domain.callbackChanged();
  return 0;
}

/** HVMOP_set_evtchn_upcall_vector. An event that waits already interrupts the vCPU by its new vector. */
function setUpcallVector(domain: XenDomain, id: number, vector: number): void {
  if (vector < FIRST_UPCALL_VECTOR) throw new HypercallError('EINVAL', `vector ${vector} is an exception's`);
  domain.ports.checkVcpu(id);
  setXenVcpuAttr(domain.vm.vcpus[id]!, { type: 'UPCALL_VECTOR', vector });
  if (id === 0) domain.callbackChanged();
  domain.interruptIfPending(id, vector);
}
