// The architectural MSRs that live in the state block: their checks and effects. Used when the MSR bitmap lets an access
// through, and by the hypervisor, whose own table falls back on this one. MSRs of the local APIC, of the TSC-deadline timer
// and of KVM are the hypervisor's.

import { APIC_BASE, MSR } from '../x86/names/msrs.ts';
import { CR0, EFER, SEGMENT } from '../x86/names/registers.ts';
import { isCanonicalAddress } from './canonical.ts';
import type { Features } from './features.ts';
import type { MicrocodeCpu } from './microcode/microcode.ts';
import { segmentBase, setSegmentBase } from './segments/segments.ts';
import type { CpuState } from './state.ts';

interface ArchitecturalMsr {
  read(cpu: MicrocodeCpu): bigint;
  /** False: #GP(0), and nothing has changed. */
  write(cpu: MicrocodeCpu, value: bigint): boolean;
}

type Field =
  | 'star'
  | 'lstar'
  | 'cstar'
  | 'fmask'
  | 'kernelGsBase'
  | 'tscAux'
  | 'pat'
  | 'sysenterCs'
  | 'sysenterEsp'
  | 'sysenterEip';

/** An MSR that is a field of the state block and takes the values that `isLegal` accepts. */
const held = (field: Field, isLegal: (value: bigint) => boolean = () => true): ArchitecturalMsr => ({
  read: ({ state }) => state[field],
  write: ({ state }, value) => {
    if (!isLegal(value)) return false;
    state[field] = value;
    return true;
  },
});

const base = (segment: number): ArchitecturalMsr => ({
  read: ({ state }) => segmentBase(state, segment),
  write: ({ state }, value) => {
    if (!isCanonicalAddress(value)) return false;
    setSegmentBase(state, segment, value);
    return true;
  },
});

const fits32 = (value: bigint): boolean => value >> 32n === 0n;

/** UC, WC, WT, WP, WB and UC-: the memory types that a PAT entry may have (SDM vol. 3, 11.12.2). */
const PAT_TYPES: ReadonlySet<bigint> = new Set([0n, 1n, 4n, 5n, 6n, 7n]);
function isLegalPat(value: bigint): boolean {
  for (let shift = 0n; shift < 64n; shift += 8n) if (!PAT_TYPES.has((value >> shift) & 0xffn)) return false;
  return true;
}

/** The bits of EFER that a processor with these features has. */
export function definedEfer(features: Features): bigint {
  let defined = EFER.LME | EFER.LMA;
  if (features.has('SYSCALL')) defined |= EFER.SCE;
  if (features.has('NX')) defined |= EFER.NXE;
  return defined;
}

const efer: ArchitecturalMsr = {
  read: ({ state }) => state.efer,
  write(cpu, value) {
    const { state, features, mmu } = cpu;
    if ((value & ~definedEfer(features)) !== 0n) return false;
    // LMA follows CR0.PG and LME, and LME is fixed while paging is on.
    const changed = (state.efer ^ value) & ~EFER.LMA;
    if ((changed & EFER.LME) !== 0n && (state.cr0 & CR0.PG) !== 0n) return false;
    const old = state.efer;
    state.efer = old ^ changed;
    mmu.eferChanged(old);
    return true;
  },
};

/** The four combinations of EN and EXTD: the last two steps of a legal way are disabled, xAPIC, x2APIC (SDM vol. 3, 11.12.5). */
const apicBase: ArchitecturalMsr = {
  read: ({ state }) => state.apicBase,
  write({ state, features }, value) {
    const modeBits = features.has('X2APIC') ? APIC_BASE.EN | APIC_BASE.EXTD : APIC_BASE.EN;
    const address = ((1n << BigInt(features.physicalAddressBits)) - 1n) & ~0xfffn;
    if ((value & ~(modeBits | APIC_BASE.BSP | address)) !== 0n) return false;
    if (!isLegalApicMode(state.apicBase & (APIC_BASE.EN | APIC_BASE.EXTD), value & (APIC_BASE.EN | APIC_BASE.EXTD)))
      return false;
    state.apicBase = value;
    return true;
  },
};

const X2APIC_MODE = APIC_BASE.EN | APIC_BASE.EXTD;

function isLegalApicMode(from: bigint, to: bigint): boolean {
  if (to === APIC_BASE.EXTD) return false;
  if (from === X2APIC_MODE && to === APIC_BASE.EN) return false;
  return !(from === 0n && to === X2APIC_MODE);
}

const TABLE = new Map<number, ArchitecturalMsr>([
  [MSR.EFER, efer],
  [MSR.STAR, held('star')],
  [MSR.LSTAR, held('lstar', isCanonicalAddress)],
  [MSR.CSTAR, held('cstar', isCanonicalAddress)],
  [MSR.FMASK, held('fmask', fits32)],
  [MSR.FS_BASE, base(SEGMENT.FS)],
  [MSR.GS_BASE, base(SEGMENT.GS)],
  [MSR.KERNEL_GS_BASE, held('kernelGsBase', isCanonicalAddress)],
  [MSR.TSC_AUX, held('tscAux', fits32)],
  [MSR.SYSENTER_CS, held('sysenterCs', fits32)],
  [MSR.SYSENTER_ESP, held('sysenterEsp', isCanonicalAddress)],
  [MSR.SYSENTER_EIP, held('sysenterEip', isCanonicalAddress)],
  [MSR.PAT, held('pat', isLegalPat)],
  [MSR.APIC_BASE, apicBase],
  [MSR.TSC, { read: ({ state }: { state: CpuState }) => state.tsc, write: writeTsc }],
]);

/** The hypervisor scales and offsets the TSC; in the state block it simply takes the value. */
function writeTsc({ state }: MicrocodeCpu, value: bigint): boolean {
  state.tsc = value;
  return true;
}

/** Indices of the MSRs that live in the state block. */
export const ARCHITECTURAL_MSRS: readonly number[] = [...TABLE.keys()];

/** The value of an architectural MSR; null if this table has none of that index (RDMSR: #GP(0)). */
export function readMsr(cpu: MicrocodeCpu, index: number): bigint | null {
  return TABLE.get(index)?.read(cpu) ?? null;
}

/** Writes an architectural MSR; false if there is none of that index or the value is illegal (WRMSR: #GP(0)). */
export function writeMsr(cpu: MicrocodeCpu, index: number, value: bigint): boolean {
  return TABLE.get(index)?.write(cpu, value) ?? false;
}
