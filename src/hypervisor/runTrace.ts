// What an entry and an exit say to whoever traces them. The order of events is run.ts's.

import { EXIT, type CodePlace, type Exit, type ExitReason } from '../cpu/exit.ts';
import { EVENT_TYPE, interruption } from '../cpu/events/interruption.ts';
import { codeAt } from '../cpu/segments/segmentation.ts';
import type { PhysicalCpu } from '../host/cpu.ts';
import { HOST_VECTORS, vectorOf } from '../host/ipi.ts';
import { KVM_ISA } from '../trace/probes.ts';
import { svmExit } from './svm/exitCode.ts';
import type { Vcpu } from './vcpu.ts';

/** The exit before its handler changes the registers that it is described by. */
export function describedExit(vcpu: Vcpu, reason: ExitReason): Exit {
  const { rip } = vcpu.guest.state;
  if (reason === EXIT.EXTERNAL_INTERRUPT) return { reason: 'EXTERNAL_INTERRUPT', rip, length: 0 };
  if (reason === EXIT.PREEMPTION_TIMER) return { reason: 'PREEMPTION_TIMER', rip, length: 0 };
  return vcpu.guest.exit();
}

/** The code that exited, before a handler takes the vCPU to other code. */
export const exitedCode = ({ guest: { state } }: Vcpu): CodePlace => codeAt(state, state.rip);

/** trace_kvm_entry(). */
export function traceEntry({ id, guest: { state }, cpu, probes }: Vcpu): void {
  const event = { vcpu: id, rip: state.rip, intrInfo: state.entryEvent, errorCode: state.entryErrorCode };
  probes.fire('kvm_entry', { ...event, immediateExit: false }, cpu.now);
}

/** trace_kvm_exit(), with the fields of vmx_get_exit_info(). */
export function traceExit(vcpu: Vcpu, reason: ExitReason): void {
  const { id, guest, cpu, probes, requests } = vcpu;
  const { state } = guest;
  if (reason === EXIT.STOPPED) return;
  if (vcpu.svm) {
    traceSvmExit(vcpu, reason);
    return;
  }
  const external = reason === EXIT.EXTERNAL_INTERRUPT || reason === EXIT.PREEMPTION_TIMER;
  const event = {
    vcpu: id,
    isa: KVM_ISA.VMX,
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

/** ... with those of svm_get_exit_info(). */
function traceSvmExit(vcpu: Vcpu, reason: ExitReason): void {
  const exit = describedExit(vcpu, reason);
  const { state } = vcpu.guest;
  const svm = svmExit(exit);
  if (svm === null) throw new Error(`${vcpu.name}: an exit of ${exit.reason}, which AMD processors do not have`);
  const event = {
    vcpu: vcpu.id,
    isa: KVM_ISA.SVM,
    reason: svm.code,
    rip: exit.rip,
    length: exit.length,
    info1: svm.info1,
    info2: svm.info2,
    intrInfo: state.vectoringEvent >>> 0,
    errorCode: state.vectoringErrorCode,
    requests: vcpu.requests.bits,
  };
  vcpu.probes.fire('kvm_exit', event, vcpu.cpu.now);
}

/** complete_userspace_io: a read that userspace has served is seen again, with its value. */
export function traceCompletion({ id, userspace: exit, userspaceAnswer: value, probes, cpu }: Vcpu): void {
  if (exit?.reason === 'IO' && exit.direction === 'in') {
    const { port, size } = exit;
    probes.fire('kvm_pio', { vcpu: id, write: false, port, size, count: 1, value: Number(value) }, cpu.now);
  } else if (exit?.reason === 'MMIO' && !exit.write) {
    const { size: length } = exit;
    probes.fire('kvm_mmio', { vcpu: id, write: false, gpa: BigInt(exit.gpa), length, value, satisfied: true }, cpu.now);
  }
}

/** The interrupt that ended guest mode. */
const hostVector = ({ events }: PhysicalCpu): number =>
  events.first === undefined ? HOST_VECTORS['local timer'] : vectorOf(events.first);
