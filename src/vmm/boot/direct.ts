// Direct boot: puts an image into guest memory and every vCPU at its entry, in 64-bit mode with flat segments, memory mapped
// one to one and interrupts off. It plays the boot loader; what an image is, and how one is read, is in the other loaders.
//
// Theory: what the guest finds in its low memory, besides itself:
//
//   0x1000  GDT: null, null, code 0x10, data 0x18, then a TSS of 16 bytes for each vCPU from 0x20 on
//   0x2000  the TSSs, 128 bytes apart
//   0x9000  PML4, 0xa000 PDPT, 0xb000 one page directory for each GiB of memory, in 2 MiB pages
//   ...     the image
//   top     stacks of 16 KiB, vCPU 0's uppermost

import { writeSegment } from '../../cpu/segments/segments.ts';
import type { Vcpu } from '../../hypervisor/vcpu.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import { APIC_BASE } from '../../x86/names/msrs.ts';
import { GPR, SEGMENT, SEGMENT_ATTRIBUTE, SYSTEM_TYPE, TSS64 } from '../../x86/names/registers.ts';
import { imageEnd, type Image } from '../image.ts';
import { BootError } from './bootError.ts';
import { place } from './guestMemory.ts';
import { descriptor, enterLongMode, identityMap, identityMapSize, putFlatDescriptors } from './longMode.ts';
import { BootRecord } from './record.ts';
import type { Boot } from './start.ts';

const LAYOUT = {
  GDT: 0x1000,
  TSS: 0x2000,
  TSS_STRIDE: 128,
  PAGE_TABLES: 0x9000,
} as const;
const FIRST_TSS = 0x20;
const TSS_DESCRIPTOR = 16;
const STACK_SIZE = 16 * 1024;
/** As many as fit between the GDT's selectors and the page tables. */
const MAX_VCPUS = (LAYOUT.PAGE_TABLES - LAYOUT.TSS) / LAYOUT.TSS_STRIDE;

/** Boots an image: every vCPU enters it. Throws BootError and has then changed nothing. */
export function startDirect({ vm, image, ram }: Boot): void {
  const memory = ram.lowEnd;
  checkFits(vm, image, memory);
  for (const { gpa, bytes } of image.segments) place(vm, gpa, bytes);
  place(vm, LAYOUT.GDT, gdt(vm.vcpus.length));
  for (let id = 0; id < vm.vcpus.length; id++) place(vm, tssOf(id), tss());
  place(vm, LAYOUT.PAGE_TABLES, identityMap(LAYOUT.PAGE_TABLES, memory));
  for (const vcpu of vm.vcpus) enterAt(vcpu, image.entry, memory, vm.vcpus.length);
}

function checkFits(vm: Vm, image: Image, memory: number): void {
  const count = vm.vcpus.length;
  if (count > MAX_VCPUS) throw new BootError(`direct boot starts at most ${MAX_VCPUS} vCPUs, not ${count}`);
  const stacks = memory - count * STACK_SIZE;
  const boot = bootEnd(memory);
  const end = imageEnd(image);
  const first = Math.min(...image.segments.map((s) => s.gpa));
  if (end > stacks) {
    const needed = Math.ceil((end + count * STACK_SIZE) / 2 ** 20);
    throw new BootError(
      `the image needs memory up to ${hex(end)} and ${count} stack${count === 1 ? '' : 's'} of 16 KiB above, and the machine has ${hex(memory)} bytes: ` +
        `try ${needed} MiB or more`,
    );
  }
  if (first < boot) {
    throw new BootError(
      `the image begins at ${hex(first)}, where the boot loader has its tables (up to ${hex(boot)}): load it higher`,
    );
  }
}

/** End of what the loader itself puts into low memory. */
const bootEnd = (memory: number): number => LAYOUT.PAGE_TABLES + identityMapSize(memory);
const tssOf = (id: number): number => LAYOUT.TSS + id * LAYOUT.TSS_STRIDE;

const gdtSize = (vcpus: number): number => FIRST_TSS + vcpus * TSS_DESCRIPTOR;

function gdt(vcpus: number): Uint8Array {
  const table = new BootRecord(gdtSize(vcpus));
  putFlatDescriptors(table);
  for (let id = 0; id < vcpus; id++) {
    // Bits 63:32 of the base, in the second half of the descriptor, are zero.
    table.u64(FIRST_TSS + id * TSS_DESCRIPTOR, descriptor(tssOf(id), TSS64.MIN_LIMIT, TSS_ATTRIBUTES));
  }
  return table.bytes;
}

/** Task register: busy, as LTR would have left it. */
const TSS_ATTRIBUTES = SEGMENT_ATTRIBUTE.P | SYSTEM_TYPE.TSS_BUSY;

/** A TSS without stacks and without I/O permission bitmap. */
function tss(): Uint8Array {
  const size = TSS64.MIN_LIMIT + 1;
  const table = new BootRecord(size);
  table.u16(TSS64.IO_MAP_BASE, size);
  return table.bytes;
}

/** The state in which a vCPU enters the guest. */
function enterAt(vcpu: Vcpu, entry: bigint, memory: number, count: number): void {
  const { state } = vcpu.guest;
  vcpu.mpState = 'runnable';
  vcpu.lapic.writeBase(vcpu.lapic.base | APIC_BASE.EN | APIC_BASE.EXTD, true);
  enterLongMode(state, { entry, cr3: LAYOUT.PAGE_TABLES, gdt: LAYOUT.GDT, gdtSize: gdtSize(count) });
  state.setGpr32(GPR.RDI, vcpu.id);
  state.setGpr32(GPR.RSI, count);
  state.setGpr(GPR.RSP, BigInt(memory - vcpu.id * STACK_SIZE));
  writeSegment(state, SEGMENT.TR, {
    selector: FIRST_TSS + vcpu.id * TSS_DESCRIPTOR,
    base: BigInt(tssOf(vcpu.id)),
    limit: TSS64.MIN_LIMIT,
    attributes: TSS_ATTRIBUTES,
  });
  vcpu.guest.registersReplaced();
}

const hex = (value: number): string => `0x${value.toString(16)}`;
