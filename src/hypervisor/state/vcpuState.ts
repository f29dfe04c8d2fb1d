// All state of one vCPU, in KVM's groups, and the order in which a VMM reads and writes them.
//
// Theory: groups depend on each other. Saving: KVM_GET_MP_STATE takes a pending INIT or SIPI and may so change all others,
// hence first; KVM_GET_VCPU_EVENTS last. Restoring (Documentation/virt/kvm/api.rst, and Firecracker's restore_state, which
// lists the reasons):
//
//   CPUID       first: what it offers decides which bits are legal. Here it is fixed when the VM is created.
//   MP_STATE    before whatever may be taken once the vCPU runs
//   REGS        forgets a pending exception, so before VCPU_EVENTS
//   SREGS       brings IA32_APIC_BASE, so before LAPIC, whose page is read in that mode
//   FPU, XCRS, DEBUGREGS
//   LAPIC       brings the timer's mode, so before the MSR TSC_DEADLINE, which is dropped in any other mode
//   MSRS        TSC before TSC_DEADLINE, or a deadline is compared with a clock that is not the guest's; the lazy deadline's
//               page before TSC_DEADLINE too, though enabling it later publishes what is armed
//   VCPU_EVENTS last
//
// Attributes of Xen (KVM_XEN_VCPU_GET_ATTR) would follow the MSRs. Not among the groups, as in KVM: guest memory, what a
// device access in progress was answered (KVM_RUN finishes it before it returns), and where RDRAND stands.

import { nameOfMsr } from '../msrs.ts';
import type { Vcpu } from '../vcpu.ts';
import { getDebugregs, setDebugregs, type Debugregs } from './debugregs.ts';
import { getFpu, setFpu, type Fpu } from './fpu.ts';
import { vcpuIoctl, VcpuStateError } from './ioctl.ts';
import { getLapic, setLapic, type LapicState } from './lapicState.ts';
import { getMpState, setMpState, type KvmMpState } from './mpState.ts';
import { getMsrs, setMsrs, type MsrEntry } from './msrs.ts';
import { getRegs, setRegs, type Regs } from './regs.ts';
import { getSregs, setSregs, type Sregs } from './sregs.ts';
import { getVcpuEvents, setVcpuEvents, type VcpuEvents } from './vcpuEvents.ts';
import { getXcrs, setXcrs, type Xcrs } from './xcrs.ts';

/** Plain data: numbers, bigints, booleans, names. */
export interface VcpuState {
  readonly mpState: KvmMpState;
  readonly regs: Regs;
  readonly sregs: Sregs;
  readonly fpu: Fpu;
  readonly xcrs: Xcrs;
  readonly debugregs: Debugregs;
  readonly lapic: LapicState;
  readonly msrs: readonly MsrEntry[];
  /** KVM_GET_TSC_KHZ. */
  readonly tscKhz: number;
  readonly vcpuEvents: VcpuEvents;
}

/** A copy of a vCPU's state. Throws VcpuStateError while the vCPU is in KVM_RUN. */
export function saveVcpu(vcpu: Vcpu): VcpuState {
  return {
    mpState: getMpState(vcpu),
    regs: getRegs(vcpu),
    sregs: getSregs(vcpu),
    fpu: getFpu(vcpu),
    xcrs: getXcrs(vcpu),
    debugregs: getDebugregs(vcpu),
    lapic: getLapic(vcpu),
    msrs: getMsrs(vcpu),
    tscKhz: vcpu.vm.tscKhz,
    vcpuEvents: getVcpuEvents(vcpu),
  };
}

/**
 * Gives a vCPU saved state. Guest memory must be in place: the page of the lazy deadline is looked at. Throws VcpuStateError by
 * the first group that does not fit this vCPU; groups before it are set then.
 */
export function restoreVcpu(vcpu: Vcpu, saved: VcpuState): void {
  checkGroups(vcpu, saved);
  checkTscKhz(vcpu, saved.tscKhz);
  setMpState(vcpu, saved.mpState);
  setRegs(vcpu, saved.regs);
  setSregs(vcpu, saved.sregs);
  setFpu(vcpu, saved.fpu);
  setXcrs(vcpu, saved.xcrs);
  setDebugregs(vcpu, saved.debugregs);
  setLapic(vcpu, saved.lapic);
  setAllMsrs(vcpu, saved.msrs);
  setVcpuEvents(vcpu, saved.vcpuEvents);
}

/* prettier-ignore */
const GROUPS: readonly (keyof VcpuState)[] = [
  'mpState', 'regs', 'sregs', 'fpu', 'xcrs', 'debugregs', 'lapic', 'msrs', 'vcpuEvents',
];

/** What was read from a file may lack a group. */
function checkGroups(vcpu: Vcpu, saved: VcpuState): void {
  const missing = GROUPS.filter((group) => saved[group] === undefined);
  if (missing.length === 0) return;
  throw new VcpuStateError('EINVAL', `the saved state of ${vcpu.name} has no ${missing.join(', ')}`);
}

/** KVM_SET_TSC_KHZ, where there is no TSC scaling. */
function checkTscKhz(vcpu: Vcpu, tscKhz: number): void {
  vcpuIoctl(vcpu, 'SET_TSC_KHZ', (refuse) => {
    const { tscKhz: host } = vcpu.vm;
    if (tscKhz !== host)
      refuse(`the saved TSC runs at ${tscKhz} kHz, this host's at ${host} kHz: there is no TSC scaling`);
  });
}

function setAllMsrs(vcpu: Vcpu, entries: readonly MsrEntry[]): void {
  const set = setMsrs(vcpu, entries);
  if (set === entries.length) return;
  vcpuIoctl(vcpu, 'SET_MSRS', (refuse) => {
    const { index, data } = entries[set]!;
    refuse(
      `${nameOfMsr(index)}, entry ${set}, cannot be 0x${data.toString(16)} on this vCPU; the entries before it are set`,
    );
  });
}
