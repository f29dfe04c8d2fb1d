// A Xen domain: what of Xen is policy, and so the VMM's (hypervisor/xen is what KVM does of it). Which port is bound to what,
// where Xen's pages lie, the console, and every hypercall that KVM does not answer.
//
// Theory (seed 001): KVM knows pages and ports, but not Xen's numbers of vCPUs, nor what a port stands for. So userspace is
// told of each binding, keeps it, and says by attributes what KVM is to deliver by itself: IPIs, loopback channels, the
// timer. All of it happens in one piece of host code, where upstream takes the mutex of each vCPU that is told something.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Vcpu } from '../../hypervisor/vcpu.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import { setXenVcpuAttr, setXenVmAttr } from '../../hypervisor/xen/attributes.ts';
import type { XenCpuid } from '../../hypervisor/xen/cpuid.ts';
import { COST } from '../../host/costs.ts';
import { setEvtchn } from '../../hypervisor/xen/evtchn.ts';
import { PRIO_2LEVEL, XEN_CONFIG, XEN_HYPERCALL, XenError } from '../../hypervisor/xen/names.ts';
import type { GuestConsole } from '../console.ts';
import type { MainLoop } from '../mainLoop.ts';
import type { MemoryRange } from '../ram.ts';
import { CALLBACK_TYPE, DOMID, ERRNO, VMASST_CMD, VMASST_TYPE_RUNSTATE_UPDATE_FLAG } from './abi.ts';
import { CallbackLine, gsiOfCallback } from './callbackLine.ts';
import { ConsoleRing } from './consoleRing.ts';
import { Delivery } from './delivery.ts';
import { eventChannelOp } from './eventChannelOp.ts';
import { grantTableOp } from './grantTableOp.ts';
import { Hypercall, HypercallError, type HypercallExit } from './hypercall.ts';
import { hvmOp } from './hvmOp.ts';
import { memoryOp } from './memoryOp.ts';
import { SharedPages } from './pages.ts';
import { physdevOp } from './physdevOp.ts';
import { Pirqs } from './pirqs.ts';
import { Ports } from './ports.ts';
import type { XenRouting } from './routing.ts';
import { schedOp } from './schedOp.ts';
import { Timers } from './timers.ts';
import { setTimerOp, vcpuOp } from './vcpuOp.ts';
import { DomainVcpus } from './vcpus.ts';
import { XEN_VERSION, xenVersion } from './xenVersion.ts';

/** What CPUID says of the domain. */
export const XEN_CPUID: XenCpuid = { version: XEN_VERSION, msr: 0x4000_0000, domainId: 1 };

/** A message to one LAPIC, fixed and edge-triggered. */
const MSI_ADDRESS = 0xfee0_0000n;
const MSI_DEST_SHIFT = 12n;

/** What a domain needs of its machine. */
export interface DomainMachine {
  readonly vm: Vm;
  readonly console: GuestConsole;
  readonly mainLoop: MainLoop;
  readonly memoryMap: readonly MemoryRange[];
  /** SCHEDOP_shutdown. */
  powerOff(): void;
  reset(by: string): void;
  crash(by: string): void;
  stop(what: string, hint: string): void;
}

export class XenDomain {
  readonly id = XEN_CPUID.domainId;
  readonly vm: Vm;
  readonly machine: DomainMachine;
  readonly vcpus: DomainVcpus;
  readonly timers: Timers;
  readonly ports: Ports;
  readonly pirqs: Pirqs;
  readonly pages: SharedPages;
  readonly callbackLine: CallbackLine;
  readonly console: ConsoleRing;
  /** HVM_PARAM_CALLBACK_IRQ. */
  callbackVia = 0n;

  /** Switches Xen on in KVM; the guest finds it by CPUID. `routing`: how events come, where it is not as by default. */
  constructor(machine: DomainMachine, routing: Partial<XenRouting> = {}) {
    const { vm, mainLoop } = machine;
    const raise = (port: number): void => this.raise(port);
    this.vm = vm;
    this.machine = machine;
    vm.xen!.configure({ flags: XEN_CONFIG.INTERCEPT_HCALL | XEN_CONFIG.EVTCHN_SEND, msr: XEN_CPUID.msr });
    // Xen's own layouts, until the guest shows the mode that it is in.
    setXenVmAttr(vm, { type: 'LONG_MODE', longMode: true });
    setXenVmAttr(vm, { type: 'XEN_VERSION', version: (XEN_VERSION.major << 16) | XEN_VERSION.minor });
    for (const vcpu of vm.vcpus) setXenVcpuAttr(vcpu, { type: 'VCPU_ID', vcpuId: vcpu.id });
    this.vcpus = new DomainVcpus(vm);
    this.timers = new Timers(vm, mainLoop, raise);
    const delivery = new Delivery(vm, this.timers, routing);
    this.ports = new Ports(vm, this.id, delivery);
    this.pirqs = new Pirqs(vm, delivery, mainLoop, raise);
    this.pages = new SharedPages(vm);
    this.callbackLine = new CallbackLine(vm, this.pages, mainLoop);
    const port = this.ports.bind({ kind: 'interdomain', remoteDomain: DOMID.BACKEND, remotePort: 1 }, 0);
    this.console = new ConsoleRing(vm, machine.console, port, raise);
  }

  get memoryMap(): readonly MemoryRange[] {
    return this.machine.memoryMap;
  }

  /** Answers a hypercall that has come to userspace. What nobody implements is -ENOSYS, and noted. */
  serve(vcpu: Vcpu, exit: HypercallExit): void {
    vcpu.xen!.hypercallResult = BigInt(this.#answer(new Hypercall(vcpu, exit)));
  }

  /** HVM_PARAM_CALLBACK_IRQ is a vector, or vCPU 0 has one of its own. */
  get hasVector(): boolean {
    return Number(this.callbackVia >> 56n) === CALLBACK_TYPE.VECTOR || this.vm.vcpus[0]!.xen!.upcallVector !== 0;
  }

  /** KVM_XEN_HVM_EVTCHN_SEND to a port that the guest has bound. While it has no shared_info, nobody hears of it. */
  raise(number: number): void {
    const port = this.ports.find(number);
    this.vm.host.thisCpu.charge(COST.ioctl);
    if (port === undefined) return;
    setEvtchn(this.vm, { port: number, vcpu: port.vcpu, priority: PRIO_2LEVEL });
    this.callbackLine.update();
  }

  /** HVM_PARAM_CALLBACK_IRQ, or a vector of vCPU 0, has changed: which comes before the other. */
  callbackChanged(): void {
    const gsi = this.vm.vcpus[0]!.xen!.upcallVector === 0 ? gsiOfCallback(this.callbackVia) : null;
    this.ports.reroute(gsi !== null);
    this.callbackLine.use(gsi);
  }

  /** EVTCHNOP_bind_pirq: the port. Throws HypercallError. */
  bindPirq(pirq: number): number {
    return this.pirqs.bind(pirq, () => this.ports.bind({ kind: 'pirq', pirq }, 0));
  }

  /** EVTCHNOP_close: an event that waits on the port is forgotten. Throws HypercallError. */
  close(number: number): void {
    const binding = this.ports.at(number)?.binding;
    this.ports.close(number);
    if (binding?.kind === 'pirq') this.pirqs.unbind(binding.pirq);
    this.pages.testAndClear(this.vm.xen!.layout.pending, number);
  }

  /** hvm_assert_evtchn_irq(): an event came before the vCPU had this vector, which comes as a message to its LAPIC. */
  interruptIfPending(vcpu: number, vector: number): void {
    if (this.pages.upcallPending(vcpu)) this.vm.signalMsi(MSI_ADDRESS | (BigInt(vcpu) << MSI_DEST_SHIFT), vector);
  }

  transfer(fields: SavedFields): void {
    this.ports.transfer(fields.part('ports'));
    this.pirqs.transfer(fields.part('pirqs'));
    this.vcpus.transfer(fields.part('vcpus'));
    this.timers.transfer(fields.part('timers'));
    this.pages.transfer(fields.part('pages'));
    this.console.transfer(fields.part('console'));
    this.callbackLine.transfer(fields.part('callbackLine'));
    this.callbackVia = fields.value('callbackVia', this.callbackVia);
  }

  #answer(call: Hypercall): number {
    // hvm_hypercall(): the guest's kernel only.
    if (call.cpl !== 0) return refuse(call, new HypercallError('EPERM', `a hypercall from CPL ${call.cpl}`));
    try {
      const answer = this.#dispatch(call);
      if (answer !== null) return answer;
      this.vm.diagnostics.note('hypercall', call.nr, '-ENOSYS', call.vcpu);
      return refuse(call, new HypercallError('ENOSYS', 'there is no such operation'));
    } catch (error) {
      if (error instanceof HypercallError || error instanceof XenError) return refuse(call, error);
      throw error;
    }
  }

  /** Null: there is no such call, or no such operation of it. */
  #dispatch(call: Hypercall): number | null {
    switch (call.nr) {
      case XEN_HYPERCALL.MEMORY_OP:
        return memoryOp(this, call);
      case XEN_HYPERCALL.SET_TIMER_OP:
        return setTimerOp(this, call);
      case XEN_HYPERCALL.XEN_VERSION:
        return xenVersion(call);
      case XEN_HYPERCALL.GRANT_TABLE_OP:
        return grantTableOp(this, call);
      case XEN_HYPERCALL.VM_ASSIST:
        return vmAssist(this, call);
      case XEN_HYPERCALL.VCPU_OP:
        return vcpuOp(this, call);
      case XEN_HYPERCALL.SCHED_OP:
        return schedOp(this, call);
      case XEN_HYPERCALL.EVENT_CHANNEL_OP:
        return eventChannelOp(this, call);
      case XEN_HYPERCALL.PHYSDEV_OP:
        return physdevOp(this, call);
      case XEN_HYPERCALL.HVM_OP:
        return hvmOp(this, call);
      default:
        return null;
    }
  }
}

function refuse({ vcpu, nr }: Hypercall, { code, message }: HypercallError | XenError): number {
  const { probes, id } = vcpu;
  if (probes.active) probes.fire('xen_hypercall_error', { vcpu: id, nr, why: message }, vcpu.now());
  return -ERRNO[code];
}

/** HYPERVISOR_vm_assist: an HVM guest may have runstates that say when they are being written. */
function vmAssist({ vm }: XenDomain, call: Hypercall): number | null {
  const command = call.u32(0);
  if (command !== VMASST_CMD.ENABLE && command !== VMASST_CMD.DISABLE) return null;
  if (call.u32(1) !== VMASST_TYPE_RUNSTATE_UPDATE_FLAG)
    throw new HypercallError('EINVAL', `there is no assistance ${call.u32(1)} for an HVM guest`);
  setXenVmAttr(vm, { type: 'RUNSTATE_UPDATE_FLAG', enabled: command === VMASST_CMD.ENABLE });
  return 0;
}
