// Where a vCPU stands, for a person who asks why a machine does not go on.

import { describeWait, isHalted } from '../hypervisor/block.ts';
import type { MpState } from '../hypervisor/lapic/owner.ts';
import { RUN_POINT } from '../hypervisor/runPoint.ts';
import type { Vcpu } from '../hypervisor/vcpu.ts';
import { RFLAGS } from '../x86/names/registers.ts';

export interface VcpuReport {
  readonly vcpu: number;
  readonly state: MpState;
  readonly rip: bigint;
  /** Guest TSC at its position. */
  readonly tsc: bigint;
  readonly interruptsEnabled: boolean;
  /** Guest TSC for which its timer is armed; 0: not armed. */
  readonly deadline: bigint;
  /** What it waits for, when it waits. */
  readonly waitsFor: string | null;
}

export function reportVcpu(vcpu: Vcpu): VcpuReport {
  const { state } = vcpu.guest;
  return {
    vcpu: vcpu.id,
    state: isHalted(vcpu) ? 'halted' : vcpu.mpState,
    rip: state.rip,
    tsc: vcpu.tsc.at(vcpu.cpu.now),
    interruptsEnabled: (state.rflags & RFLAGS.IF) !== 0,
    deadline: vcpu.lapic.timer.tscdeadline,
    waitsFor: isWaiting(vcpu) ? describeWait(vcpu) : null,
  };
}

const isWaiting = (vcpu: Vcpu): boolean =>
  vcpu.mpState !== 'runnable' || isHalted(vcpu) || vcpu.place.point === RUN_POINT.DOWN;
