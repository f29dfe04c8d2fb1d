import { describe, expect, it } from 'vitest';
import { illegalCr4 } from '../../src/cpu/controlRegisters.ts';
import { featuresFromCpuid } from '../../src/cpu/features.ts';
import { ABSENT } from '../../src/cpu/microcode/table.ts';
import { CpuidTable, type CpuidAsker, type CpuidOptions } from '../../src/hypervisor/cpuid.ts';
import { CPU_MODELS, MAX_MODEL } from '../../src/hypervisor/cpuModels.ts';
import { KVM_CPUID } from '../../src/hypervisor/names.ts';
import { CPUID_LEAF } from '../../src/x86/names/cpuid.ts';
import { CR4 } from '../../src/x86/names/registers.ts';
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
  /** Offered although some of their instructions stop by name: every x86-64 processor has them (docs/status.md). */
  const INCOMPLETE: Readonly<Record<string, string>> = {
    FPU: 'x87 is only decoded yet',
    CMOV: 'its FCMOV is x87',
    MMX: 'MMX is only decoded yet',
    SSE: 'only its prefetches, SFENCE, LDMXCSR and STMXCSR are executed',
    SSE2: 'only LFENCE, MFENCE and MOVNTI are executed',
  };

  it('leaves no instruction out that every processor has', () => {
    expect(ROWS.filter((row) => row.cpuid === undefined && !isExecuted(row)).map(({ mnemonic }) => mnemonic)).toEqual(
      [],
    );
  });

  it.each(Object.entries(CPU_MODELS))(
    '%s offers what is executed, to the last instruction, but for x87 and vectors',
    (_, model) => {
      const offered = new Set<string>(model.features);
      const incomplete = ROWS.flatMap((row) =>
        row.cpuid !== undefined && offered.has(row.cpuid) && !isExecuted(row) ? [row.cpuid] : [],
      );
      expect([...new Set(incomplete)].sort()).toEqual(Object.keys(INCOMPLETE).sort());
    },
  );

  it.each(Object.entries(CPU_MODELS))(
    '%s offers what 16- and 32-bit systems look for, but not virtual-8086 mode’s extensions',
    (_, model) => {
      const features = featuresFromCpuid((leaf, subleaf) => table({ model }).answer(leaf, subleaf, asker));
      for (const name of [
        'PSE',
        'PSE36',
        'PAE',
        'PGE',
        'SEP',
        'CX8',
        'CMOV',
        'TSC',
        'MSR',
        'APIC',
        'DE',
        'PAT',
      ] as const)
        expect(features.has(name), name).toBe(true);
      expect(features.has('VME')).toBe(false);
      expect(illegalCr4(CR4.PSE | CR4.PAE | CR4.PGE | CR4.DE | CR4.TSD, false, features)).toBeNull();
      for (const bit of [CR4.VME, CR4.PVI]) expect(illegalCr4(bit, false, features)).toMatch(/does not offer/);
    },
  );

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
    expect(table().answer(2, 0, asker)).toEqual({ eax: 0, ebx: 0, ecx: 0, edx: 0 });
    expect(table().has(2)).toBe(false);
    const highest = table().answer(table().answer(0, 0, asker).eax, 0, asker);
    expect(table().answer(0x1234, 0, asker)).toEqual(highest);
    expect(table().has(0x1234)).toBe(false);
    expect(table().answer(0x80000099, 0, asker)).toEqual(highest);
  });
});
