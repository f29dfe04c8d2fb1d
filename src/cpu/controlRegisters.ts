// Writing control registers: which values are legal (SDM vol. 3, 2.5). What a change does to translations, the MMU knows.
// Used by MOV CR in guest mode and by the hypervisor when it emulates one or restores a vCPU. What exits is not decided here.

import type { CpuidFeature } from '../x86/names/cpuid.ts';
import { CR0, CR3, CR4, EFER, SEGMENT, SEGMENT_ATTRIBUTE, XCR0 } from '../x86/names/registers.ts';
import { is64BitMode, selectCodeMode } from './segments/codeMode.ts';
import { is16BitTss } from './events/taskState.ts';
import type { Features } from './features.ts';
import type { MicrocodeCpu } from './microcode/microcode.ts';
import { LOADING, loadPdptes, meansPaePaging } from './memory/pdptes.ts';
import { segmentAttributes } from './segments/segments.ts';
import { OFFSET, type CpuState } from './state.ts';

export const CR0_DEFINED =
  CR0.PE | CR0.MP | CR0.EM | CR0.TS | CR0.ET | CR0.NE | CR0.WP | CR0.AM | CR0.NW | CR0.CD | CR0.PG; // prettier-ignore

const isSet = (value: bigint, bits: bigint): boolean => (value & bits) !== 0n;

/** Why no processor has this value in CR0; null: it may. */
export function illegalCr0(value: bigint): string | null {
  if (value >> 32n !== 0n) return 'bits 63:32 of CR0 are reserved';
  if (isSet(value, CR0.PG) && !isSet(value, CR0.PE)) return 'CR0.PG is set without CR0.PE';
  return isSet(value, CR0.NW) && !isSet(value, CR0.CD) ? 'CR0.NW is set without CR0.CD' : null;
}

/** Whether paging may be turned on while EFER.LME = 1, which activates IA-32e mode (SDM vol. 3, 9.8.5.4). */
function mayEnterLongMode(state: CpuState): boolean {
  if (!isSet(state.cr4, CR4.PAE)) return false;
  if ((segmentAttributes(state, SEGMENT.CS) & SEGMENT_ATTRIBUTE.L) !== 0) return false;
  return !is16BitTss(state);
}

/** Whether paging may be turned off: not by 64-bit code, and not while PCIDs are on. */
const mayEndPaging = (state: CpuState): boolean => !is64BitMode(state) && !isSet(state.cr4, CR4.PCIDE);

/**
 * Writes CR0; false means #GP(0). Other reserved bits of the lower half are ignored, as on real processors. With paging goes
 * IA-32e mode: EFER.LMA is CR0.PG and EFER.LME.
 */
export function setCr0(cpu: MicrocodeCpu, value: bigint): boolean {
  const { state, mmu } = cpu;
  if (illegalCr0(value) !== null) return false;
  const old = state.cr0;
  const stored = (value & CR0_DEFINED) | CR0.ET;
  const changed = old ^ stored;
  const longMode = isSet(stored, CR0.PG) && isSet(state.efer, EFER.LME);
  if (isSet(changed, CR0.PG)) {
    if (isSet(old, CR0.PG) && !mayEndPaging(state)) return false;
    if (longMode && !mayEnterLongMode(state)) return false;
  }
  const loads = isSet(changed, LOADING.CR0) && meansPaePaging(stored, state.cr4, state.efer);
  if (loads && !loadPdptes(cpu, state.cr3)) return false;
  state.cr0 = stored;
  state.efer = longMode ? state.efer | EFER.LMA : state.efer & ~EFER.LMA;
  if (isSet(changed, CR0.PE | CR0.PG)) selectCodeMode(state);
  mmu.cr0Changed(old);
  return true;
}

/** Bits of CR4 and the features that define them; all others are reserved. */
// prettier-ignore
const CR4_FEATURES: readonly (readonly [bit: bigint, feature: CpuidFeature])[] = [
  [CR4.VME, 'VME'], [CR4.PVI, 'VME'], [CR4.TSD, 'TSC'], [CR4.DE, 'DE'], [CR4.PSE, 'PSE'], [CR4.PAE, 'PAE'], [CR4.MCE, 'MCE'],
  [CR4.PGE, 'PGE'], [CR4.OSFXSR, 'FXSR'], [CR4.OSXMMEXCPT, 'SSE'], [CR4.UMIP, 'UMIP'], [CR4.FSGSBASE, 'FSGSBASE'],
  [CR4.PCIDE, 'PCID'], [CR4.OSXSAVE, 'XSAVE'], [CR4.SMEP, 'SMEP'], [CR4.SMAP, 'SMAP'],
];

const definedInCr4 = new WeakMap<Features, number>();

/** Bits that CR4 of a processor with these features has: all in the low half. */
function definedCr4(features: Features): number {
  const known = definedInCr4.get(features);
  if (known !== undefined) return known;
  let defined = CR4.PCE;
  for (const [bit, feature] of CR4_FEATURES) if (features.has(feature)) defined |= bit;
  definedInCr4.set(features, Number(defined));
  return Number(defined);
}

/** Why a processor with these features does not have this value in CR4; null: it may. */
export function illegalCr4(value: bigint, longMode: boolean, features: Features): string | null {
  const reserved = value & ~BigInt(definedCr4(features));
  if (reserved !== 0n) return `CR4 has ${cr4Bits(reserved)}, which the processor model does not offer`;
  return longMode && !isSet(value, CR4.PAE) ? 'CR4.PAE is clear in long mode' : null;
}

/** Bits of CR4 by name, as far as they have one. */
function cr4Bits(bits: bigint): string {
  const names: string[] = [];
  for (const [name, bit] of Object.entries(CR4)) if (isSet(bits, bit)) names.push(name);
  const unnamed = bits & ~Object.values(CR4).reduce((all, bit) => all | bit);
  if (unnamed !== 0n) names.push(`0x${unnamed.toString(16)}`);
  return names.join(', ');
}

const LMA = Number(EFER.LMA);
const PAE = Number(CR4.PAE);
const PCIDE = Number(CR4.PCIDE);
const LOADING_CR4 = Number(LOADING.CR4);

/** Writes CR4, of which all but the low half is reserved; false means #GP(0). Guests flush the TLB by it: so no bigints. */
export function setCr4(cpu: MicrocodeCpu, low: number, high: number): boolean {
  const { state, mmu, features } = cpu;
  const longMode = (state.low(OFFSET.efer) & LMA) !== 0;
  if (high !== 0 || (low & ~definedCr4(features)) !== 0 || (longMode && (low & PAE) === 0)) return false;
  const old = state.low(OFFSET.cr4);
  if ((low & ~old & PCIDE) !== 0 && (!longMode || isSet(state.cr3, CR3.PCID_MASK))) return false;
  const loads = !longMode && ((low ^ old) & LOADING_CR4) !== 0 && meansPaePaging(state.cr0, BigInt(low), state.efer);
  if (loads && !loadPdptes(cpu, state.cr3)) return false;
  state.setLow(OFFSET.cr4, low);
  mmu.cr4Changed(old);
  return true;
}

/** Writes CR3; false means #GP(0). Bit 63 of the value asks to keep the new PCID's translations. */
export function setCr3(cpu: MicrocodeCpu, value: bigint): boolean {
  const { state, mmu, features } = cpu;
  const pcids = isSet(state.cr4, CR4.PCIDE);
  const stored = pcids ? value & ~CR3.NO_FLUSH : value;
  if (stored >> BigInt(features.physicalAddressBits) !== 0n) return false;
  if (meansPaePaging(state.cr0, state.cr4, state.efer) && !loadPdptes(cpu, stored)) return false;
  state.cr3 = stored;
  mmu.cr3Changed(pcids && isSet(value, CR3.NO_FLUSH));
  return true;
}

const TPR_CLASS = 0xfn;

/** Writes CR8, the task priority; false means #GP(0). */
export function setCr8({ state }: MicrocodeCpu, value: bigint): boolean {
  if (isSet(value, ~TPR_CLASS)) return false;
  state.cr8 = value;
  return true;
}

/** Why a processor with these features does not have this value in XCR0; null: it may. */
export function illegalXcr0(value: bigint, features: Features): string | null {
  const offered = XCR0.X87 | XCR0.SSE | (features.has('AVX') ? XCR0.AVX : 0n);
  if (isSet(value, ~offered)) return 'XCR0 has state components that the processor model does not offer';
  if (!isSet(value, XCR0.X87)) return 'XCR0.X87 is clear';
  return isSet(value, XCR0.AVX) && !isSet(value, XCR0.SSE) ? 'XCR0.AVX is set without XCR0.SSE' : null;
}

/** Writes XCR0; false means #GP(0). */
export function setXcr0({ state, features }: MicrocodeCpu, value: bigint): boolean {
  if (illegalXcr0(value, features) !== null) return false;
  state.xcr0 = value;
  return true;
}
