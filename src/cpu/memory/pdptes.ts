// The PDPTE registers of PAE paging (SDM vol. 3, 4.4.1): the processor reads the four entries that CR3 leads to when control
// registers are written, and walks begin with what it has read. What is in memory afterwards does not matter.

import { PTE } from '../../x86/names/paging.ts';
import { CR0, CR4, EFER } from '../../x86/names/registers.ts';
import type { Features } from '../features.ts';
import type { MicrocodeCpu } from '../microcode/microcode.ts';
import type { CpuState } from '../state.ts';

export const PDPTES = 4;
const ENTRY_BYTES = 8n;
/** CR3 in PAE paging: an address of 32 bytes below 4 GiB (table 4-7). */
const TABLE = 0xffff_ffe0n;

/** Whether these registers mean PAE paging (SDM vol. 3, 4.1.1). */
export const meansPaePaging = (cr0: bigint, cr4: bigint, efer: bigint): boolean =>
  (cr0 & CR0.PG) !== 0n && (cr4 & CR4.PAE) !== 0n && (efer & EFER.LME) === 0n;

/** Changes of these bits load the registers, if PAE paging is in use then. */
export const LOADING = { CR0: CR0.CD | CR0.NW | CR0.PG, CR4: CR4.PAE | CR4.PGE | CR4.PSE | CR4.SMEP } as const;

/** Bits 1, 2 and 5 to 8 (table 4-8). */
const RESERVED_LOW = 0x1e6n;

/** Whether a register may hold this: reserved bits count only in an entry that is present. */
export function isLegalPdpte(entry: bigint, { physicalAddressBits }: Features): boolean {
  if ((entry & BigInt(PTE.P)) === 0n) return true;
  return (entry & RESERVED_LOW) === 0n && entry >> BigInt(physicalAddressBits) === 0n;
}

/**
 * Reads the four entries that a value of CR3 leads to into the registers. False means #GP(0), and nothing has changed. Leaves
 * with EPT_VIOLATION where there is no memory.
 */
export function loadPdptes({ state, mmu, features }: MicrocodeCpu, cr3: bigint): boolean {
  const entries: bigint[] = [];
  for (let i = 0; i < PDPTES; i++) entries.push(mmu.readTable((cr3 & TABLE) + ENTRY_BYTES * BigInt(i)));
  if (!entries.every((entry) => isLegalPdpte(entry, features))) return false;
  setPdptes(state, entries);
  return true;
}

export function setPdptes(state: CpuState, entries: readonly bigint[]): void {
  entries.forEach((entry, i) => (state.views.u64[state.at('pdpte', i) >> 3] = entry));
}

export const getPdptes = (state: CpuState): bigint[] =>
  Array.from({ length: PDPTES }, (_, i) => state.views.u64[state.at('pdpte', i) >> 3]!);
