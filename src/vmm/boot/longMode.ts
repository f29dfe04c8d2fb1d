// 64-bit mode as boot loaders enter kernels in it: memory mapped one to one with pages of 2 MiB, flat segments of a GDT of the
// loader's, interrupts off.

import { flatCode64, flatData, nullSegment, writeSegment } from '../../cpu/segments/segments.ts';
import type { CpuState } from '../../cpu/state.ts';
import { PAGE_SIZE, PTE } from '../../x86/names/paging.ts';
import { CR0, CR4, EFER, RFLAGS, SEGMENT } from '../../x86/names/registers.ts';
import { BootRecord } from './record.ts';

/** Selectors of code and data: those that Linux calls __BOOT_CS and __BOOT_DS. */
export const SELECTOR = { CODE: 0x10, DATA: 0x18 } as const;
const GIB = 2 ** 30;
const LARGE_PAGE = 2 ** 21;
const ENTRIES = 512;

/** Bytes of the tables that map so much memory: PML4, PDPT, and a page directory for each GiB. */
export const identityMapSize = (memory: number): number => (2 + Math.ceil(memory / GIB)) * PAGE_SIZE;

/** Page tables, to be put at `gpa`, that map the first `memory` bytes one to one, at most 512 GiB. */
export function identityMap(gpa: number, memory: number): Uint8Array {
  const tables = new BootRecord(identityMapSize(memory));
  const table = PTE.P | PTE.W;
  tables.u64(0, gpa + PAGE_SIZE + table);
  for (let i = 0; i < Math.ceil(memory / GIB); i++) {
    const directory = (2 + i) * PAGE_SIZE;
    tables.u64(PAGE_SIZE + 8 * i, gpa + directory + table);
    for (let entry = 0; entry < ENTRIES; entry++) {
      const address = i * GIB + entry * LARGE_PAGE;
      if (address < memory) tables.u64(directory + 8 * entry, address + (table | PTE.PS));
    }
  }
  return tables.bytes;
}

/** Descriptors of the flat segments, at their selectors. */
export function putFlatDescriptors(gdt: BootRecord): void {
  gdt.u64(SELECTOR.CODE, descriptor(0, 0xfffff, flatCode64(0, 0).attributes));
  gdt.u64(SELECTOR.DATA, descriptor(0, 0xfffff, flatData(0, 0).attributes));
}

/** A segment or system descriptor; `attributes` in SEGMENT_ATTRIBUTE's layout, whose bits 8 to 11 are the limit's here (SDM vol. 3, figure 3-8). */
export function descriptor(base: number, limit: number, attributes: number): bigint {
  const low = (((base & 0xffff) << 16) | (limit & 0xffff)) >>> 0;
  const high = ((base & 0xff000000) | ((attributes & 0xf0ff) << 8) | (limit & 0xf0000) | ((base >>> 16) & 0xff)) >>> 0;
  return (BigInt(high) << 32n) | BigInt(low);
}

/** Puts a vCPU into 64-bit mode: all registers are 0 but RIP and those of the mode. The task register is the caller's. */
export function enterLongMode(
  state: CpuState,
  { entry, cr3, gdt, gdtSize }: { entry: bigint; cr3: number; gdt: number; gdtSize: number },
): void {
  for (let register = 0; register < 16; register++) state.setGpr(register, 0n);
  state.rip = entry;
  state.rflags = RFLAGS.FIXED;
  state.efer = EFER.LME | EFER.LMA;
  state.cr0 = CR0.PE | CR0.MP | CR0.ET | CR0.NE | CR0.PG;
  state.cr3 = BigInt(cr3);
  state.cr4 = CR4.PAE;
  writeSegment(state, SEGMENT.CS, flatCode64(SELECTOR.CODE, 0));
  for (const index of [SEGMENT.ES, SEGMENT.SS, SEGMENT.DS, SEGMENT.FS, SEGMENT.GS])
    writeSegment(state, index, flatData(SELECTOR.DATA, 0));
  writeSegment(state, SEGMENT.LDTR, nullSegment(0));
  state.gdtrBase = BigInt(gdt);
  state.gdtrLimit = gdtSize - 1;
  state.idtrBase = 0n;
  state.idtrLimit = 0;
  state.cpl = 0;
}
