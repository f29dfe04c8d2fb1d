// The kinds of paging as data (SDM vol. 3, 4.1.1): how many tables a walk goes through, how large their entries are, and what
// their bits mean. The walk itself, which is the same for all, is in paging.ts.
//
// Theory. A kind is chosen by EFER.LMA, CR4.PAE and CR4.PSE, and by what CPUID offers. PAE paging begins at the page
// directory: what is above it, the processor holds in four registers (pdptes.ts).

import { PAGE_MASK, PAGE_SHIFT, PTE_HIGH } from '../../x86/names/paging.ts';
import { RIGHTS } from './access.ts';
import type { PagingFeatures, PagingRegisters } from './memoryContext.ts';

/** Levels of tables: the entry that is read there. */
export const LEVEL = { PTE: 0, PDE: 1, PDPTE: 2, PML4E: 3 } as const;

/** What bit 7 (PS) of an entry means, if it does not mean a page of a size (RIGHTS). */
export const PS = { RESERVED: 0, IGNORED: -1 } as const;

export interface PagingKind {
  /** The level of the first table in memory. */
  readonly top: number;
  readonly entryBytes: 4 | 8;
  /** Bits of the linear address that select an entry. */
  readonly indexBits: 9 | 10;
  /** By level from LEVEL.PDE on: PS, or the size of the page that an entry with bit 7 maps (a flag of RIGHTS). */
  readonly ps: readonly number[];
  /** Reserved bits of an entry's high half beside those of its address, and NX. */
  readonly reservedHigh: number;
}

/** 32-bit paging, SDM vol. 3, 4.3. */
const SMALL_PAGES: PagingKind = { top: LEVEL.PDE, entryBytes: 4, indexBits: 10, ps: [PS.IGNORED], reservedHigh: 0 };
const PSE: PagingKind = { top: LEVEL.PDE, entryBytes: 4, indexBits: 10, ps: [RIGHTS.PAGE_4M], reservedHigh: 0 };
/** SDM vol. 3, 4.4: bits 62 to 52 are reserved here, and ignored in 4-level paging. */
const RESERVED_52_62 = ~(PTE_HIGH.ADDRESS | PTE_HIGH.NX);
export const PAE: PagingKind = {
  top: LEVEL.PDE,
  entryBytes: 8,
  indexBits: 9,
  ps: [RIGHTS.PAGE_2M],
  reservedHigh: RESERVED_52_62,
};
/** SDM vol. 3, 4.5. */
const UP_TO_2M: PagingKind = {
  top: LEVEL.PML4E,
  entryBytes: 8,
  indexBits: 9,
  ps: [RIGHTS.PAGE_2M, PS.RESERVED, PS.RESERVED],
  reservedHigh: 0,
};
const UP_TO_1G: PagingKind = {
  top: LEVEL.PML4E,
  entryBytes: 8,
  indexBits: 9,
  ps: [RIGHTS.PAGE_2M, RIGHTS.PAGE_1G, PS.RESERVED],
  reservedHigh: 0,
};

/** The kind in use while CR0.PG = 1. */
export function pagingKind(registers: PagingRegisters, features: PagingFeatures): PagingKind {
  if (registers.longMode) return features.has('PAGE1GB') ? UP_TO_1G : UP_TO_2M;
  if (registers.pae) return PAE;
  return registers.pse ? PSE : SMALL_PAGES;
}

/** Index into the table of a level. */
export function indexAt({ indexBits }: PagingKind, low: number, high: number, level: number): number {
  const shift = PAGE_SHIFT + indexBits * level;
  const selected = shift < 32 ? (low >>> shift) | (high << (32 - shift)) : high >>> (shift - 32);
  return selected & ((1 << indexBits) - 1);
}

/** Bits of a linear address that an entry of this level leaves to the page it maps, but for those of a 4-KiB page. */
export const withinPage = ({ indexBits }: PagingKind, level: number): number =>
  ((1 << (PAGE_SHIFT + indexBits * level)) - 1) & ~PAGE_MASK;

/** Bits that must be clear in the high half of an entry that is present. */
export function reservedHigh({ reservedHigh: always }: PagingKind, physicalAddressBits: number, nxe: boolean): number {
  return always | (PTE_HIGH.ADDRESS & (-1 << (physicalAddressBits - 32))) | (nxe ? 0 : PTE_HIGH.NX);
}

/** Bit 12 of an entry that maps a large page. */
const LARGE_PAT = 1 << 12;
/** Where bits 32 and up of the address of a 4-MiB page are, and up to which bit they go. */
export const PSE36_SHIFT = 13;
const PSE36_ADDRESS_BITS = 40;

/** Bits of an entry for a 4-MiB page that hold bits 39 to 32 of its address, as far as the processor has them (SDM vol. 3, table 4-4). */
export function pse36Bits({ entryBytes }: PagingKind, features: PagingFeatures): number {
  if (entryBytes === 8 || !features.has('PSE36')) return 0;
  return ((1 << (Math.min(features.physicalAddressBits, PSE36_ADDRESS_BITS) - 32)) - 1) << PSE36_SHIFT;
}

/** Bits that must be clear in the low half of an entry that maps a large page. */
export const reservedInLarge = (within: number, pse36: number): number => within & ~(LARGE_PAT | pse36);
