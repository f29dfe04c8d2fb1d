// IA32_APIC_BASE: the three modes of a local APIC and which change of mode is legal (SDM vol. 3, 11.12.5;
// kvm_apic_set_base). Pure: what a change does to the registers is in lapic.ts.

import { APIC_BASE } from '../../x86/names/msrs.ts';
import type { LapicFeatures } from './owner.ts';

/** By EN and EXTD; `invalid` is EXTD without EN, which nothing may set. */
export type ApicMode = 'disabled' | 'xapic' | 'x2apic' | 'invalid';

export function modeOf(base: bigint): ApicMode {
  const extended = (base & APIC_BASE.EXTD) !== 0n;
  if ((base & APIC_BASE.EN) === 0n) return extended ? 'invalid' : 'disabled';
  return extended ? 'x2apic' : 'xapic';
}

/** Changes of mode that a guest's WRMSR may make, from -> to; every other one is #GP. */
const LEGAL: Readonly<Record<ApicMode, readonly ApicMode[]>> = {
  disabled: ['disabled', 'xapic'],
  xapic: ['disabled', 'xapic', 'x2apic'],
  x2apic: ['disabled', 'x2apic'],
  invalid: [],
};

const LOW_BITS = 0xfffn;

/** Whether a value may be written: its reserved bits, then the change of mode. The host (restoring a vCPU) may change modes freely. */
export function mayWriteBase(old: bigint, value: bigint, features: LapicFeatures, hostInitiated: boolean): boolean {
  const flags = APIC_BASE.BSP | APIC_BASE.EN | (features.x2apic ? APIC_BASE.EXTD : 0n);
  const reservedLow = LOW_BITS & ~flags;
  if ((value & reservedLow) !== 0n || value >> BigInt(features.physicalAddressBits) !== 0n) return false;
  const mode = modeOf(value);
  return hostInitiated ? mode !== 'invalid' : LEGAL[modeOf(old)].includes(mode);
}

/** Power-on value. */
export const resetBase = (bsp: boolean): bigint =>
  APIC_BASE.DEFAULT_ADDRESS | APIC_BASE.EN | (bsp ? APIC_BASE.BSP : 0n);
