// VMCALL: kvm_emulate_hypercall. What each hypercall does is in pv/hypercalls.ts; one that is not there is answered as KVM
// answers one that it does not know.

import { is64BitMode } from '../../cpu/segments/codeMode.ts';
import type { CpuState } from '../../cpu/state.ts';
import { COST } from '../../host/costs.ts';
import { GPR } from '../../x86/names/registers.ts';
import { KVM_HC_ERROR, hypercallName } from '../names.ts';
import { hypercallFor, type HypercallArguments } from '../pv/hypercalls.ts';
import type { Vcpu } from '../vcpu.ts';
import { handleXenHypercall } from '../xen/hypercall.ts';
import { say, skipInstruction, type Disposition } from './handler.ts';

export function handleVmcall(vcpu: Vcpu): Disposition {
  const { state } = vcpu.guest;
  const is64Bit = is64BitMode(state);
  const nr = state.gpr32(GPR.RAX) + (is64Bit ? state.gprHigh(GPR.RAX) * 2 ** 32 : 0);
  vcpu.stat.hypercalls++;
  vcpu.cpu.charge(COST.exitDispatch);
  if (vcpu.xen !== null && vcpu.vm.xen!.interceptsHypercalls) return handleXenHypercall(vcpu);
  const listened = vcpu.probes.active;
  if (listened) {
    const event = { vcpu: vcpu.id, nr: BigInt(nr), args: argumentsOf(state, is64Bit) };
    vcpu.probes.fire('kvm_hypercall', event, vcpu.cpu.now);
  }
  const result = state.cpl === 0 ? answer(vcpu, nr, is64Bit) : KVM_HC_ERROR.EPERM;
  if (listened) say(vcpu, `${hypercallName(nr) ?? `hypercall ${nr}`} answered ${result}`);
  state.setGpr(GPR.RAX, BigInt.asUintN(is64Bit ? 64 : 32, result));
  return skipInstruction(vcpu);
}

function answer(vcpu: Vcpu, nr: number, is64Bit: boolean): bigint {
  const hypercall = hypercallFor(vcpu, nr);
  if (hypercall !== undefined) return hypercall.run(vcpu, argumentsOf(vcpu.guest.state, is64Bit), is64Bit);
  vcpu.vm.diagnostics.note('hypercall', nr, '-KVM_ENOSYS', vcpu);
  return KVM_HC_ERROR.ENOSYS;
}

function argumentsOf(state: CpuState, is64Bit: boolean): HypercallArguments {
  const argument = (register: number): bigint => (is64Bit ? state.gpr(register) : BigInt(state.gpr32(register)));
  return [argument(GPR.RBX), argument(GPR.RCX), argument(GPR.RDX), argument(GPR.RSI)];
}
