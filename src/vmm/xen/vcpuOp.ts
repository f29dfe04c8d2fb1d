// HYPERVISOR_vcpu_op, but for the timers that KVM handles: where a vCPU's areas lie, and whether it is up. Areas are registered
// by linear addresses, but for vcpu_info.

import { getXenVcpuAttr, setXenVcpuAttr } from '../../hypervisor/xen/attributes.ts';
import { RUNSTATE } from '../../hypervisor/xen/names.ts';
import { timerOpDeadline } from '../../hypervisor/xen/timer.ts';
import { PAGE_SIZE } from '../../x86/names/paging.ts';
import { VCPUOP } from './abi.ts';
import type { XenDomain } from './domain.ts';
import { HypercallError, type Hypercall } from './hypercall.ts';
import { readVcpuContext, VCPU_CONTEXT_SIZE } from './vcpuContext.ts';

/** VCPU_SSHOTTMR_future. */
const FUTURE = 1 << 0;
/** Of a periodic timer: a millisecond, and Xen's STIME_DELTA_MAX. */
const LEAST_PERIOD_NS = 1_000_000n;
const MOST_PERIOD_NS = (1n << 62n) - 1n;

/** Null: there is no such operation. */
export function vcpuOp(domain: XenDomain, call: Hypercall): number | null {
  const id = call.u32(1);
  const argument = call.pointer(2);
  domain.ports.checkVcpu(id);
  const vcpu = domain.vm.vcpus[id]!;
  const { vcpus } = domain;
  switch (call.u32(0)) {
    case VCPUOP.INITIALISE: {
      const context = call.copyFrom(argument, VCPU_CONTEXT_SIZE);
      if (vcpus.isInitialised(vcpu)) throw new HypercallError('EEXIST', `vCPU ${id} is initialised`);
      vcpus.initialise(vcpu, readVcpuContext(context));
      return 0;
    }
    case VCPUOP.UP:
      vcpus.up(vcpu);
      return 0;
    case VCPUOP.DOWN:
      if (!vcpus.down(vcpu)) domain.machine.powerOff();
      return 0;
    case VCPUOP.IS_UP:
      return vcpus.isUp(vcpu) ? 1 : 0;
    case VCPUOP.GET_RUNSTATE_INFO:
      call.copyTo(argument, runstateOf(domain, id));
      return 0;
    case VCPUOP.REGISTER_VCPU_INFO: {
      const info = call.copyFrom(argument, 16);
      if (vcpu !== call.vcpu && vcpus.isUp(vcpu))
        throw new HypercallError('EINVAL', `vCPU ${id} is up, and not the caller`);
      const offset = info.getUint32(8, true);
      if (offset > PAGE_SIZE) throw new HypercallError('EINVAL', `the offset ${offset} is beyond a page`);
      domain.pages.moveVcpuInfo(id, Number(info.getBigUint64(0, true)) * PAGE_SIZE + offset);
      domain.callbackLine.update();
      return 0;
    }
    case VCPUOP.REGISTER_RUNSTATE_MEMORY_AREA:
      setXenVcpuAttr(vcpu, { type: 'RUNSTATE_ADDR', gpa: areaAt(call, argument) });
      return 0;
    case VCPUOP.REGISTER_VCPU_TIME_MEMORY_AREA:
      setXenVcpuAttr(vcpu, { type: 'VCPU_TIME_INFO', gpa: areaAt(call, argument) });
      return 0;
    case VCPUOP.SET_PERIODIC_TIMER:
      domain.timers.setPeriodic(id, checkedPeriod(call.copyFrom(argument, 8).getBigUint64(0, true)));
      return 0;
    case VCPUOP.STOP_PERIODIC_TIMER:
      domain.timers.setPeriodic(id, 0n);
      return 0;
    case VCPUOP.SET_SINGLESHOT_TIMER:
      if (vcpu !== call.vcpu) throw new HypercallError('EINVAL', `the timer of vCPU ${id}, which is not the caller`);
      setSingleshot(domain, call);
      return 0;
    case VCPUOP.STOP_SINGLESHOT_TIMER:
      if (vcpu !== call.vcpu) throw new HypercallError('EINVAL', `the timer of vCPU ${id}, which is not the caller`);
      domain.timers.stopSingleshot(id);
      return 0;
    default:
      return null;
  }
}

/** struct vcpu_register_runstate_memory_area and its like: a linear address, in eight bytes of either word size. */
function areaAt(call: Hypercall, argument: bigint): number {
  const area = call.copyFrom(argument, 8);
  return call.translate(call.is64Bit ? area.getBigUint64(0, true) : BigInt(area.getUint32(0, true)));
}

function checkedPeriod(ns: bigint): bigint {
  if (ns >= LEAST_PERIOD_NS && ns <= MOST_PERIOD_NS) return ns;
  throw new HypercallError('EINVAL', `a period is ${LEAST_PERIOD_NS} to ${MOST_PERIOD_NS} ns, not ${ns}`);
}

/** VCPUOP_set_singleshot_timer where KVM does not handle it. */
function setSingleshot({ vm, timers }: XenDomain, call: Hypercall): void {
  const timer = call.copyFrom(call.pointer(2), call.is64Bit ? 16 : 12);
  const timeoutNs = timer.getBigUint64(0, true);
  if ((timer.getUint32(8, true) & FUTURE) !== 0 && timeoutNs < vm.clock.nanoseconds())
    throw new HypercallError('ETIME', 'a timeout that is to be in the future has passed');
  timers.setSingleshot(call.vcpu.id, timeoutNs);
}

/** HYPERVISOR_set_timer_op, likewise; 32-bit code passes the timeout in two halves. */
export function setTimerOp({ vm, timers }: XenDomain, call: Hypercall): number {
  const timeoutNs = call.is64Bit ? call.pointer(0) : call.pointer(0) | (call.pointer(1) << 32n);
  if (timeoutNs === 0n) timers.stopSingleshot(call.vcpu.id);
  else timers.setSingleshot(call.vcpu.id, timerOpDeadline(timeoutNs, vm.clock.nanoseconds()));
  return 0;
}

/** struct vcpu_runstate_info, up to now. */
function runstateOf({ vm }: XenDomain, id: number): Uint8Array {
  const { state, entryTime, times } = getXenVcpuAttr(vm.vcpus[id]!, 'RUNSTATE_DATA');
  const { entryTime: at, runstateSize } = vm.xen!.layout;
  const info = new DataView(new ArrayBuffer(runstateSize));
  info.setUint32(0, state, true);
  info.setBigUint64(at, entryTime, true);
  for (const known of Object.values(RUNSTATE)) {
    const passed = known === state ? vm.clock.nanoseconds() - entryTime : 0n;
    info.setBigUint64(at + 8 * (known + 1), times[known] + passed, true);
  }
  return new Uint8Array(info.buffer);
}
