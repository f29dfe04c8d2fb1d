// VMCALL: kvm_emulate_hypercall. What each hypercall does is in pv/hypercalls.ts; one that is not there is answered as KVM
// answers one that it does not know.

import { is64BitMode } from '../../cpu/segments/codeMode.ts';
import { COST } from '../../host/costs.ts';
import { GPR } from '../../x86/names/registers.ts';
import { KVM_HC_ERROR, hypercallName } from '../names.ts';
import { hypercallFor } from '../pv/hypercalls.ts';
import type { Vcpu } from '../vcpu.ts';
import { say, skipInstruction, type Disposition } from './handler.ts';

export function handleVmcall(vcpu: Vcpu): Disposition {
  const { state } = vcpu.guest;
  const is64Bit = is64BitMode(state);
  const bits = is64Bit ? 64 : 32;
  const argument = (register: number): bigint => BigInt.asUintN(bits, state.gpr(register));
  const nr = argument(GPR.RAX);
  const args = [argument(GPR.RBX), argument(GPR.RCX), argument(GPR.RDX), argument(GPR.RSI)] as const;
  vcpu.stat.hypercalls++;
  vcpu.cpu.charge(COST.exitDispatch);
  const listened = vcpu.probes.active;
  if (listened) vcpu.probes.fire('kvm_hypercall', { vcpu: vcpu.id, nr, args }, vcpu.cpu.now);
  const result = state.cpl === 0 ? answer(vcpu, nr, args, is64Bit) : KVM_HC_ERROR.EPERM;
  if (listened) say(vcpu, `${hypercallName(Number(nr)) ?? `hypercall ${nr}`} answered ${result}`);
  state.setGpr(GPR.RAX, BigInt.asUintN(bits, result));
  return skipInstruction(vcpu);
}

function answer(vcpu: Vcpu, nr: bigint, args: readonly [bigint, bigint, bigint, bigint], is64Bit: boolean): bigint {
  const hypercall = hypercallFor(vcpu, nr);
  if (hypercall !== undefined) return hypercall.run(vcpu, args, is64Bit);
  vcpu.vm.diagnostics.note('hypercall', Number(nr), '-KVM_ENOSYS', vcpu);
  return KVM_HC_ERROR.ENOSYS;
}
