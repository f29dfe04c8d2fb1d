// Instructions whose answer comes from the hypervisor, and those that exist only in modes and features that are absent.

import type { CpuidFeature } from '../../x86/names/cpuid.ts';
import { GPR } from '../../x86/names/registers.ts';
import { EXIT } from '../exit.ts';
import { raise, stop } from '../fault.ts';
import { leaveGuest } from '../vmexit.ts';
import type { Microcode } from './microcode.ts';

export const cpuid: Microcode = (cpu, insn) => {
  const { state, controls } = cpu;
  if (controls.hypervisor) return leaveGuest(state, EXIT.CPUID, insn.length);
  const { eax, ebx, ecx, edx } = cpu.cpuid(state.gpr32(GPR.RAX), state.gpr32(GPR.RCX));
  state.setGpr32(GPR.RAX, eax);
  state.setGpr32(GPR.RBX, ebx);
  state.setGpr32(GPR.RCX, ecx);
  state.setGpr32(GPR.RDX, edx);
  return 'next';
};

/** Exits at any privilege: the hypervisor says who may call. */
export const vmcall: Microcode = ({ state, controls }, insn) =>
  controls.hypervisor ? leaveGuest(state, EXIT.VMCALL, insn.length) : raise.ud();

export const ud: Microcode = () => raise.ud();

/** An instruction of a feature that no guest is offered: #UD, as on a processor without it. */
export const absentWithout =
  (feature: CpuidFeature): Microcode =>
  ({ features }) =>
    features.has(feature)
      ? stop(`an instruction of ${feature} is not implemented`, `do not offer ${feature} in CPUID`)
      : raise.ud();
