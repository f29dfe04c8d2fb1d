// MSRs that kernels read and write on their way: what is kept, ignored and refused. The oracle of most is kvm-unit-tests'
// x86/msr.c; the rest is Linux 6.16 arch/x86/kvm/x86.c and mtrr.c.

import { describe, expect, it } from 'vitest';
import { MSRS } from '../../src/hypervisor/msrs.ts';
import { getMsrs, setMsrs } from '../../src/hypervisor/state/msrs.ts';
import { MC0_CTL, MSR, MTRR } from '../../src/x86/names/msrs.ts';
import { EXIT } from '../../src/cpu/exit.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { pvRig, run, shutdown } from './pvRig.ts';
import { wrmsr, type Step } from './scriptedCpu.ts';

const ONES = 0xffff_ffff_ffff_ffffn;
const fresh = () => pvRig([[shutdown]]).vm.vcpus[0]!;
/** What a guest reads after it has written; 'gp': the write was refused. */
function after(index: number, value: bigint): bigint | 'gp' | null {
  const vcpu = fresh();
  const record = MSRS.get(index)!;
  return record.write(vcpu, value, false) ? record.read(vcpu) : 'gp';
}

describe('a guest that writes', () => {
  it.each<[string, number, bigint, bigint | 'gp']>([
    ['IA32_MISC_ENABLE keeps what it may change', MSR.MISC_ENABLE, 0x4_00c5_1809n, 0x4_00c5_1809n],
    ['... not the bits that say what is absent', MSR.MISC_ENABLE, 1n, 'gp'],
    ['... and the one of the performance monitor stays', MSR.MISC_ENABLE, 0x1881n, 0x1801n],
    ['IA32_DEBUGCTL may write 0', MSR.DEBUGCTL, 0n, 0n],
    ['... LBR and BTF, without effect', MSR.DEBUGCTL, 3n, 0n],
    ['... and nothing else', MSR.DEBUGCTL, 4n, 'gp'],
    ['IA32_FEATURE_CONTROL may lock it', MSR.FEATURE_CONTROL, 1n, 1n],
    ['... and not enable VMX', MSR.FEATURE_CONTROL, 5n, 'gp'],
    ['MTRR default type: write-back, enabled', MSR.MTRR_DEF_TYPE, 0xc06n, 0xc06n],
    ['... no type 2', MSR.MTRR_DEF_TYPE, 0xc02n, 'gp'],
    ['... no reserved bit', MSR.MTRR_DEF_TYPE, 0x1006n, 'gp'],
    ['MTRR of a fixed range: eight types', MTRR.FIX64K_00000, 0x0606_0606_0606_0606n, 0x0606_0606_0606_0606n],
    ['... each must be one', MTRR.FIX4K_C0000 + 7, 0x0200_0000_0000_0000n, 'gp'],
    ['MTRR base', MTRR.PHYSBASE0, 0xc000_0000n, 0xc000_0000n],
    ['... beyond the physical address', MTRR.PHYSBASE0, 1n << 52n, 'gp'],
    ['MTRR mask', MTRR.PHYSBASE0 + 15, 0x800n, 0x800n],
    ['... reserved bits', MTRR.PHYSBASE0 + 15, 0x400n, 'gp'],
    ['MTRR capabilities', MSR.MTRRCAP, 0x508n, 'gp'],
    ['MC_CTL: all ones', MC0_CTL, ONES, ONES],
    ['... or as Linux leaves it', MC0_CTL, ONES & ~0x401n, ONES & ~0x401n],
    ['... nothing between', MC0_CTL, 1n << 63n, 'gp'],
    ['MC_STATUS: only 0', MC0_CTL + 1, 1n, 'gp'],
    ['MC_ADDR: anything', MC0_CTL + 2, 1n << 63n, 1n << 63n],
    ['MCG_CTL: all or nothing', MSR.MCG_CTL, 1n, 'gp'],
    ['MSR_PLATFORM_INFO', MSR.PLATFORM_INFO, 0n, 'gp'],
    ['HWCR: what firmware sets is ignored', MSR.K7_HWCR, 0x148n, 0n],
    ['... TscFreqSel is kept', MSR.K7_HWCR, 1n << 24n, 1n << 24n],
    ['... others are refused', MSR.K7_HWCR, 1n, 'gp'],
    ['old performance counters are ignored', MSR.P6_EVNTSEL0, 0x43_00c0n, 0n],
    ['microcode revision is ignored', MSR.BIOS_SIGN_ID, 0n, 1n << 32n],
    ['MMIO_CONF_BASE: only 0', MSR.FAM10H_MMIO_CONF_BASE, 1n, 'gp'],
  ])('%s', (_, index, value, expected) => {
    expect(after(index, value)).toBe(expected);
  });

  it('cannot unlock IA32_FEATURE_CONTROL', () => {
    const vcpu = fresh();
    const { write } = MSRS.get(MSR.FEATURE_CONTROL)!;
    expect([write(vcpu, 1n, false), write(vcpu, 0n, false), write(vcpu, 0n, true)]).toEqual([true, false, true]);
  });

  it('may set MC_STATUS once HWCR allows it', () => {
    const vcpu = fresh();
    MSRS.get(MSR.K7_HWCR)!.write(vcpu, 1n << 18n, false);
    expect(MSRS.get(MC0_CTL + 1)!.write(vcpu, 5n, false)).toBe(true);
  });
});

it('there are ten machine-check banks, and the eleventh is no MSR', () => {
  expect(MSRS.get(MSR.MCG_CAP)!.reset & 0xffn).toBe(10n);
  expect(MSRS.has(MC0_CTL + 4 * 9 + 3)).toBe(true);
  expect(MSRS.has(MC0_CTL + 4 * 10)).toBe(false);
});

it('what is kept goes with a vCPU that is saved, and is gone after power-on, but not after INIT', () => {
  const vcpu = fresh();
  MSRS.get(MTRR.PHYSBASE0)!.write(vcpu, 0xc000_0006n, false);
  const saved = getMsrs(vcpu);
  const other = fresh();
  expect(setMsrs(other, saved)).toBe(saved.length);
  expect(MSRS.get(MTRR.PHYSBASE0)!.read(other)).toBe(0xc000_0006n);
  other.reset(true);
  expect(MSRS.get(MTRR.PHYSBASE0)!.read(other)).toBe(0xc000_0006n);
  other.reset(false);
  expect(MSRS.get(MTRR.PHYSBASE0)!.read(other)).toBe(0n);
});

it('CPUID faults outside of CPL 0 once the guest has asked for that', () => {
  const cpuid: Step = { exit: EXIT.CPUID };
  const ring = (cpl: number): Step => ({ then: ({ state }) => void (state.cpl = cpl) });
  const rig = run(
    pvRig([[ring(3), cpuid, ring(0), wrmsr(MSR.MISC_FEATURES_ENABLES, 1n), cpuid, ring(3), cpuid, ring(0), shutdown]]),
  );
  expect(rig.guests[0]!.delivered).toEqual([{ type: 'exception', vector: VECTOR.GP, errorCode: 0 }]);
});
