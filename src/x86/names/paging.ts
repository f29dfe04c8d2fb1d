// Bits of paging-structure entries and of the exit qualifications that speak of memory. Entries are named by half, because
// the walker reads them as two 32-bit words.

/** The widest guest physical address that the second stage translates. What CPUID reports may be less, never more. */
export const MAXPHYADDR = 46;

export const PAGE_SHIFT = 12;
export const PAGE_SIZE = 4096;
export const PAGE_MASK = 0xfff;

/** Low half of an entry, or all of it in 32-bit paging (SDM vol. 3, tables 4-4 to 4-20). */
export const PTE = {
  P: 1 << 0,
  W: 1 << 1,
  U: 1 << 2,
  A: 1 << 5,
  D: 1 << 6,
  /** PDPTE and PDE: maps a page, unless reserved or ignored there; PML4E: reserved. */
  PS: 1 << 7,
  G: 1 << 8,
} as const;

/** High half of an entry. */
export const PTE_HIGH = {
  /** Bits 51 to 32; those from the width that CPUID reports are reserved. */
  ADDRESS: 0xfffff,
  /** Execute disable; reserved while EFER.NXE = 0. */
  NX: 1 << 31,
} as const;

/** Exit qualification of an EPT violation (SDM vol. 3, table 28-7). */
export const EPT_QUALIFICATION = {
  READ: 1 << 0,
  WRITE: 1 << 1,
  FETCH: 1 << 2,
  /** What the second stage allows at this guest physical address. */
  READABLE: 1 << 3,
  WRITABLE: 1 << 4,
  EXECUTABLE: 1 << 5,
  GVA_VALID: 1 << 7,
  /** With GVA_VALID: the access was to the translation of the linear address; clear: to a paging-structure entry on the way. */
  TRANSLATED: 1 << 8,
} as const;

/** Exit qualification of an I/O instruction (SDM vol. 3, table 28-5); the port is in bits 16 to 31. */
export const IO_QUALIFICATION = {
  SIZE_MINUS_ONE: 7,
  IN: 1 << 3,
  STRING: 1 << 4,
  REP: 1 << 5,
  IMMEDIATE: 1 << 6,
} as const;
export const IO_PORT_SHIFT = 16;
