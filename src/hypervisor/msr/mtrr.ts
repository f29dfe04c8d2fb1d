// Memory type range registers. The second stage says what is memory and what is not, so they are kept for the guest to read
// and have no effect, as in KVM on processors with EPT; but what is written must be legal (Linux 6.16 arch/x86/kvm/mtrr.c).

import { DEFAULT_PHYSICAL_ADDRESS_BITS } from '../../cpu/features.ts';
import { MSR, MTRR } from '../../x86/names/msrs.ts';
import { constant, kept, type MsrRecord } from './record.ts';

const VARIABLE_RANGES = 8;
/** IA32_MTRRCAP: the number of variable ranges, fixed ones, write-combining. */
const CAPABILITIES = BigInt(VARIABLE_RANGES) | (1n << 8n) | (1n << 10n);
/** UC, WC, WT, WP, WB (SDM vol. 3, table 12-8). */
const TYPES: ReadonlySet<bigint> = new Set([0n, 1n, 4n, 5n, 6n]);
const hasType = (value: bigint): boolean => TYPES.has(value & 0xffn);

/** Default type, E and FE. */
const DEF_TYPE_RESERVED = ~0xcffn;
const BEYOND_ADDRESS = ~((1n << BigInt(DEFAULT_PHYSICAL_ADDRESS_BITS)) - 1n);
const BASE_RESERVED = BEYOND_ADDRESS | 0xf00n;
const MASK_RESERVED = BEYOND_ADDRESS | 0x7ffn;

function areTypes(value: bigint): boolean {
  for (let shift = 0n; shift < 64n; shift += 8n) if (!hasType(value >> shift)) return false;
  return true;
}

const FIXED: readonly number[] = [
  MTRR.FIX64K_00000,
  MTRR.FIX16K_80000,
  MTRR.FIX16K_A0000,
  ...Array.from({ length: 8 }, (_, i) => MTRR.FIX4K_C0000 + i),
];

export const MTRR_MSRS: readonly MsrRecord[] = [
  constant(MSR.MTRRCAP, CAPABILITIES),
  kept(MSR.MTRR_DEF_TYPE, 0n, (value) => (value & DEF_TYPE_RESERVED) === 0n && hasType(value)),
  ...FIXED.map((index) => kept(index, 0n, areTypes)),
  ...Array.from({ length: VARIABLE_RANGES }, (_, i) => [
    kept(MTRR.PHYSBASE0 + 2 * i, 0n, (value) => (value & BASE_RESERVED) === 0n && hasType(value)),
    kept(MTRR.PHYSBASE0 + 2 * i + 1, 0n, (value) => (value & MASK_RESERVED) === 0n),
  ]).flat(),
];
