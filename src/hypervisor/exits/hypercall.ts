// VMCALL: kvm_emulate_hypercall. No hypercall does anything yet; each is answered as KVM answers one that it does not know.

import { COST } from '../../host/costs.ts';
import { GPR } from '../../x86/names/registers.ts';
import { KVM_HC_ERROR, hypercallName } from '../names.ts';
import type { Vcpu } from '../vcpu.ts';
import { say, skipInstruction, type Disposition } from './handler.ts';

const ARGUMENTS = [GPR.RBX, GPR.RCX, GPR.RDX, GPR.RSI] as const;

export function handleVmcall(vcpu: Vcpu): Disposition {
  const { state } = vcpu.guest;
  const nr = state.gpr(GPR.RAX);
  vcpu.stat.hypercalls++;
  vcpu.cpu.charge(COST.exitDispatch);
  const permitted = state.cpl === 0;
  const result = permitted ? KVM_HC_ERROR.ENOSYS : KVM_HC_ERROR.EPERM;
  if (permitted) vcpu.vm.diagnostics.note('hypercall', Number(nr), '-KVM_ENOSYS', vcpu);
  if (vcpu.probes.active) {
    const args = ARGUMENTS.map((register) => state.gpr(register));
    vcpu.probes.fire('kvm_hypercall', { vcpu: vcpu.id, nr, args }, vcpu.cpu.now);
    say(vcpu, `${hypercallName(Number(nr)) ?? `hypercall ${nr}`} answered ${result}`);
  }
  state.setGpr(GPR.RAX, BigInt.asUintN(64, result));
  return skipInstruction(vcpu);
}
