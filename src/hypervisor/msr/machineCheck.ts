// Machine-check registers: banks that never report anything, as many as QEMU gives a guest (Linux 6.16 arch/x86/kvm/x86.c
// set_msr_mce and get_msr_mce). There is no CMCI.

import { MC0_CTL, MSR } from '../../x86/names/msrs.ts';
import { constant, kept, type MsrRecord } from './record.ts';

const BANKS = 10;
/** IA32_MCG_CAP: the number of banks, IA32_MCG_CTL exists, recoverable errors are told apart. */
const CAPABILITIES = BigInt(BANKS) | (1n << 8n) | (1n << 24n);
const ONES = 0xffff_ffff_ffff_ffffn;

/** HWCR.McStatusWrEn. */
const MC_STATUS_WRITES = 1n << 18n;

/** All or nothing; bits 0 and 10 may be clear, as Linux and a workaround for K8 leave them. */
const isControl = (value: bigint): boolean => value === 0n || (value | 0x401n) === ONES;

const bank = (i: number): readonly MsrRecord[] => [
  kept(MC0_CTL + 4 * i, ONES, isControl),
  kept(
    MC0_CTL + 4 * i + 1,
    0n,
    (value, { keptMsrs }, hostInitiated) =>
      value === 0n || hostInitiated || ((keptMsrs.get(MSR.K7_HWCR) ?? 0n) & MC_STATUS_WRITES) !== 0n,
  ),
  kept(MC0_CTL + 4 * i + 2, 0n),
  kept(MC0_CTL + 4 * i + 3, 0n),
];

export const MACHINE_CHECK_MSRS: readonly MsrRecord[] = [
  constant(MSR.P5_MC_ADDR, 0n),
  constant(MSR.P5_MC_TYPE, 0n),
  constant(MSR.MCG_CAP, CAPABILITIES),
  kept(MSR.MCG_STATUS, 0n),
  kept(MSR.MCG_CTL, ONES, (value) => value === 0n || value === ONES),
  ...Array.from({ length: BANKS }, (_, i) => bank(i)).flat(),
];
