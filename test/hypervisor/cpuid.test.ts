import { describe, expect, it } from 'vitest';
import { featuresFromCpuid } from '../../src/cpu/features.ts';
import { ABSENT } from '../../src/cpu/microcode/table.ts';
import { CpuidTable, type CpuidAsker, type CpuidOptions } from '../../src/hypervisor/cpuid.ts';
import { CPU_MODELS, MAX_MODEL } from '../../src/hypervisor/cpuModels.ts';
import { KVM_CPUID } from '../../src/hypervisor/names.ts';
import { CPUID_LEAF } from '../../src/x86/names/cpuid.ts';
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';

const asker: CpuidAsker = { id: 0, apicEnabled: true, cr4: 0n };
const table = (options: Partial<CpuidOptions> = {}) =>
  new CpuidTable({ vcpus: 4, tscKhz: 2_500_000, apicBusKhz: 1_000_000, ...options });

/** Text in registers, as programs print it. */
const text = (...words: number[]): string =>
  words.map((word) => String.fromCharCode(word & 0xff, (word >> 8) & 0xff, (word >> 16) & 0xff, word >>> 24)).join('');

describe('CPUID', () => {
  it('names vendor, brand and version as programs read them', () => {
    const vendor = table().answer(CPUID_LEAF.VENDOR, 0, asker);
    expect(text(vendor.ebx, vendor.edx, vendor.ecx)).toBe('GenuineIntel');
    const brand = [0, 1, 2].map((i) => table().answer(CPUID_LEAF.BRAND + i, 0, asker));
    expect(
      brand
        .map((r) => text(r.eax, r.ebx, r.ecx, r.edx))
        .join('')
        .replaceAll('\0', ''),
    ).toBe(MAX_MODEL.brand);
    // Family 6, model 85, stepping 4: 00050654 in /proc/cpuinfo's terms.
    expect(table().answer(CPUID_LEAF.FEATURES, 0, asker).eax).toBe(0x50654);
  });

  it('offers exactly the features of the model, apart from the bits that follow the vCPU', () => {
    const features = featuresFromCpuid((leaf, subleaf) => table().answer(leaf, subleaf, asker));
    for (const name of MAX_MODEL.features) expect(features.has(name), name).toBe(true);
    for (const absent of ['OSXSAVE', 'VMX', 'AVX', 'MONITOR', 'SVM', 'LA57', 'CET_SS'] as const)
      expect(features.has(absent), absent).toBe(false);
  });

  const isExecuted = (row: Row): boolean => row.semantics !== undefined || row.microcode !== undefined;
  /** Every x86-64 processor has these; what is missing of them stops by name. */
  const BASELINE = new Set<string>(['FPU', 'MMX', 'FXSR', 'SSE', 'SSE2', 'CMOV', 'CX8']);

  it.each(Object.entries(CPU_MODELS))('%s offers no extension of which an instruction is not executed', (_, model) => {
    const offered = new Set<string>(model.features);
    const broken = ROWS.filter(
      (row) => row.cpuid !== undefined && !isExecuted(row) && !BASELINE.has(row.cpuid) && offered.has(row.cpuid),
    );
    expect(broken.map((row) => row.mnemonic)).toEqual([]);
  });

  it('max offers every extension that is executed, but for those that have a reason', () => {
    const REASONS: Readonly<Record<string, string>> = {
      SSE4_2: 'its string comparisons are not executed yet; CRC32 is',
      XSAVE: 'its instructions but XGETBV and XSETBV are not executed yet',
      MONITOR: 'KVM does not offer it: MWAIT is a NOP there',
      WRMSRNS: 'leaf 7.1, where its bit stands, is not answered yet',
    };
    const isThere = ({ microcode }: Row): boolean => microcode === undefined || !ABSENT.has(microcode);
    const executed = new Set(ROWS.flatMap((row) => (isExecuted(row) && isThere(row) && row.cpuid ? [row.cpuid] : [])));
    const missing = [...executed].filter((feature) => !MAX_MODEL.features.includes(feature));
    expect(missing.sort()).toEqual(Object.keys(REASONS).sort());
  });

  it('mirrors IA32_APIC_BASE.EN, and the APIC id', () => {
    const APIC = 1 << 9;
    expect(table().answer(1, 0, asker).edx & APIC).toBe(APIC);
    expect(table().answer(1, 0, { ...asker, apicEnabled: false }).edx & APIC).toBe(0);
    expect(table().answer(1, 0, { ...asker, id: 3 }).ebx >>> 24).toBe(3);
    expect(table().answer(CPUID_LEAF.TOPOLOGY, 1, { ...asker, id: 3 })).toMatchObject({ eax: 2, ebx: 4, edx: 3 });
  });

  it('has KVM’s signature, its features by option, and the timing leaf', () => {
    const signature = table().answer(KVM_CPUID.SIGNATURE, 0, asker);
    expect(text(signature.ebx, signature.ecx, signature.edx)).toBe('KVMKVMKVM\0\0\0');
    expect(signature.eax).toBe(KVM_CPUID.TIMING);
    expect(table().answer(KVM_CPUID.FEATURES, 0, asker).eax).toBe(0);
    expect(table({ pvFeatures: ['lazy-tscdeadline'] }).answer(KVM_CPUID.FEATURES, 0, asker).eax).toBe(1 << 18);
    expect(table().answer(KVM_CPUID.TIMING, 0, asker)).toMatchObject({ eax: 2_500_000, ebx: 1_000_000 });
  });

  it('gives the TSC frequency as a ratio of the crystal', () => {
    const { eax, ebx, ecx } = table().answer(CPUID_LEAF.TSC, 0, asker);
    expect((ecx * ebx) / eax).toBe(2_500_000_000);
  });

  it('answers a hole with zeroes and a leaf beyond the range as the highest basic one', () => {
    expect(table().answer(2, 0, asker)).toEqual({ eax: 0, ebx: 0, ecx: 0, edx: 0, found: false });
    const highest = table().answer(table().answer(0, 0, asker).eax, 0, asker);
    expect(table().answer(0x1234, 0, asker)).toEqual({ ...highest, found: false });
    expect(table().answer(0x80000099, 0, asker)).toEqual({ ...highest, found: false });
  });
});
