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

import { flatCode64, flatData, nullSegment, writeSegment } from '../../cpu/segments/segments.ts';
import type { CpuState } from '../../cpu/state.ts';
import type { Vcpu } from '../../hypervisor/vcpu.ts';
import type { Vm } from '../../hypervisor/vm.ts';
import { APIC_BASE } from '../../x86/names/msrs.ts';
import { PAGE_SIZE, PTE } from '../../x86/names/paging.ts';
import {
  CR0,
  CR4,
  EFER,
  GPR,
  RFLAGS,
  SEGMENT,
  SEGMENT_ATTRIBUTE,
  SYSTEM_TYPE,
  TSS64,
} from '../../x86/names/registers.ts';
import { imageEnd, type Image } from '../image.ts';
import { BootError } from './bootError.ts';
import { place } from './guestMemory.ts';
import type { Boot } from './start.ts';

const LAYOUT = {
  GDT: 0x1000,
  TSS: 0x2000,
  TSS_STRIDE: 128,
  PML4: 0x9000,
  PDPT: 0xa000,
  PAGE_DIRECTORIES: 0xb000,
} as const;
const SELECTOR = { CODE: 0x10, DATA: 0x18, FIRST_TSS: 0x20 } as const;
const TSS_DESCRIPTOR = 16;
const STACK_SIZE = 16 * 1024;
const GIB = 2 ** 30;
const LARGE_PAGE = 2 ** 21;
const ENTRIES = 512;
/** As many as fit between the GDT's selectors and the page tables. */
const MAX_VCPUS = (LAYOUT.PML4 - LAYOUT.TSS) / LAYOUT.TSS_STRIDE;

/** Boots an image: every vCPU enters it. Throws BootError and has then changed nothing. */
export function startDirect({ vm, image, ram }: Boot): void {
  const memory = ram.lowEnd;
  checkFits(vm, image, memory);
  for (const { gpa, bytes } of image.segments) place(vm, gpa, bytes);
  place(vm, LAYOUT.GDT, gdt(vm.vcpus.length));
  for (let id = 0; id < vm.vcpus.length; id++) place(vm, tssOf(id), tss());
  writePageTables(vm, memory);
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
const bootEnd = (memory: number): number => LAYOUT.PAGE_DIRECTORIES + Math.ceil(memory / GIB) * PAGE_SIZE;
const tssOf = (id: number): number => LAYOUT.TSS + id * LAYOUT.TSS_STRIDE;

function gdt(vcpus: number): Uint8Array {
  const table = new DataView(new ArrayBuffer(SELECTOR.FIRST_TSS + vcpus * TSS_DESCRIPTOR));
  table.setBigUint64(SELECTOR.CODE, descriptor(0, 0xfffff, flatCode64(0, 0).attributes), true);
  table.setBigUint64(SELECTOR.DATA, descriptor(0, 0xfffff, flatData(0, 0).attributes), true);
  for (let id = 0; id < vcpus; id++) {
    // Bits 63:32 of the base, in the second half of the descriptor, are zero.
    table.setBigUint64(
      SELECTOR.FIRST_TSS + id * TSS_DESCRIPTOR,
      descriptor(tssOf(id), TSS64.MIN_LIMIT, TSS_ATTRIBUTES),
      true,
    );
  }
  return new Uint8Array(table.buffer);
}

/** Task register: busy, as LTR would have left it. */
const TSS_ATTRIBUTES = SEGMENT_ATTRIBUTE.P | SYSTEM_TYPE.TSS_BUSY;

/** A segment or system descriptor; `attributes` in SEGMENT_ATTRIBUTE's layout, whose bits 8 to 11 are the limit's here (SDM vol. 3, figure 3-8). */
function descriptor(base: number, limit: number, attributes: number): bigint {
  const low = (((base & 0xffff) << 16) | (limit & 0xffff)) >>> 0;
  const high = ((base & 0xff000000) | ((attributes & 0xf0ff) << 8) | (limit & 0xf0000) | ((base >>> 16) & 0xff)) >>> 0;
  return (BigInt(high) << 32n) | BigInt(low);
}

/** A TSS without stacks and without I/O permission bitmap. */
function tss(): Uint8Array {
  const size = TSS64.MIN_LIMIT + 1;
  const table = new DataView(new ArrayBuffer(size));
  table.setUint16(TSS64.IO_MAP_BASE, size, true);
  return new Uint8Array(table.buffer);
}

function writePageTables(vm: Vm, memory: number): void {
  const table = PTE.P | PTE.W;
  const directories = Math.ceil(memory / GIB);
  vm.memory.writeU64(LAYOUT.PML4, BigInt(LAYOUT.PDPT | table));
  for (let i = 0; i < directories; i++) {
    const directory = LAYOUT.PAGE_DIRECTORIES + i * PAGE_SIZE;
    vm.memory.writeU64(LAYOUT.PDPT + 8 * i, BigInt(directory | table));
    for (let entry = 0; entry < ENTRIES; entry++) {
      const address = i * GIB + entry * LARGE_PAGE;
      if (address < memory) vm.memory.writeU64(directory + 8 * entry, BigInt(address + (table | PTE.PS)));
    }
  }
}

/** The state in which a vCPU enters the guest. */
function enterAt(vcpu: Vcpu, entry: bigint, memory: number, count: number): void {
  const { state } = vcpu.guest;
  vcpu.mpState = 'runnable';
  vcpu.lapic.writeBase(vcpu.lapic.base | APIC_BASE.EN | APIC_BASE.EXTD, true);

  for (let register = 0; register < 16; register++) state.setGpr(register, 0n);
  state.setGpr32(GPR.RDI, vcpu.id);
  state.setGpr32(GPR.RSI, count);
  state.setGpr(GPR.RSP, BigInt(memory - vcpu.id * STACK_SIZE));
  state.rip = entry;
  state.rflags = RFLAGS.FIXED;

  state.efer = EFER.LME | EFER.LMA;
  state.cr0 = CR0.PE | CR0.MP | CR0.ET | CR0.NE | CR0.PG;
  state.cr3 = BigInt(LAYOUT.PML4);
  state.cr4 = CR4.PAE;
  loadSegments(state, vcpu.id, count);
  state.cpl = 0;
  vcpu.guest.registersReplaced();
}

function loadSegments(state: CpuState, id: number, count: number): void {
  writeSegment(state, SEGMENT.CS, flatCode64(SELECTOR.CODE, 0));
  for (const index of [SEGMENT.ES, SEGMENT.SS, SEGMENT.DS, SEGMENT.FS, SEGMENT.GS]) {
    writeSegment(state, index, flatData(SELECTOR.DATA, 0));
  }
  writeSegment(state, SEGMENT.LDTR, nullSegment(0));
  const selector = SELECTOR.FIRST_TSS + id * TSS_DESCRIPTOR;
  writeSegment(state, SEGMENT.TR, {
    selector,
    base: BigInt(tssOf(id)),
    limit: TSS64.MIN_LIMIT,
    attributes: TSS_ATTRIBUTES,
  });
  state.gdtrBase = BigInt(LAYOUT.GDT);
  state.gdtrLimit = SELECTOR.FIRST_TSS + count * TSS_DESCRIPTOR - 1;
  state.idtrBase = 0n;
  state.idtrLimit = 0;
}

const hex = (value: number): string => `0x${value.toString(16)}`;
