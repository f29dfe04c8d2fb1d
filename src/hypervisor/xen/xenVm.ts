// What a virtual machine is to a Xen guest: struct kvm_xen and KVM_XEN_HVM_CONFIG. Null in a Vm that has no such guest.
// What only Xen's own policy knows (who is bound to which port, where the pages lie) the VMM says, by attributes.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import { KVM_REQ } from '../requests.ts';
import type { Vm } from '../vm.ts';
import type { XenCpuid } from './cpuid.ts';
import { XEN_LAYOUT_32, XEN_LAYOUT_64, type XenLayout } from './layout.ts';
import { XEN_CONFIG, XenError } from './names.ts';
import { EvtchnRoutes } from './irqfd.ts';
import { SendPorts } from './sendPorts.ts';
import { SharedInfo } from './sharedInfo.ts';
import { XenStat } from './stat.ts';

/** struct kvm_xen_hvm_config. */
export interface XenHvmConfig {
  /** XEN_CONFIG. */
  readonly flags: number;
  /** The MSR by which the guest asks for its hypercall page; 0: Xen is off. */
  readonly msr: number;
  /** The pages that it gets when hypercalls are not intercepted, whole pages one behind the other. */
  readonly blob32?: Uint8Array;
  readonly blob64?: Uint8Array;
}

/** Xen's range of MSRs, as KVM permits it. */
const FIRST_MSR = 0x4000_0000;
const LAST_MSR = 0x4fff_ffff;
const PERMITTED = Object.values(XEN_CONFIG).reduce((all, flag) => all | flag, 0);

export class XenVm {
  readonly sharedInfo: SharedInfo;
  readonly sendPorts: SendPorts;
  readonly routes: EvtchnRoutes;
  readonly stat = new XenStat();
  /** What the VMM has CPUID say. */
  readonly cpuid: XenCpuid;
  config: Cell<XenHvmConfig> = { flags: 0, msr: 0 };
  /** 64-bit layouts; follows the guest when it asks for its hypercall page. */
  longMode: Cell<boolean> = false;
  /** HVM_PARAM_CALLBACK_IRQ as a vector: of all vCPUs that have none of their own; 0: none. */
  upcallVector: Cell<number> = 0;
  /** XENVER_version's answer: major << 16 | minor; 0: the VMM answers. */
  xenVersion: Cell<number> = 0;
  /** vm_assist: runstate areas say that they are being written. */
  runstateUpdateFlag: Cell<boolean> = false;
  readonly #vm: Vm;

  constructor(vm: Vm, cpuid: XenCpuid) {
    this.#vm = vm;
    this.cpuid = cpuid;
    this.sharedInfo = new SharedInfo(vm);
    this.sendPorts = new SendPorts(vm);
    this.routes = new EvtchnRoutes(vm);
  }

  get layout(): XenLayout {
    return this.longMode ? XEN_LAYOUT_64 : XEN_LAYOUT_32;
  }
  /** kvm_xen_msr_enabled(). */
  get enabled(): boolean {
    return this.config.msr !== 0;
  }
  /** kvm_xen_hypercall_enabled(). */
  get interceptsHypercalls(): boolean {
    return (this.config.flags & XEN_CONFIG.INTERCEPT_HCALL) !== 0;
  }

  /** KVM_XEN_HVM_CONFIG. Throws XenError (EINVAL) and changes nothing. */
  configure(config: XenHvmConfig): void {
    const { flags, msr, blob32, blob64 } = config;
    if ((flags & ~PERMITTED) !== 0)
      throw new XenError('EINVAL', `flags 0x${flags.toString(16)} has bits that only report what KVM can do`);
    if ((flags & XEN_CONFIG.INTERCEPT_HCALL) !== 0 && (blob32 !== undefined || blob64 !== undefined))
      throw new XenError('EINVAL', 'with INTERCEPT_HCALL the hypercall page is made here, and no blob may be given');
    if (msr !== 0 && (msr < FIRST_MSR || msr > LAST_MSR))
      throw new XenError('EINVAL', `the hypercall MSR 0x${msr.toString(16)} is not from 0x40000000 to 0x4fffffff`);
    const changed = this.config.flags ^ flags;
    this.config = config;
    if ((changed & XEN_CONFIG.PVCLOCK_TSC_UNSTABLE) === 0) return;
    for (const vcpu of this.#vm.vcpus) {
      vcpu.requests.make(KVM_REQ.CLOCK_UPDATE);
      vcpu.kick();
    }
  }

  /** KVM_XEN_ATTR_TYPE_LONG_MODE, and what the guest's own write of the MSR latches. */
  setLongMode(longMode: boolean): void {
    this.longMode = longMode;
    if (this.sharedInfo.page.active) this.sharedInfo.writeWallClock(this.layout);
  }

  transfer(fields: SavedFields): void {
    this.sharedInfo.transfer(fields.part('sharedInfo'));
    this.sendPorts.transfer(fields.part('sendPorts'));
    this.routes.transfer(fields.part('routes'));
    this.stat.transfer(fields.part('stat'));
    this.config = fields.data('config', this.config);
    fields.own<XenVm>(this, 'longMode', 'upcallVector', 'xenVersion', 'runstateUpdateFlag');
  }
}
