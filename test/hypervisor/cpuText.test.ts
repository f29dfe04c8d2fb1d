import { describe, expect, it } from 'vitest';
import { MAX_MODEL } from '../../src/hypervisor/cpuModels.ts';
import { cpuFromText } from '../../src/hypervisor/cpuText.ts';

describe('a processor model as text', () => {
  it('is a model with features added and taken away', () => {
    const { model, refused } = cpuFromText('qemu64,+tsc-deadline,-x2apic')!;
    expect(refused).toEqual([]);
    expect(model.vendor).toBe('AuthenticAMD');
    expect(model.features).toContain('TSC_DEADLINE');
    expect(model.features).not.toContain('X2APIC');
  });

  it('may have another vendor, name and version', () => {
    const { model } = cpuFromText('max,vendor=AuthenticAMD,model-id=mine,family=15,model=6,stepping=2')!;
    expect(model).toEqual({ ...MAX_MODEL, vendor: 'AuthenticAMD', brand: 'mine', family: 15, model: 6, stepping: 2 });
  });

  it.each([
    ['sse4.1=off', 'SSE4_1'],
    ['pdpe1gb=off', 'PAGE1GB'],
    ['-TSC_ADJUST', 'TSC_ADJUST'],
    ['-3dnowprefetch', 'PREFETCHW'],
  ] as const)('takes %s as %s', (text, feature) => {
    const { model, refused } = cpuFromText(`max,${text}`)!;
    expect(refused).toEqual([]);
    expect(model.features).not.toContain(feature);
  });

  it('may hide KVM, and show it again', () => {
    expect(cpuFromText('max,kvm=off')!.model).toEqual({ ...MAX_MODEL, kvm: false });
    expect(cpuFromText('max,kvm=off,kvm=on')!.model).toEqual(MAX_MODEL);
  });

  it('says what cannot be had, and is without it', () => {
    const { model, refused } = cpuFromText('max,+avx,+wings,vendor=short,phys-bits=36')!;
    expect(refused).toEqual([
      'avx: trapline does not execute it',
      'wings: there is no such feature',
      'vendor=short: write +FEATURE, -FEATURE, kvm=off, vendor=, model-id=, family=, model= or stepping=',
      'phys-bits=36: write +FEATURE, -FEATURE, kvm=off, vendor=, model-id=, family=, model= or stepping=',
    ]);
    expect(model).toEqual(MAX_MODEL);
  });

  it('is nothing when there is no model of that name', () => {
    expect(cpuFromText('pentium')).toBe(null);
    expect(cpuFromText('toString')).toBe(null);
    expect(cpuFromText('')).toBe(null);
  });
});
