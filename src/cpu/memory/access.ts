// What a memory access is and whether it is permitted: access words, access modes and the rights of a translation.
// Not how an address is translated (paging.ts) or remembered (tlb.ts).

/**
 * An access in one word: its size in bytes in the low eight bits, and how the processor makes it. Generated code passes
 * this word as `size`; READ is the absence of WRITE and FETCH.
 */
export const ACCESS = {
  SIZE: 0xff,
  /** By a stack instruction or through SS: a non-canonical address is #SS(0), not #GP(0). */
  STACK: 1 << 8,
  /** An implicit supervisor access (GDT, LDT, IDT, TSS): supervisor rights at any CPL, and EFLAGS.AC does not lift SMAP. */
  SYSTEM: 1 << 9,
  /** With user rights at any CPL. */
  USER: 1 << 10,
  WRITE: 1 << 11,
  FETCH: 1 << 12,
  /** With WRITE: only asks whether the write would succeed; sets no D bit and logs nothing. */
  PROBE: 1 << 13,
} as const;

/** How microcode names its accesses. */
export type AccessKind = 'data' | 'stack' | 'system' | 'user';
export const ACCESS_OF: Readonly<Record<AccessKind, number>> = {
  data: 0,
  stack: ACCESS.STACK,
  system: ACCESS.SYSTEM,
  user: ACCESS.USER,
};

/** Which data view an access uses. The explicit supervisor accesses of CR4.SMAP = 0 are those of EFLAGS.AC = 1. */
export const MODE = { USER: 0, SUPERVISOR: 1, SUPERVISOR_AC: 2 } as const;
export type Mode = (typeof MODE)[keyof typeof MODE];

/** Rights of a translation: the conjunction over all levels of the walk (SDM vol. 3, 4.6). Bits 12 to 14: page size. */
export const RIGHTS = {
  WRITE: 1 << 1,
  USER: 1 << 2,
  /** The D bit of the entry that maps the page was set when the translation was made. */
  DIRTY: 1 << 6,
  GLOBAL: 1 << 8,
  NX: 1 << 9,
  PAGE_2M: 1 << 12,
  PAGE_1G: 1 << 13,
  PAGE_4M: 1 << 14,
} as const;
/** Rights while CR0.PG = 0. */
export const ALL_RIGHTS = RIGHTS.WRITE | RIGHTS.USER | RIGHTS.DIRTY;

/** SDM vol. 3, 4.6.1: whether `rights` permit `access` in `mode`, under CR0.WP and CR4.SMEP. */
export function permits(rights: number, access: number, mode: Mode, wp: boolean, smep: boolean): boolean {
  const userPage = (rights & RIGHTS.USER) !== 0;
  if ((access & ACCESS.FETCH) !== 0) {
    return (rights & RIGHTS.NX) === 0 && (mode === MODE.USER ? userPage : !(smep && userPage));
  }
  const readOnly = (rights & RIGHTS.WRITE) === 0;
  const write = (access & ACCESS.WRITE) !== 0;
  if (mode === MODE.USER) return userPage && !(write && readOnly);
  if (mode === MODE.SUPERVISOR && userPage) return false;
  return !(write && readOnly && wp);
}

/** 48-bit linear addresses: bits 63 to 47 are equal (SDM vol. 1, 3.3.7.1). */
export const isCanonical = (high: number): boolean => high >> 15 === 0 || high >> 15 === -1;
