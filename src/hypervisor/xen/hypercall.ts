// Xen's hypercalls: those that are answered here, and how the others get to the VMM and back (kvm_xen_hypercall of Linux 6.16
// arch/x86/kvm/xen.c).
//
// Theory: 64-bit code passes the number in RAX and arguments in RDI, RSI, RDX, R10, R8, R9; 32-bit code in EAX and EBX, ECX,
// EDX, ESI, EDI, EBP. The answer is in RAX, negative for an error. Only what is frequent is answered here, and only from CPL 0; all
// else returns to userspace with KVM_EXIT_XEN. The VMM's answer is written, and the instruction stepped over, when KVM_RUN is
// called again, but only if RIP still is where it was: a vCPU that was reset meanwhile starts where it must.

import { is64BitMode } from '../../cpu/segments/codeMode.ts';
import { linearRip } from '../../cpu/segments/segmentation.ts';
import { GPR } from '../../x86/names/registers.ts';
import { say, skipInstruction, TO_USERSPACE, type Disposition } from '../exits/handler.ts';
import { readGuestVirt } from '../guestVirt.ts';
import type { Vcpu } from '../vcpu.ts';
import { EVTCHN, setEvtchn } from './evtchn.ts';
import { XEN_LAYOUT_32, XEN_LAYOUT_64 } from './layout.ts';
import {
  EVTCHNOP,
  SCHEDOP,
  VCPUOP,
  XEN_CONFIG,
  XEN_ERRNO,
  XEN_HYPERCALL,
  xenHypercallName,
  XENVER_VERSION,
  type XenErrno,
} from './names.ts';

const IN_64_BIT = [GPR.RDI, GPR.RSI, GPR.RDX, GPR.R10, GPR.R8, GPR.R9] as const;
const IN_32_BIT = [GPR.RBX, GPR.RCX, GPR.RDX, GPR.RSI, GPR.RDI, GPR.RBP] as const;

/** A call from CPL 0. What answers it returns null where the VMM is to. */
interface XenCall {
  readonly vcpu: Vcpu;
  readonly nr: number;
  readonly is64Bit: boolean;
  readonly params: readonly bigint[];
}

const SUCCESS = 0n;

/** The answer to a call that is wrong: a negative errno. */
function refuse({ vcpu, nr }: XenCall, code: XenErrno, why: string): bigint {
  if (vcpu.probes.active)
    vcpu.probes.fire('xen_hypercall_error', { vcpu: vcpu.id, nr, why: `${why} (${code})` }, vcpu.now());
  return BigInt(-XEN_ERRNO[code]);
}
const fault = (call: XenCall, gva: bigint): bigint =>
  refuse(call, 'EFAULT', `there is no guest memory at 0x${gva.toString(16)}`);

export function handleXenHypercall(vcpu: Vcpu): Disposition {
  const { guest, vm, probes } = vcpu;
  const { state } = guest;
  const is64Bit = is64BitMode(state);
  const input = is64Bit ? state.gpr(GPR.RAX) : BigInt(state.gpr32(GPR.RAX));
  const params = is64Bit
    ? IN_64_BIT.map((register) => state.gpr(register))
    : IN_32_BIT.map((register) => BigInt(state.gpr32(register)));
  const { cpl } = state;
  if (probes.active) probes.fire('kvm_xen_hypercall', { cpl, nr: input, args: params }, vm.host.thisCpu.now);
  const answer = cpl === 0 ? answerHere({ vcpu, nr: Number(input & 0xffff_ffffn), is64Bit, params }, input) : null;
  const { stat } = vm.xen!;
  if (answer !== null) {
    stat.hypercalls++;
    if (probes.active) say(vcpu, `${describeCall(input, params)} answered ${answer}`);
    return finish(vcpu, answer);
  }
  stat.hypercallExits++;
  if (probes.active) say(vcpu, `${describeCall(input, params)} is for the VMM`);
  vcpu.userspace = { reason: 'XEN', type: 'HCALL', longMode: is64Bit, cpl, input, params };
  vcpu.xen!.hypercallRip = linearRip(state, state.rip);
  return TO_USERSPACE;
}

/** `vcpu_op 8`: with the operation, which all but one have in their first argument. */
const describeCall = (input: bigint, [op]: readonly bigint[]): string =>
  `${xenHypercallName(input)}${input === BigInt(XEN_HYPERCALL.SET_TIMER_OP) ? '' : ` ${op}`}`;

/** kvm_xen_hypercall_complete_userspace(): KVM_RUN again after a hypercall's exit. */
export function completeXenHypercall(vcpu: Vcpu): void {
  const xen = vcpu.xen!;
  const { state } = vcpu.guest;
  const rip = xen.hypercallRip;
  if (rip === null) return;
  xen.hypercallRip = null;
  if (linearRip(state, state.rip) === rip) finish(vcpu, xen.hypercallResult);
}

function finish(vcpu: Vcpu, answer: bigint): Disposition {
  const { state } = vcpu.guest;
  if (answer < 0n) vcpu.vm.xen!.stat.hypercallErrors++;
  state.setGpr(GPR.RAX, BigInt.asUintN(is64BitMode(state) ? 64 : 32, answer));
  return skipInstruction(vcpu);
}

function answerHere(call: XenCall, input: bigint): bigint | null {
  const { vcpu, is64Bit, params } = call;
  const op = Number(params[0]! & 0xffff_ffffn);
  switch (Number(input)) {
    case XEN_HYPERCALL.XEN_VERSION:
      return params[0] === BigInt(XENVER_VERSION) && vcpu.vm.xen!.xenVersion !== 0
        ? BigInt(vcpu.vm.xen!.xenVersion)
        : null;
    case XEN_HYPERCALL.EVENT_CHANNEL_OP:
      return params[0] === BigInt(EVTCHNOP.SEND) ? sendEvent(call) : null;
    case XEN_HYPERCALL.SCHED_OP:
      return schedOp(call, op);
    case XEN_HYPERCALL.VCPU_OP:
      return vcpuOp(call, op);
    case XEN_HYPERCALL.SET_TIMER_OP:
      return setTimerOp(vcpu, is64Bit ? params[0]! : params[0]! | (params[1]! << 32n));
    default:
      return null;
  }
}

/** kvm_read_guest_virt(): null is EFAULT. */
function readArgument(vcpu: Vcpu, gva: bigint, size: number): DataView | null {
  const bytes = readGuestVirt(vcpu, gva, size);
  return bytes === null ? null : new DataView(bytes.buffer, bytes.byteOffset, size);
}

/** EVTCHNOP_send, of a port that the VMM has bound; kvm_xen_hcall_evtchn_send(). */
function sendEvent(call: XenCall): bigint | null {
  const { vcpu, params } = call;
  const argument = readArgument(vcpu, params[1]!, 4);
  if (argument === null) return fault(call, params[1]!);
  const target = vcpu.vm.xen!.sendPorts.at(argument.getUint32(0, true));
  if (target === undefined) return null;
  if (target.kind === 'eventfd') {
    vcpu.vm.xen!.stat.eventfds++;
    target.eventfd.signal();
    return SUCCESS;
  }
  const result = setEvtchn(vcpu.vm, target);
  return result < 0 && result !== EVTCHN.MASKED ? null : SUCCESS;
}

/** kvm_xen_hcall_sched_op(): poll, where it cannot wait here, is a yield, after which the guest looks again. */
function schedOp(call: XenCall, op: number): bigint | null {
  if (op === SCHEDOP.POLL && (call.vcpu.vm.xen!.config.flags & XEN_CONFIG.EVTCHN_SEND) !== 0) return poll(call);
  if (op !== SCHEDOP.POLL && op !== SCHEDOP.YIELD) return null;
  yieldToPreempted(call.vcpu);
  return SUCCESS;
}

/** Xen's limit of the ports of one poll. */
const MOST_PORTS = 128;

/** kvm_xen_schedop_poll(). */
function poll(call: XenCall): bigint {
  const { vcpu, is64Bit, params } = call;
  const { pollCount, pollTimeout, pollSize } = is64Bit ? XEN_LAYOUT_64 : XEN_LAYOUT_32;
  const argument = readArgument(vcpu, params[1]!, pollSize);
  if (argument === null) return fault(call, params[1]!);
  const count = argument.getUint32(pollCount, true);
  if (count > MOST_PORTS) return refuse(call, 'EINVAL', `${count} ports are more than the ${MOST_PORTS} of one poll`);
  const pointer = is64Bit ? argument.getBigUint64(0, true) : BigInt(argument.getUint32(0, true));
  const list = readArgument(vcpu, pointer, 4 * count);
  if (list === null) return fault(call, pointer);
  const ports = Array.from({ length: count }, (_, index) => list.getUint32(4 * index, true));
  const limit = vcpu.vm.xen!.layout.ports;
  const wrong = ports.find((port) => port >= limit);
  if (wrong !== undefined) return refuse(call, 'EINVAL', `ports are 0 to ${limit - 1}, and none is ${wrong}`);
  vcpu.xen!.poll.begin(ports, argument.getBigUint64(pollTimeout, true));
  return SUCCESS;
}

/** kvm_vcpu_on_spin(): a vCPU that has lost its CPU goes first. */
function yieldToPreempted({ vm, id }: Vcpu): void {
  const count = vm.vcpus.length;
  for (let step = 1; step < count; step++) {
    const { thread } = vm.vcpus[(id + step) % count]!;
    if (thread !== null && vm.host.scheduler.yieldTo(thread)) return;
  }
}

/** kvm_xen_hcall_vcpu_op(): the timer of this vCPU. Others' timers cannot be set. */
function vcpuOp(call: XenCall, op: number): bigint | null {
  const { vcpu, is64Bit, params } = call;
  const xen = vcpu.xen!;
  if (!xen.timer.enabled) return null;
  if (op !== VCPUOP.SET_SINGLESHOT_TIMER && op !== VCPUOP.STOP_SINGLESHOT_TIMER) return null;
  const id = BigInt.asIntN(32, params[1]!);
  if (id !== BigInt(xen.vcpuId))
    return refuse(call, 'EINVAL', `vCPU ${xen.vcpuId} cannot have the timer of vCPU ${id}`);
  if (op === VCPUOP.STOP_SINGLESHOT_TIMER) {
    xen.timer.stop();
    return SUCCESS;
  }
  // The padding is read, too, as Xen does: it may lie in a page that is not there.
  const argument = readArgument(vcpu, params[2]!, (is64Bit ? XEN_LAYOUT_64 : XEN_LAYOUT_32).singleshotSize);
  if (argument === null) return fault(call, params[2]!);
  xen.timer.set(argument.getBigUint64(0, true));
  return SUCCESS;
}

/** kvm_xen_hcall_set_timer_op(): 0 disarms. */
function setTimerOp(vcpu: Vcpu, timeout: bigint): bigint | null {
  const { timer } = vcpu.xen!;
  if (!timer.enabled) return null;
  if (timeout === 0n) timer.stop();
  else timer.setTimerOp(timeout);
  return SUCCESS;
}
