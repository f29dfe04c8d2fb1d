// A second page walker, written from SDM vol. 3, 4.3 to 4.8 table by table, for tests that compare: bigints, one function for
// each kind of paging, nothing shared with src/cpu.

export interface WalkRegisters {
  readonly cr3: bigint;
  /** The PDPTE registers. */
  readonly pdptes: readonly bigint[];
  readonly pse: boolean;
  readonly pge: boolean;
  readonly wp: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly nxe: boolean;
  /** EFLAGS.AC. */
  readonly ac: boolean;
  readonly user: boolean;
  readonly maxPhysicalAddress: number;
  readonly page1Gb: boolean;
  readonly pse36: boolean;
}
export type WalkKind = '32-bit' | 'PAE' | '4-level';
export type WalkAccess = 'read' | 'write' | 'fetch';

/** Guest physical memory, little-endian. */
export interface WalkMemory {
  read(gpa: bigint, bytes: 4 | 8): bigint;
  write(gpa: bigint, bytes: 4 | 8, value: bigint): void;
}

/** Either the translation, or the error code of #PF. */
export type Walked = { readonly gpa: bigint } | { readonly errorCode: number };

/** An entry that was used: where it is, and what it holds. */
interface Used {
  readonly at: bigint;
  readonly value: bigint;
}
interface Mapping {
  readonly entries: readonly Used[];
  readonly gpa: bigint;
}
type Path = Mapping | 'not present' | 'reserved';

/** value[high:low], as the manual writes it. */
const bits = (value: bigint, high: number, low: number): bigint =>
  (value >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n);
const bit = (value: bigint, n: number): boolean => bits(value, n, n) === 1n;
/** value[high:low] in its place; 0 if high is below low. */
const field = (value: bigint, high: number, low: number): bigint =>
  high < low ? 0n : bits(value, high, low) << BigInt(low);

/** Tables 4-3 to 4-6. */
function path32(memory: WalkMemory, registers: WalkRegisters, la: bigint): Path {
  const pde = { at: field(registers.cr3, 31, 12) | (bits(la, 31, 22) << 2n), value: 0n };
  pde.value = memory.read(pde.at, 4);
  if (!bit(pde.value, 0)) return 'not present';
  if (bit(pde.value, 7) && registers.pse) {
    const m = registers.pse36 ? Math.min(registers.maxPhysicalAddress, 40) : 32;
    if (field(pde.value, 21, m - 19) !== 0n) return 'reserved';
    const above4G = m > 32 ? bits(pde.value, m - 20, 13) << 32n : 0n;
    return { entries: [pde], gpa: above4G | field(pde.value, 31, 22) | bits(la, 21, 0) };
  }
  const pte = { at: field(pde.value, 31, 12) | (bits(la, 21, 12) << 2n), value: 0n };
  pte.value = memory.read(pte.at, 4);
  if (!bit(pte.value, 0)) return 'not present';
  return { entries: [pde, pte], gpa: field(pte.value, 31, 12) | bits(la, 11, 0) };
}

/** Tables 4-8 to 4-11. */
function pathPae(memory: WalkMemory, registers: WalkRegisters, la: bigint): Path {
  const m = registers.maxPhysicalAddress;
  const reserved = (entry: bigint): boolean => field(entry, 62, m) !== 0n || (bit(entry, 63) && !registers.nxe);
  const pdpte = registers.pdptes[Number(bits(la, 31, 30))]!;
  if (!bit(pdpte, 0)) return 'not present';
  const pde = { at: field(pdpte, m - 1, 12) | (bits(la, 29, 21) << 3n), value: 0n };
  pde.value = memory.read(pde.at, 8);
  if (!bit(pde.value, 0)) return 'not present';
  if (reserved(pde.value)) return 'reserved';
  if (bit(pde.value, 7)) {
    if (field(pde.value, 20, 13) !== 0n) return 'reserved';
    return { entries: [pde], gpa: field(pde.value, m - 1, 21) | bits(la, 20, 0) };
  }
  const pte = { at: field(pde.value, m - 1, 12) | (bits(la, 20, 12) << 3n), value: 0n };
  pte.value = memory.read(pte.at, 8);
  if (!bit(pte.value, 0)) return 'not present';
  if (reserved(pte.value)) return 'reserved';
  return { entries: [pde, pte], gpa: field(pte.value, m - 1, 12) | bits(la, 11, 0) };
}

/** Tables 4-14 to 4-20. */
function path4(memory: WalkMemory, registers: WalkRegisters, la: bigint): Path {
  const m = registers.maxPhysicalAddress;
  const entries: Used[] = [];
  let table = field(registers.cr3, m - 1, 12);
  for (const low of [39, 30, 21, 12]) {
    const at = table | (bits(la, low + 8, low) << 3n);
    const value = memory.read(at, 8);
    entries.push({ at, value });
    if (!bit(value, 0)) return 'not present';
    if (field(value, 51, m) !== 0n || (bit(value, 63) && !registers.nxe)) return 'reserved';
    if (low === 12) return { entries, gpa: field(value, m - 1, 12) | bits(la, 11, 0) };
    if (bit(value, 7)) {
      if (low === 39 || (low === 30 && !registers.page1Gb)) return 'reserved';
      if (field(value, low - 1, 13) !== 0n) return 'reserved';
      return { entries, gpa: field(value, m - 1, low) | bits(la, low - 1, 0) };
    }
    table = field(value, m - 1, 12);
  }
  throw new Error('the last level maps a page');
}

const PATH = { '32-bit': path32, PAE: pathPae, '4-level': path4 } as const;

/** 4.6.1, for explicit accesses. */
function permitted(kind: WalkKind, registers: WalkRegisters, access: WalkAccess, entries: readonly Used[]): boolean {
  const { user, wp, smep, smap, ac, nxe } = registers;
  const userAddress = entries.every(({ value }) => bit(value, 2));
  const writable = entries.every(({ value }) => bit(value, 1));
  const executable = kind === '32-bit' || !nxe || entries.every(({ value }) => !bit(value, 63));
  if (user) {
    if (!userAddress) return false;
    return access === 'read' || (access === 'write' ? writable : executable);
  }
  if (access === 'fetch') return executable && !(userAddress && smep);
  if (userAddress && smap && !ac) return false;
  return access === 'read' || writable || !wp;
}

/** Translates, and sets A and D bits in memory as 4.8 says: of all entries or, if the access faults, of none. */
export function referenceWalk(
  kind: WalkKind,
  memory: WalkMemory,
  registers: WalkRegisters,
  la: bigint,
  access: WalkAccess,
): Walked {
  const { user, smep, nxe } = registers;
  const path = PATH[kind](memory, registers, la);
  const told = // 4.7
    (access === 'write' ? 2 : 0) |
    (user ? 4 : 0) |
    (access === 'fetch' && (smep || (nxe && kind !== '32-bit')) ? 16 : 0);
  if (path === 'not present') return { errorCode: told };
  if (path === 'reserved') return { errorCode: told | 1 | 8 };
  if (!permitted(kind, registers, access, path.entries)) return { errorCode: told | 1 };
  path.entries.forEach(({ at }, i) => {
    const dirty = access === 'write' && i === path.entries.length - 1;
    const bytes = kind === '32-bit' ? 4 : 8;
    memory.write(at, bytes, memory.read(at, bytes) | 0x20n | (dirty ? 0x40n : 0n));
  });
  return { gpa: path.gpa };
}
