// Writing control registers: which values are legal (SDM vol. 3, 2.5). What a change does to translations, the MMU knows.
// Used by MOV CR in guest mode and by the hypervisor when it emulates one. What exits is not decided here.

import type { CpuidFeature } from '../x86/names/cpuid.ts';
import { CR0, CR3, CR4, EFER, XCR0 } from '../x86/names/registers.ts';
import { stop } from './fault.ts';
import type { MicrocodeCpu } from './microcode/microcode.ts';

const CR0_DEFINED =
  CR0.PE | CR0.MP | CR0.EM | CR0.TS | CR0.ET | CR0.NE | CR0.WP | CR0.AM | CR0.NW | CR0.CD | CR0.PG; // prettier-ignore

const isSet = (value: bigint, bits: bigint): boolean => (value & bits) !== 0n;

/** Writes CR0; false means #GP(0). Other reserved bits of the lower half are ignored, as on real processors. */
export function setCr0(cpu: MicrocodeCpu, value: bigint): boolean {
  const { state, mmu } = cpu;
  if (value >> 32n !== 0n) return false;
  if (isSet(value, CR0.PG) && !isSet(value, CR0.PE)) return false;
  if (isSet(value, CR0.NW) && !isSet(value, CR0.CD)) return false;
  if (!isSet(value, CR0.PG) && isSet(state.cr0, CR0.PG)) {
    // In 64-bit mode paging cannot be turned off; elsewhere not while PCIDs are on.
    if (isSet(state.efer, EFER.LMA) || isSet(state.cr4, CR4.PCIDE)) return false;
    stop(
      'turning paging off is not implemented',
      'keep CR0.PG set: the guest runs in 64-bit mode from its first instruction',
    );
  }
  if (isSet(value, CR0.PG) && !isSet(state.cr0, CR0.PG)) {
    stop('turning paging on is not implemented', 'enter the guest in 64-bit mode, with paging on');
  }
  const old = state.cr0;
  state.cr0 = (value & CR0_DEFINED) | CR0.ET;
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

/** Writes CR4; false means #GP(0). */
export function setCr4(cpu: MicrocodeCpu, value: bigint): boolean {
  const { state, mmu, features } = cpu;
  let defined = CR4.PCE;
  for (const [bit, feature] of CR4_FEATURES) if (features.has(feature)) defined |= bit;
  if (isSet(value, ~defined)) return false;
  const longMode = isSet(state.efer, EFER.LMA);
  if (longMode && !isSet(value, CR4.PAE)) return false;
  const old = state.cr4;
  if (isSet(value & ~old, CR4.PCIDE) && (!longMode || isSet(state.cr3, CR3.PCID_MASK))) return false;
  state.cr4 = value;
  mmu.cr4Changed(old);
  return true;
}

/** Writes CR3; false means #GP(0). Bit 63 of the value asks to keep the new PCID's translations. */
export function setCr3(cpu: MicrocodeCpu, value: bigint): boolean {
  const { state, mmu, features } = cpu;
  const pcids = isSet(state.cr4, CR4.PCIDE);
  const stored = pcids ? value & ~CR3.NO_FLUSH : value;
  if (stored >> BigInt(features.physicalAddressBits) !== 0n) return false;
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

/** Writes XCR0; false means #GP(0). */
export function setXcr0({ state, features }: MicrocodeCpu, value: bigint): boolean {
  const offered = XCR0.X87 | XCR0.SSE | (features.has('AVX') ? XCR0.AVX : 0n);
  if (isSet(value, ~offered) || !isSet(value, XCR0.X87)) return false;
  if (isSet(value, XCR0.AVX) && !isSet(value, XCR0.SSE)) return false;
  state.xcr0 = value;
  return true;
}
