// The state in which several boot protocols enter a kernel: 32-bit protected mode without paging, flat segments of 4 GiB, A20 on,
// interrupts off (Multiboot 3.2, Multiboot 2 3.3, Xen's PVH).

import { flatCode32, flatData, writeSegment } from '../../cpu/segments/segments.ts';
import type { CpuState } from '../../cpu/state.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import { CR0, RFLAGS, SEGMENT } from '../../x86/names/registers.ts';

/** Selectors as QEMU's loaders leave them; the GDT itself is the kernel's to make. */
const SELECTOR = { CODE: 0x08, DATA: 0x10 } as const;

/** Enters the first vCPU at a physical address; `registers` sets what the protocol hands over. */
export function enterProtectedMode(vm: Vm, entry: bigint, registers: (state: CpuState) => void): void {
  const { guest } = vm.vcpus[0]!;
  const { state } = guest;
  for (let register = 0; register < 16; register++) state.setGpr(register, 0n);
  state.rip = entry;
  state.rflags = RFLAGS.FIXED;
  state.cr0 = CR0.PE | CR0.ET;
  writeSegment(state, SEGMENT.CS, flatCode32(SELECTOR.CODE, 0));
  for (const index of [SEGMENT.ES, SEGMENT.SS, SEGMENT.DS, SEGMENT.FS, SEGMENT.GS])
    writeSegment(state, index, flatData(SELECTOR.DATA, 0));
  registers(state);
  guest.registersReplaced();
}
