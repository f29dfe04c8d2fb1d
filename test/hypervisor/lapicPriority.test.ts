// TPR, PPR, IRR, ISR and EOI (SDM vol. 3, 11.8.3 to 11.8.5).
import { describe, expect, it } from 'vitest';
import { NONE } from '../../src/hypervisor/lapic/priority.ts';
import { KVM_REQ } from '../../src/hypervisor/requests.ts';
import { X2APIC_MSR as MSR } from '../../src/x86/names/msrs.ts';
import { Rig, type RigVcpu } from './lapicRig.ts';

const one = (): RigVcpu => new Rig().vcpus[0]!;
const bit = (vcpu: RigVcpu, file: number, vector: number) =>
  (vcpu.read(file + (vector >> 5))! >> BigInt(vector & 31)) & 1n;

describe('processor priority', () => {
  /* prettier-ignore */
  it.each([
    // TPR,  in service, PPR
    [0x00, [],           0x00],
    [0x35, [],           0x35],
    [0x35, [0x31],       0x35], // the same class: TPR, with its low digit
    [0x30, [0x3f],       0x30],
    [0x35, [0x41],       0x40],
    [0x3f, [0x41, 0x77], 0x70],
    [0xff, [0xf1],       0xff],
  ])('TPR %i with %j in service', (tpr, inService, ppr) => {
    const vcpu = one();
    for (const vector of inService) vcpu.lapic.acknowledge(vector);
    vcpu.write(MSR.TPR, tpr);
    expect(vcpu.read(MSR.PPR)).toBe(BigInt(ppr));
  });

  it('lets through exactly the vectors of a higher class', () => {
    for (const tpr of [0x00, 0x10, 0x2f, 0x80, 0xef, 0xf0]) {
      for (let vector = 16; vector < 256; vector++) {
        const vcpu = one();
        vcpu.write(MSR.TPR, tpr);
        vcpu.write(MSR.SELF_IPI, vector);
        expect(vcpu.lapic.pendingInterrupt()).toBe(vector >> 4 > tpr >> 4 ? vector : NONE);
      }
    }
  });

  it('the highest request goes first; a lower class waits behind what is in service', () => {
    const vcpu = one();
    for (const vector of [0x31, 0x95, 0x92, 0x40]) vcpu.write(MSR.SELF_IPI, vector);
    expect(vcpu.lapic.pendingInterrupt()).toBe(0x95);
    vcpu.lapic.acknowledge(0x95);
    expect(vcpu.lapic.pendingInterrupt()).toBe(NONE);
    vcpu.write(MSR.EOI, 0);
    expect(vcpu.lapic.pendingInterrupt()).toBe(0x92);
  });

  it('a higher class interrupts the one in service', () => {
    const vcpu = one();
    vcpu.lapic.acknowledge(0x51);
    vcpu.write(MSR.SELF_IPI, 0x61);
    expect(vcpu.lapic.pendingInterrupt()).toBe(0x61);
  });

  it('asks for KVM_REQ_EVENT when it falls below a requested vector, and only then', () => {
    const vcpu = one();
    vcpu.write(MSR.TPR, 0x80);
    vcpu.write(MSR.SELF_IPI, 0x55);
    const asksAt = (tpr: number): boolean => {
      vcpu.requests.clear(KVM_REQ.EVENT);
      vcpu.write(MSR.TPR, tpr);
      return vcpu.requests.test(KVM_REQ.EVENT);
    };
    expect([0x60, 0x40, 0x48, 0x20].map(asksAt)).toEqual([false, true, false, true]);
  });

  it('a disabled APIC has no interrupt for the processor', () => {
    const vcpu = one();
    vcpu.write(MSR.SELF_IPI, 0x55);
    vcpu.lapic.writeBase(0xfee00000n);
    expect(vcpu.lapic.pendingInterrupt()).toBe(NONE);
  });
});

describe('CR8', () => {
  it('is TPR by class; a write clears the low digit; above 15 is #GP', () => {
    const vcpu = one();
    vcpu.write(MSR.TPR, 0x5c);
    expect(vcpu.lapic.cr8).toBe(5);
    expect(vcpu.lapic.writeCr8(9n)).toBe(true);
    expect(vcpu.read(MSR.TPR)).toBe(0x90n);
    expect(vcpu.lapic.writeCr8(16n)).toBe(false);
    expect(vcpu.lapic.writeCr8(1n << 63n)).toBe(false);
    expect(vcpu.read(MSR.TPR)).toBe(0x90n);
  });
});

describe('request and service', () => {
  it('taking a vector moves it from IRR to ISR', () => {
    const vcpu = one();
    vcpu.write(MSR.SELF_IPI, 0x83);
    expect([bit(vcpu, MSR.IRR0, 0x83), bit(vcpu, MSR.ISR0, 0x83)]).toEqual([1n, 0n]);
    vcpu.lapic.acknowledge(0x83);
    expect([bit(vcpu, MSR.IRR0, 0x83), bit(vcpu, MSR.ISR0, 0x83)]).toEqual([0n, 1n]);
    expect(vcpu.read(MSR.PPR)).toBe(0x80n);
  });

  it('however often a vector comes while in service, it comes once more', () => {
    const vcpu = one();
    vcpu.write(MSR.SELF_IPI, 0x83);
    vcpu.lapic.acknowledge(0x83);
    for (let i = 0; i < 3; i++) vcpu.write(MSR.SELF_IPI, 0x83);
    vcpu.write(MSR.EOI, 0);
    vcpu.runLoop();
    expect(vcpu.taken.length).toBe(1);
  });
});

describe('EOI', () => {
  it('ends the highest in service, then the next; with nothing in service it is nothing', () => {
    const vcpu = one();
    vcpu.lapic.acknowledge(0x41);
    vcpu.lapic.acknowledge(0x81);
    const left = () => [0x41, 0x81].filter((vector) => bit(vcpu, MSR.ISR0, vector));
    vcpu.write(MSR.EOI, 0);
    expect([left(), vcpu.read(MSR.PPR)]).toEqual([[0x41], 0x40n]);
    vcpu.write(MSR.EOI, 0);
    expect([left(), vcpu.read(MSR.PPR)]).toEqual([[], 0n]);
    vcpu.requests.clear(KVM_REQ.EVENT);
    expect(vcpu.write(MSR.EOI, 0)).toBe(true);
    expect(vcpu.requests.test(KVM_REQ.EVENT)).toBe(false);
  });

  it('tells the IOAPIC the vector and its trigger mode, unless broadcasts are suppressed', () => {
    const rig = new Rig({ quirks: { directedEoi: true } });
    const [vcpu] = rig.vcpus;
    const fixedLevel = 0xc000n; // level-triggered, asserted, physical, to APIC 0
    vcpu!.write(MSR.ICR, fixedLevel | 0x61n);
    vcpu!.write(MSR.SELF_IPI, 0x51);
    vcpu!.runLoop();
    expect(rig.eois).toEqual(['0: 97 level', '0: 81 edge']);
    vcpu!.write(MSR.SIVR, 0x11ff);
    vcpu!.write(MSR.SELF_IPI, 0x51);
    vcpu!.runLoop();
    expect(rig.eois.length).toBe(2);
  });
});
