// KVM_XEN_HVM_GET_ATTR and _SET_ATTR, KVM_XEN_VCPU_GET_ATTR and _SET_ATTR: what a VMM says and asks about a Xen guest, by
// name. Frames and addresses that KVM marks as invalid (all ones) are null here. Each refusal is a XenError with KVM's errno.

import { PAGE_SIZE } from '../../x86/names/paging.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vcpu } from '../vcpu.ts';
import type { Vm } from '../vm.ts';
import { VCPU_INFO } from './layout.ts';
import { FIRST_UPCALL_VECTOR, RUNSTATE, XenError, type Runstate } from './names.ts';
import { place, placeAtAddress } from './place.ts';
import type { RunstateData } from './runstate.ts';
import type { Eventfd, SendPortChange } from './sendPorts.ts';
import type { XenTimerState } from './timer.ts';

/** struct kvm_xen_hvm_attr: what can be set. */
export type XenVmAttr =
  | { readonly type: 'LONG_MODE'; readonly longMode: boolean }
  | { readonly type: 'SHARED_INFO'; readonly gfn: number | null }
  /** A byte address in the arena; 0: none. */
  | { readonly type: 'SHARED_INFO_HVA'; readonly address: number }
  | { readonly type: 'UPCALL_VECTOR'; readonly vector: number }
  /** major << 16 | minor; 0: the VMM answers. */
  | { readonly type: 'XEN_VERSION'; readonly version: number }
  | { readonly type: 'RUNSTATE_UPDATE_FLAG'; readonly enabled: boolean }
  /** Can only be set. */
  | { readonly type: 'EVTCHN'; readonly change: SendPortChange };

/** struct kvm_xen_vcpu_attr: what can be set. */
export type XenVcpuAttr =
  | { readonly type: 'VCPU_INFO'; readonly gpa: number | null }
  | { readonly type: 'VCPU_TIME_INFO'; readonly gpa: number | null }
  | { readonly type: 'VCPU_INFO_HVA'; readonly address: number }
  | { readonly type: 'VCPU_ID'; readonly vcpuId: number }
  | { readonly type: 'RUNSTATE_ADDR'; readonly gpa: number | null }
  | { readonly type: 'RUNSTATE_CURRENT'; readonly state: Runstate }
  | ({ readonly type: 'RUNSTATE_DATA' } & RunstateData)
  /** Adds to what there is; state null: stays as it is. */
  | ({ readonly type: 'RUNSTATE_ADJUST'; readonly state: Runstate | null } & Omit<RunstateData, 'state'>)
  | ({ readonly type: 'TIMER' } & XenTimerState)
  /** Trapline's own: what is signalled in place of the timer's event; null: nothing. Can only be set. */
  | { readonly type: 'TIMER_EVENTFD'; readonly eventfd: Eventfd | null }
  | { readonly type: 'UPCALL_VECTOR'; readonly vector: number };

type Of<A extends { readonly type: string }, T extends A['type']> = Extract<A, { readonly type: T }>;

/** KVM_MAX_VCPUS. */
const MAX_VCPUS = 4096;

/** What is Xen's of a VM or a vCPU. Throws XenError (EINVAL) where nothing is. */
function partOf<T>(xen: T | null): T {
  if (xen === null) throw new XenError('EINVAL', 'this machine has no Xen guest: boot it with the option xen');
  return xen;
}

/** KVM_XEN_HVM_SET_ATTR. Throws XenError. */
export function setXenVmAttr(vm: Vm, attr: XenVmAttr): void {
  const xen = partOf(vm.xen);
  switch (attr.type) {
    case 'LONG_MODE':
      xen.setLongMode(attr.longMode);
      return;
    case 'SHARED_INFO':
      xen.sharedInfo.placeAt(attr.gfn, xen.layout);
      return;
    case 'SHARED_INFO_HVA':
      xen.sharedInfo.placeAtAddress(attr.address, xen.layout);
      return;
    case 'UPCALL_VECTOR':
      xen.upcallVector = checkedVector(attr.vector);
      return;
    case 'XEN_VERSION':
      xen.xenVersion = attr.version;
      return;
    case 'RUNSTATE_UPDATE_FLAG':
      xen.runstateUpdateFlag = attr.enabled;
      return;
    case 'EVTCHN':
      xen.sendPorts.change(attr.change);
      return;
    default:
      attr satisfies never;
  }
}

/** KVM_XEN_HVM_GET_ATTR. Throws XenError (ENOENT) for a name that cannot be read. */
export function getXenVmAttr<T extends XenVmAttr['type']>(vm: Vm, type: T): Of<XenVmAttr, T>;
export function getXenVmAttr(vm: Vm, type: XenVmAttr['type']): XenVmAttr {
  const xen = partOf(vm.xen);
  const { page } = xen.sharedInfo;
  switch (type) {
    case 'LONG_MODE':
      return { type, longMode: xen.longMode };
    case 'SHARED_INFO':
      return { type, gfn: page.activeGpa === null ? null : page.activeGpa / PAGE_SIZE };
    case 'SHARED_INFO_HVA':
      return { type, address: page.activeAddress ?? 0 };
    case 'UPCALL_VECTOR':
      return { type, vector: xen.upcallVector };
    case 'XEN_VERSION':
      return { type, version: xen.xenVersion };
    case 'RUNSTATE_UPDATE_FLAG':
      return { type, enabled: xen.runstateUpdateFlag };
    default:
      throw new XenError('ENOENT', `the attribute ${String(type)} of a VM cannot be read`);
  }
}

/** KVM_XEN_VCPU_SET_ATTR: outside of KVM_RUN, as vcpu->mutex has it. Throws XenError. */
export function setXenVcpuAttr(vcpu: Vcpu, attr: XenVcpuAttr): void {
  const xen = partOf(vcpu.xen);
  switch (attr.type) {
    case 'VCPU_INFO':
      place(xen.vcpuInfo, 'vcpu_info', attr.gpa, VCPU_INFO.SIZE);
      if (attr.gpa !== null) vcpu.requests.make(KVM_REQ.CLOCK_UPDATE);
      return;
    case 'VCPU_INFO_HVA':
      placeAtAddress(xen.vcpuInfo, 'vcpu_info', attr.address, VCPU_INFO.SIZE);
      if (attr.address !== 0) vcpu.requests.make(KVM_REQ.CLOCK_UPDATE);
      return;
    case 'VCPU_TIME_INFO':
      xen.clocks.placeAt(attr.gpa);
      return;
    case 'VCPU_ID':
      if (attr.vcpuId < 0 || attr.vcpuId >= MAX_VCPUS)
        throw new XenError('EINVAL', `a Xen vCPU number is 0 to ${MAX_VCPUS - 1}, not ${attr.vcpuId}`);
      xen.vcpuId = attr.vcpuId;
      return;
    case 'RUNSTATE_ADDR':
      xen.runstate.placeAt(attr.gpa);
      return;
    case 'RUNSTATE_CURRENT':
      xen.runstate.change(checkedState(attr.state));
      return;
    case 'RUNSTATE_DATA':
      checkedState(attr.state);
      xen.runstate.setData(attr);
      return;
    case 'RUNSTATE_ADJUST':
      if (attr.state !== null) checkedState(attr.state);
      xen.runstate.adjust(attr.state, attr.entryTime, attr.times);
      return;
    case 'TIMER':
      xen.timer.setState(attr);
      return;
    case 'TIMER_EVENTFD':
      xen.timer.eventfd = attr.eventfd;
      return;
    case 'UPCALL_VECTOR':
      xen.upcallVector = checkedVector(attr.vector);
      return;
    default:
      attr satisfies never;
  }
}

/** KVM_XEN_VCPU_GET_ATTR. Throws XenError. */
export function getXenVcpuAttr<T extends XenVcpuAttr['type']>(vcpu: Vcpu, type: T): Of<XenVcpuAttr, T>;
export function getXenVcpuAttr(vcpu: Vcpu, type: XenVcpuAttr['type']): XenVcpuAttr {
  const xen = partOf(vcpu.xen);
  switch (type) {
    case 'VCPU_INFO':
      return { type, gpa: xen.vcpuInfo.activeGpa };
    case 'VCPU_INFO_HVA':
      return { type, address: xen.vcpuInfo.activeAddress ?? 0 };
    case 'VCPU_TIME_INFO':
      return { type, gpa: xen.clocks.timeInfo.activeGpa };
    case 'VCPU_ID':
      return { type, vcpuId: xen.vcpuId };
    case 'RUNSTATE_ADDR':
      if (xen.runstate.area.gpa === null) throw new XenError('ENOENT', 'there is no runstate area');
      return { type, gpa: xen.runstate.area.gpa };
    case 'RUNSTATE_CURRENT':
      return { type, state: xen.runstate.data.state };
    case 'RUNSTATE_DATA':
      return { type, ...xen.runstate.data };
    case 'RUNSTATE_ADJUST':
      throw new XenError('EINVAL', 'RUNSTATE_ADJUST can only be set');
    case 'TIMER':
      return { type, ...xen.timer.getState() };
    case 'UPCALL_VECTOR':
      return { type, vector: xen.upcallVector };
    default:
      throw new XenError('ENOENT', `the attribute ${String(type)} of a vCPU cannot be read`);
  }
}

function checkedState(state: Runstate): Runstate {
  if (state >= RUNSTATE.RUNNING && state <= RUNSTATE.OFFLINE) return state;
  throw new XenError('EINVAL', `a runstate is 0 to 3, not ${String(state)}`);
}

function checkedVector(vector: number): number {
  if (vector === 0 || (vector >= FIRST_UPCALL_VECTOR && vector <= 0xff)) return vector;
  throw new XenError('EINVAL', `an upcall vector is 0 or from 0x10 to 0xff, not 0x${vector.toString(16)}`);
}
