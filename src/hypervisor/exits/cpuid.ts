// CPUID: kvm_emulate_cpuid. What is answered is in ../cpuid.ts.

import { COST } from '../../host/costs.ts';
import { GPR } from '../../x86/names/registers.ts';
import { injectGp } from '../inject.ts';
import { cpuidFaults } from '../msr/platform.ts';
import type { Vcpu } from '../vcpu.ts';
import { CONTINUE, say, skipRecurring, type Disposition } from './handler.ts';

export function handleCpuid(vcpu: Vcpu): Disposition {
  const { state } = vcpu.guest;
  const leaf = state.gpr32(GPR.RAX);
  if (state.cpl > 0 && cpuidFaults(vcpu)) {
    injectGp(vcpu);
    if (vcpu.probes.active) say(vcpu, 'refused outside of CPL 0, as the guest has asked: #GP(0)');
    return CONTINUE;
  }
  const subleaf = state.gpr32(GPR.RCX);
  const { eax, ebx, ecx, edx } = vcpu.vm.cpuid.answer(leaf, subleaf, vcpu.cpuidAsker);
  vcpu.cpu.charge(COST.cpuidLookup);
  state.setGpr32(GPR.RAX, eax);
  state.setGpr32(GPR.RBX, ebx);
  state.setGpr32(GPR.RCX, ecx);
  state.setGpr32(GPR.RDX, edx);
  if (vcpu.probes.active) {
    const found = vcpu.vm.cpuid.has(leaf);
    const event = { vcpu: vcpu.id, leaf, subleaf, rax: eax, rbx: ebx, rcx: ecx, rdx: edx, found };
    vcpu.probes.fire('kvm_cpuid', event, vcpu.cpu.now);
    const registers = Object.entries({ eax, ebx, ecx, edx }).map(([name, value]) => `${name} 0x${value.toString(16)}`);
    say(vcpu, `${found ? '' : 'no such leaf: '}${registers.join(', ')}`);
  }
  return skipRecurring(vcpu);
}
