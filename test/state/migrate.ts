// Moves a guest: all vCPU groups and memory out of one machine, into the same one after it was scrambled, or into another.

import { KVM_REQ } from '../../src/hypervisor/requests.ts';
import { resetVcpu } from '../../src/hypervisor/reset.ts';
import { vcpuStateFromJson, vcpuStateToJson } from '../../src/hypervisor/state/json.ts';
import { restoreVcpu, saveVcpu, type VcpuState } from '../../src/hypervisor/state/vcpuState.ts';
import type { Machine } from '../../src/vmm/machine.ts';

export interface SavedMachine {
  /** As JSON: what is saved can be written down. */
  readonly vcpus: readonly string[];
  readonly memory: Uint8Array;
}

export const stateOf = (machine: Machine): VcpuState[] => machine.vm.vcpus.map(saveVcpu);

/** The machine is paused, or has not run yet. */
export const save = (machine: Machine): SavedMachine => ({
  vcpus: stateOf(machine).map(vcpuStateToJson),
  memory: machine.vm.memory.read(0, machine.memory)!,
});

export function restore(machine: Machine, { vcpus, memory }: SavedMachine): void {
  machine.vm.memory.write(0, memory);
  machine.vm.vcpus.forEach((vcpu, i) => restoreVcpu(vcpu, vcpuStateFromJson(vcpus[i]!)));
}

/** Nothing that a group or memory carries is left as it was. */
export function scramble(machine: Machine): void {
  for (const vcpu of machine.vm.vcpus) {
    resetVcpu(vcpu, false);
    const { state } = vcpu.guest;
    for (let i = 0; i < 16; i++) state.setGpr(i, 0xdead_0000n + BigInt(i));
    Object.assign(state, {
      star: 1n,
      lstar: 2n,
      cstar: 3n,
      fmask: 4n,
      kernelGsBase: 5n,
      tscAux: 6n,
      pat: 0n,
      xcr0: 3n,
    });
    Object.assign(state, {
      sysenterCs: 7n,
      sysenterEsp: 8n,
      sysenterEip: 9n,
      mxcsr: 0,
      fcw: 0,
      nmiBlocked: 1,
      shadow: 3,
    });
    vcpu.setTscOffset(0x1234_5678n);
    vcpu.tscAdjust = 77n;
    vcpu.mpState = 'init-received';
    vcpu.requests.clear(KVM_REQ.EVENT);
  }
  machine.vm.memory.write(0, new Uint8Array(machine.memory).fill(0xcc));
}
