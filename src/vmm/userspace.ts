// Userspace's half of a vCPU thread: calls KVM_RUN for ever and serves what it returns with. Where an access ends up is said
// by the buses; when the machine ends, by the devices.

import type { TripleFault } from '../cpu/exit.ts';
import { KVM_EXIT } from '../hypervisor/names.ts';
import { DEPENDS, type CountMore } from '../hypervisor/roundTrip.ts';
import { vcpuRun } from '../hypervisor/run.ts';
import { RUN_POINT, type RunPoint } from '../hypervisor/runPoint.ts';
import type { UserspaceExit } from '../hypervisor/userspace.ts';
import type { Vcpu } from '../hypervisor/vcpu.ts';
import { XEN_ERRNO } from '../hypervisor/xen/names.ts';
import { SETTLE } from '../host/host.ts';
import { block, type Sleep } from '../host/sleep.ts';
import type { MmioBus } from '../hypervisor/bus/mmio.ts';
import type { PortBus } from '../hypervisor/bus/ports.ts';
import type { RunResult } from './result.ts';
import { reportVcpu } from './vcpuReport.ts';
import type { XenDomain } from './xen/domain.ts';

/** What a vCPU thread needs of its machine. */
export interface Userspace {
  readonly ports: PortBus;
  readonly mmio: MmioBus;
  /** Null: the guest is not Xen's, or whoever has booted it answers for Xen. */
  readonly xen: XenDomain | null;
  /** Set once the machine has ended. */
  readonly result: RunResult | null;
  /** vCPU threads that come out of KVM_RUN by a signal wait until it is over. */
  readonly paused: boolean;
  /** The vCPU whose access is being served. */
  active: Vcpu | null;
  end(result: RunResult): void;
}

/** The body of a vCPU's thread: ends with the machine. It begins at the point that `vcpu.place` names. */
export function* vcpuThread(userspace: Userspace, vcpu: Vcpu): Sleep<void> {
  let from: RunPoint = vcpu.place.point;
  while (userspace.result === null) {
    if (userspace.xen !== null && (from === RUN_POINT.START || from === RUN_POINT.DOWN)) {
      yield* userspace.xen.vcpus.wait(vcpu, from, () => userspace.paused);
      from = RUN_POINT.START;
    }
    let exit = vcpu.userspace!;
    if (from < RUN_POINT.USERSPACE) {
      exit = yield* vcpuRun(vcpu, from);
      returned(userspace, vcpu, exit);
      // Devices see accesses in the order of time.
      if (vcpu.vm.host.isAhead(vcpu.cpu)) {
        vcpu.place.point = RUN_POINT.USERSPACE;
        yield SETTLE;
      }
    }
    if (exit.reason === 'INTR') yield* waitWhilePaused(userspace, vcpu);
    serve(userspace, vcpu, exit);
    from = RUN_POINT.START;
  }
}

/** The same for an access whose vCPU has nobody before it in time, within its run. False: the machine has ended. */
export function serveAccess(userspace: Userspace, vcpu: Vcpu, exit: UserspaceExit): boolean {
  returned(userspace, vcpu, exit);
  serve(userspace, vcpu, exit);
  return userspace.result === null;
}

/** KVM_RUN has returned. */
function returned({ xen }: Userspace, { id, probes, cpu }: Vcpu, { reason }: UserspaceExit): void {
  if (probes.active) probes.fire('kvm_userspace_exit', { vcpu: id, reason: KVM_EXIT[reason] }, cpu.now);
  if (xen !== null && id === 0) xen.callbackLine.settle();
}

function* waitWhilePaused(userspace: Userspace, { place, vm: { host } }: Vcpu): Sleep<void> {
  host.endStep();
  place.point = RUN_POINT.PAUSED;
  while (userspace.paused) yield* block('the machine to go on');
}

function tripleFault({ guest }: Vcpu): TripleFault {
  const exit = guest.exit();
  if (exit.reason !== 'TRIPLE_FAULT') throw new Error(`userspace was told of a shutdown after ${exit.reason}`);
  const { first, last, cr2 } = exit;
  return { first, last, cr2 };
}

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

function serve(userspace: Userspace, vcpu: Vcpu, exit: UserspaceExit): void {
  userspace.active = vcpu;
  answer(userspace, vcpu, exit);
  userspace.active = null;
}

type PortAccess = Extract<UserspaceExit, { reason: 'IO' }>;

function servePort({ ports }: Userspace, vcpu: Vcpu, access: PortAccess): void {
  const { port, size } = access;
  let value = 0;
  let unclaimed: boolean;
  if (access.direction === 'in') ({ value, unclaimed } = ports.read(port, size));
  else unclaimed = ports.write(port, size, access.value);
  if (unclaimed) noteUnclaimed(vcpu, access, 1);
  if (vcpu.recurrence.watched) allowAgain(ports, vcpu, access, unclaimed);
  vcpu.complete(value);
}

/** Whether the same access may be made again without userspace. */
function allowAgain(ports: PortBus, { recurrence }: Vcpu, access: PortAccess, unclaimed: boolean): void {
  const { port, size, direction } = access;
  const clock = direction === 'in' ? ports.clock(port, size) : null;
  if (clock !== null) recurrence.allowReading(clock);
  else if (ports.isSteady(port, size))
    recurrence.allow(DEPENDS.ON_MORE, unclaimed ? countUnclaimed(access) : undefined);
}

function noteUnclaimed(vcpu: Vcpu, { port, direction }: PortAccess, times: number): void {
  const [what, answered] = direction === 'in' ? (['port-in', 'all ones'] as const) : (['port-out', 'ignored'] as const);
  vcpu.vm.diagnostics.note(what, port, answered, vcpu, times);
}

const countUnclaimed =
  (access: PortAccess): CountMore =>
  (vcpu, times) =>
    noteUnclaimed(vcpu, access, times);

function answer(userspace: Userspace, vcpu: Vcpu, exit: UserspaceExit): void {
  const { diagnostics } = vcpu.vm;
  switch (exit.reason) {
    case 'IO':
      servePort(userspace, vcpu, exit);
      return;
    case 'MMIO': {
      const device = userspace.mmio.at(exit.gpa);
      if (device === undefined)
        diagnostics.note(exit.write ? 'mmio-write' : 'mmio-read', exit.gpa, exit.write ? 'ignored' : 'all ones', vcpu);
      if (exit.write) device?.write(exit.gpa - device.gpa, exit.size, exit.value);
      vcpu.complete(
        exit.write ? 0n : (device?.read(exit.gpa - device.gpa, exit.size) ?? BigInt.asUintN(8 * exit.size, ALL_ONES)),
      );
      return;
    }
    case 'XEN':
      if (userspace.xen !== null) userspace.xen.serve(vcpu, exit);
      else {
        diagnostics.note('hypercall', Number(exit.input), '-ENOSYS', vcpu);
        vcpu.xen!.hypercallResult = BigInt(-XEN_ERRNO.ENOSYS);
      }
      return;
    case 'INTR':
      return;
    case 'SHUTDOWN':
      userspace.end({ kind: 'triple-fault', vcpu: reportVcpu(vcpu), fault: tripleFault(vcpu) });
      return;
    case 'INTERNAL_ERROR':
      userspace.end({ kind: 'not-implemented', what: exit.what, hint: exit.hint, vcpu: reportVcpu(vcpu) });
      return;
    default:
      exit satisfies never;
  }
}
