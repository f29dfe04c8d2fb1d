// Scripted Xen guests: memory at 0, the pages where their VMM has put them, and what the hypervisor has written there.

import { EXIT } from '../../src/cpu/exit.ts';
import { CODE } from '../../src/cpu/segments/codeMode.ts';
import type { CpuState } from '../../src/cpu/state.ts';
import type { Vcpu } from '../../src/hypervisor/vcpu.ts';
import { setXenVcpuAttr, setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { VCPU_INFO } from '../../src/hypervisor/xen/layout.ts';
import { setEvtchnFast } from '../../src/hypervisor/xen/evtchn.ts';
import { PRIO_2LEVEL, XEN_CONFIG, XenError } from '../../src/hypervisor/xen/names.ts';
import { EFER, GPR } from '../../src/x86/names/registers.ts';
import { pvRig, u64, u8 } from './pvRig.ts';
import type { Step } from './scriptedCpu.ts';
import type { RigOptions, VmRig } from './vmRig.ts';

export const XEN = { version: { major: 4, minor: 18 }, msr: 0x4000_0000, domainId: 7 };
/** shared_info. */
export const SHARED = 0x1000;
/** Its first 64 bytes, which nobody uses here, and from there on the vcpu_info of each vCPU in turn. */
export const infoOf = (vcpu: number): number => SHARED + 0x40 * (vcpu + 1);
export const UPCALL_VECTOR = 0xf3;

/** A VM with four pages at 0, Xen switched on, and shared_info and vcpu_info where they belong. */
export function xenRig(scripts: Step[][], options: RigOptions = {}, longMode = true): VmRig {
  const rig = pvRig(scripts, { xen: XEN, ...options });
  const { vm } = rig;
  vm.xen!.configure({ flags: XEN_CONFIG.INTERCEPT_HCALL | XEN_CONFIG.EVTCHN_SEND, msr: XEN.msr });
  setXenVmAttr(vm, { type: 'LONG_MODE', longMode });
  setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: SHARED / 4096 });
  setXenVmAttr(vm, { type: 'UPCALL_VECTOR', vector: UPCALL_VECTOR });
  for (const vcpu of vm.vcpus) setXenVcpuAttr(vcpu, { type: 'VCPU_INFO', gpa: infoOf(vcpu.id) });
  for (const guest of rig.guests) setMode(guest.state, longMode);
  return rig;
}

function setMode(state: CpuState, longMode: boolean): void {
  state.mode = longMode ? CODE.LONG : CODE.LONG ^ 1;
  if (longMode) state.efer |= EFER.LME | EFER.LMA;
}

/** The port is raised as from a hard interrupt. */
export const raise = (rig: VmRig, port: number, vcpu = 0): number =>
  setEvtchnFast(rig.vm, { port, vcpu, priority: PRIO_2LEVEL });

export const isPending = (rig: VmRig, port: number): boolean => bit(rig, rig.vm.xen!.layout.pending, port);
const bit = (rig: VmRig, bitmap: number, port: number): boolean =>
  ((u8(rig, SHARED + bitmap + (port >> 3)) >> (port & 7)) & 1) !== 0;

/** The guest masks a port, or unmasks it. */
export function mask({ vm }: VmRig, port: number, masked = true): void {
  const at = SHARED + vm.xen!.layout.mask + (port >> 3);
  const [byte] = vm.memory.read(at, 1)!;
  vm.memory.write(at, Uint8Array.of(masked ? byte! | (1 << (port & 7)) : byte! & ~(1 << (port & 7))));
}

/** The guest's interrupt handler: clears upcall_pending, and takes pending_sel and all pending bits of its words. */
export function takeEvents({ vm }: VmRig, vcpu: number): number[] {
  const { layout } = vm.xen!;
  const { memory } = vm;
  const info = infoOf(vcpu);
  memory.write(info, Uint8Array.of(0));
  const words = BigInt.asUintN(layout.wordBits, memory.readU64(info + layout.pendingSel)!);
  memory.write(info + layout.pendingSel, new Uint8Array(layout.wordBits / 8));
  const ports: number[] = [];
  for (let port = 0; port < layout.ports; port++) {
    const at = SHARED + layout.pending + (port >> 3);
    const [byte] = memory.read(at, 1)!;
    if (((words >> BigInt(Math.floor(port / layout.wordBits))) & 1n) === 0n || ((byte! >> (port & 7)) & 1) === 0)
      continue;
    memory.write(at, Uint8Array.of(byte! & ~(1 << (port & 7))));
    ports.push(port);
  }
  return ports;
}

const IN_64_BIT = [GPR.RDI, GPR.RSI, GPR.RDX, GPR.R10, GPR.R8, GPR.R9];
const IN_32_BIT = [GPR.RBX, GPR.RCX, GPR.RDX, GPR.RSI, GPR.RDI, GPR.RBP];
/** A hypercall in the mode in which the guest is. */
export const xencall = (nr: number, ...args: readonly (number | bigint)[]): Step => ({
  exit: EXIT.VMCALL,
  set: (state) => {
    state.setGpr(GPR.RAX, BigInt(nr));
    for (const [i, register] of (state.mode === CODE.LONG ? IN_64_BIT : IN_32_BIT).entries())
      state.setGpr(register, BigInt(args[i] ?? 0));
  },
});

/** The errno of what refuses. */
export function errnoOf(call: () => void): string {
  try {
    call();
  } catch (error) {
    if (error instanceof XenError) return error.code;
    throw error;
  }
  return 'no error';
}

/** What the guest finds in its vcpu_info. */
export const infoAt = (rig: VmRig, vcpu: number): { upcall: number; sel: bigint } => {
  const { pendingSel, wordBits } = rig.vm.xen!.layout;
  const sel = u64(rig, infoOf(vcpu) + pendingSel);
  return { upcall: u8(rig, infoOf(vcpu) + VCPU_INFO.UPCALL_PENDING), sel: BigInt.asUintN(wordBits, sel) };
};

/** The host takes guest pages away; slots stay, and who looks a page up finds it again. */
export const takeAway = ({ vm }: VmRig, gpa: number): void => vm.memslots.invalidate(gpa >> 12, 1);

/** The slot with all memory goes away, and comes back. */
export function removeMemory({ vm }: VmRig): () => void {
  const { firstPage, pages, ...slot } = vm.memslots.slots[0]!;
  vm.memslots.set({ ...slot, gpa: firstPage * 4096, size: 0 });
  return () => vm.memslots.set({ ...slot, gpa: firstPage * 4096, size: pages * 4096 });
}

export const only = (rig: VmRig): Vcpu => rig.vm.vcpus[0]!;
