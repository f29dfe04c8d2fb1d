// Scripted guests that use KVM's paravirtual features: memory at 0, hypercalls, and what the host has written there.

import { EXIT } from '../../src/cpu/exit.ts';
import { CODE } from '../../src/cpu/segments/codeMode.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import type { ScriptedCpu, Step } from './scriptedCpu.ts';
import { vmRig, type RigOptions, type VmRig } from './vmRig.ts';

export const shutdown: Step = { exit: EXIT.TRIPLE_FAULT };
const PAGES = 4;

/** A VM with four pages at 0, not started yet. */
export function pvRig(scripts: Step[][], options: RigOptions = {}): VmRig {
  const rig = vmRig(scripts, options);
  const size = PAGES * 4096;
  rig.vm.memslots.set({ slot: 0, gpa: 0, size, address: rig.vm.memslots.arena.allocate(size) });
  for (const { state } of rig.guests) state.mode = CODE.LONG;
  return rig;
}

/** Runs until nothing happens any more, or for `steps` steps of the host. */
export function run(rig: VmRig, steps = 1000): VmRig {
  for (let i = 0; i < steps && rig.host.step() === 'progress'; i++);
  return rig;
}

export const u8 = ({ vm }: VmRig, gpa: number): number => vm.memory.read(gpa, 1)![0]!;
export const u32 = ({ vm }: VmRig, gpa: number): number =>
  new DataView(vm.memory.read(gpa, 4)!.buffer).getUint32(0, true);
export const u64 = ({ vm }: VmRig, gpa: number): bigint => vm.memory.readU64(gpa)!;

/** The guest writes a byte. */
export const store8 = (rig: () => VmRig, gpa: number, value: number): Step => ({
  then: () => void rig().vm.memory.write(gpa, Uint8Array.of(value)),
});

/** A hypercall from CPL 0; the answer is in RAX. */
export const vmcall = (nr: number, ...args: readonly (number | bigint)[]): Step => ({
  exit: EXIT.VMCALL,
  set: (state) => {
    state.setGpr(GPR.RAX, BigInt(nr));
    for (const [i, register] of [GPR.RBX, GPR.RCX, GPR.RDX, GPR.RSI].entries())
      state.setGpr(register, BigInt(args[i] ?? 0));
  },
});
export const rax = (guest: ScriptedCpu): bigint => BigInt.asIntN(64, guest.state.gpr(GPR.RAX));
/** Remembers RAX after a hypercall. */
export const noteRax = (into: bigint[]): Step => ({ then: (guest) => void into.push(rax(guest)) });
