// What an entry and an exit say to whoever traces them. The order of events is run.ts's.

import { EXIT, type Exit, type ExitReason } from '../cpu/exit.ts';
import { EVENT_TYPE, interruption } from '../cpu/interruption.ts';
import type { PhysicalCpu } from '../host/cpu.ts';
import { HOST_VECTORS, vectorOf } from '../host/ipi.ts';
import type { Vcpu } from './vcpu.ts';

/** The exit before its handler changes the registers that it is described by. */
export function describedExit(vcpu: Vcpu, reason: ExitReason): Exit {
  const { rip } = vcpu.guest.state;
  if (reason === EXIT.EXTERNAL_INTERRUPT) return { reason: 'EXTERNAL_INTERRUPT', rip, length: 0 };
  if (reason === EXIT.PREEMPTION_TIMER) return { reason: 'PREEMPTION_TIMER', rip, length: 0 };
  return vcpu.guest.exit();
}

/** trace_kvm_entry(). */
export function traceEntry({ id, guest: { state }, cpu, probes }: Vcpu): void {
  const event = { vcpu: id, rip: state.rip, intrInfo: state.entryEvent, errorCode: state.entryErrorCode };
  probes.fire('kvm_entry', { ...event, immediateExit: false }, cpu.now);
}

/** trace_kvm_exit(), with the fields of vmx_get_exit_info(). */
export function traceExit({ id, guest: { state }, cpu, probes, requests }: Vcpu, reason: ExitReason): void {
  if (reason === EXIT.STOPPED) return;
  const external = reason === EXIT.EXTERNAL_INTERRUPT || reason === EXIT.PREEMPTION_TIMER;
  const event = {
    vcpu: id,
    reason,
    rip: state.rip,
    length: external ? 0 : state.exitLength,
    info1: external ? 0n : state.exitQualification,
    info2: BigInt(state.vectoringEvent >>> 0),
    intrInfo: reason === EXIT.EXTERNAL_INTERRUPT ? interruption(EVENT_TYPE.EXTERNAL, hostVector(cpu)) : 0,
    errorCode: 0,
    requests: requests.bits,
  };
  probes.fire('kvm_exit', event, cpu.now);
}

/** The interrupt that ended guest mode. */
const hostVector = ({ events }: PhysicalCpu): number =>
  events.first === undefined ? HOST_VECTORS['local timer'] : vectorOf(events.first);
