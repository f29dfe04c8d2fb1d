// ICR, destinations and what arrives (SDM vol. 3, 11.6 and 11.12.9 to 11.12.11; Linux lapic.c).
import { describe, expect, it } from 'vitest';
import { deliverToApics } from '../../src/hypervisor/lapic/delivery.ts';
import { matchesDestination, x2apicLdr } from '../../src/hypervisor/lapic/destination.ts';
import { decodeIcr, type Irq } from '../../src/hypervisor/lapic/icr.ts';
import { APIC, DFR } from '../../src/hypervisor/lapic/registers.ts';
import { KVM_REQ } from '../../src/hypervisor/requests.ts';
import { X2APIC_MSR as MSR } from '../../src/x86/names/msrs.ts';
import { Rig, enableX2apic, type RigVcpu } from './lapicRig.ts';

const VECTOR = 0x55;
const LOGICAL = 1 << 11;
const icr = (low: number, dest = 0): bigint => (BigInt(dest >>> 0) << 32n) | BigInt(low >>> 0);
/** Ids of the vCPUs that have the test's vector requested. */
const reached = (rig: Rig, vector = VECTOR): number[] =>
  rig.vcpus
    .filter(({ lapic }) => (lapic.register(APIC.IRR + 16 * (vector >> 5)) >>> (vector & 31)) & 1)
    .map(({ id }) => id);

describe('the ICR in x2APIC mode', () => {
  it('faults for reserved bits and takes every other, of which it forgets only "busy"', () => {
    const reserved = [13, 16, 17, ...Array.from({ length: 12 }, (_, i) => 20 + i)];
    for (let bit = 0; bit < 64; bit++) {
      const rig = new Rig();
      const value = 1n << BigInt(bit);
      expect([bit, rig.vcpus[0]!.write(MSR.ICR, value)]).toEqual([bit, !reserved.includes(bit)]);
      expect(rig.vcpus[0]!.read(MSR.ICR)).toBe(reserved.includes(bit) || bit === 12 ? 0n : value);
    }
  });

  it('sends nothing when it faults', () => {
    const rig = new Rig({ vcpus: 2 });
    expect(rig.vcpus[0]!.write(MSR.ICR, icr((1 << 13) | VECTOR, 1))).toBe(false);
    expect([reached(rig), rig.vcpus[1]!.kicks]).toEqual([[], 0]);
  });

  it('decodes into a message', () => {
    const message = decodeIcr(0xc8d55, 0x1234);
    expect(message).toEqual({
      vector: 0x55,
      deliveryMode: 5,
      logical: true,
      assert: false,
      levelTriggered: true,
      shorthand: 3,
      dest: 0x1234,
      redirectionHint: false,
    });
  });
});

describe('destinations in x2APIC mode', () => {
  const ids = [0, 1, 2, 15, 16, 17, 40];
  const ALL = ids;
  /* prettier-ignore */
  it.each<[string, bigint, number[]]>([
    ['physical id',                    icr(VECTOR, 16),                       [16]],
    ['physical id of nobody',          icr(VECTOR, 3),                        []],
    ['physical id beyond all',         icr(VECTOR, 0x1000),                   []],
    ['physical 0xff: an id here',      icr(VECTOR, 0xff),                     []],
    ['physical broadcast',             icr(VECTOR, 0xffffffff),               ALL],
    ['logical: cluster 0, two bits',   icr(VECTOR | LOGICAL, 0x0000_8002),    [1, 15]],
    ['logical: cluster 1, all bits',   icr(VECTOR | LOGICAL, 0x0001_ffff),    [16, 17]],
    ['logical: cluster 2',             icr(VECTOR | LOGICAL, 0x0002_0100),    [40]],
    ['logical: cluster of nobody',     icr(VECTOR | LOGICAL, 0x0007_ffff),    []],
    ['logical: no bit',                icr(VECTOR | LOGICAL, 0x0001_0000),    []],
    ['logical broadcast',              icr(VECTOR | LOGICAL, 0xffffffff),     ALL],
    ['self',                           icr(VECTOR | (1 << 18), 40),           [2]],
    ['all including self',             icr(VECTOR | (2 << 18), 40),           ALL],
    ['all excluding self',             icr(VECTOR | (3 << 18), 40),           ALL.filter((id) => id !== 2)],
  ])('%s', (_, value, expected) => {
    const rig = new Rig({ ids });
    expect(rig.vcpus[2]!.write(MSR.ICR, value)).toBe(true);
    expect(reached(rig)).toEqual(expected);
    expect(rig.vcpus.filter((v) => v.kicks > 0).map((v) => v.id)).toEqual(expected);
  });

  it('SELF_IPI is a fixed edge interrupt to oneself', () => {
    const rig = new Rig({ vcpus: 2 });
    rig.vcpus[1]!.write(MSR.SELF_IPI, VECTOR);
    expect(reached(rig)).toEqual([1]);
    expect(rig.vcpus[1]!.read(MSR.ICR)).toBe(0n);
  });

  it('the LDR follows from the id', () => {
    expect([0, 1, 15, 16, 300].map(x2apicLdr)).toEqual([1, 2, 0x8000, 0x10001, 0x121000]);
    expect(new Rig({ ids: [0, 300] }).vcpus[1]!.read(MSR.LDR)).toBe(0x121000n);
  });
});

describe('destinations in xAPIC mode', () => {
  const flat = (rig: Rig, ldrs: number[], dfr: number = DFR.FLAT) =>
    rig.lapics.forEach((lapic, i) => {
      lapic.writeRegister(APIC.SPIV, 0x1ff);
      lapic.writeRegister(APIC.DFR, dfr);
      lapic.writeRegister(APIC.LDR, ldrs[i]! << 24);
    });
  const send = (rig: Rig, low: number, dest: number): number[] => {
    rig.lapics[0]!.writeRegister(APIC.ICR2, dest << 24);
    expect(rig.lapics[0]!.writeRegister(APIC.ICR, low)).toBe(true);
    return reached(rig);
  };
  /* prettier-ignore */
  it.each<[string, number, number[], number, number, number[]]>([
    ['physical id',           DFR.FLAT,    [1, 2, 4, 8],             VECTOR,           2,    [2]],
    ['physical broadcast',    DFR.FLAT,    [1, 2, 4, 8],             VECTOR,           0xff, [0, 1, 2, 3]],
    ['flat, two bits',        DFR.FLAT,    [1, 2, 4, 8],             VECTOR | LOGICAL, 0x0a, [1, 3]],
    ['flat broadcast',        DFR.FLAT,    [1, 2, 4, 8],             VECTOR | LOGICAL, 0xff, [0, 1, 2, 3]],
    ['flat, shared bits',     DFR.FLAT,    [1, 1, 2, 2],             VECTOR | LOGICAL, 0x01, [0, 1]],
    ['cluster 1',             DFR.CLUSTER, [0x11, 0x12, 0x21, 0x22], VECTOR | LOGICAL, 0x13, [0, 1]],
    ['cluster 2, one bit',    DFR.CLUSTER, [0x11, 0x12, 0x21, 0x22], VECTOR | LOGICAL, 0x22, [3]],
    ['cluster broadcast',     DFR.CLUSTER, [0x11, 0x12, 0x21, 0x22], VECTOR | LOGICAL, 0xff, [0, 1, 2, 3]],
    ['neither model',         0x5fffffff,  [1, 2, 4, 8],             VECTOR | LOGICAL, 0x02, []],
  ])('%s', (_, dfr, ldrs, low, dest, expected) => {
    const rig = new Rig({ vcpus: 4, raw: true });
    flat(rig, ldrs, dfr);
    expect(send(rig, low, dest)).toEqual(expected);
  });

  it('an APIC whose id does not fit is reached by its 32-bit id before it switches', () => {
    const rig = new Rig({ ids: [0, 300], raw: true, quirks: { x2apicFormat: true } });
    rig.lapics.forEach((lapic) => lapic.writeRegister(APIC.SPIV, 0x1ff));
    enableX2apic(rig.vcpus[0]!);
    rig.vcpus[0]!.write(MSR.ICR, icr(VECTOR, 300));
    expect(reached(rig)).toEqual([300]);
  });

  it('two APICs of one physical id both get what is sent to it', () => {
    const rig = new Rig({ vcpus: 3, raw: true });
    flat(rig, [1, 2, 4]);
    rig.lapics[2]!.writeRegister(APIC.ID, 1 << 24);
    expect(send(rig, VECTOR, 1)).toEqual([1, 2]);
  });

  it('an APIC with two logical ids is reached by either', () => {
    for (const dest of [2, 8]) {
      const rig = new Rig({ vcpus: 3, raw: true });
      flat(rig, [1, 0x0a, 4]);
      expect(send(rig, VECTOR | LOGICAL, dest)).toEqual([1]);
    }
  });

  it('mixed modes resolve logical destinations by asking everybody', () => {
    const rig = new Rig({ vcpus: 3, raw: true });
    flat(rig, [1, 2, 4]);
    enableX2apic(rig.vcpus[2]!);
    expect(rig.apicMap.logicalMode(rig)).toBe('disabled');
    expect(send(rig, VECTOR | LOGICAL, 0x06)).toEqual([1, 2]);
  });
});

describe('messages of devices', () => {
  const msi: Irq = { ...decodeIcr(VECTOR, 0xff), assert: true };
  it.each([
    [true, [0, 1]],
    [false, []],
  ])('0xff reaches x2APIC targets only by the quirk (%s)', (x2apicBroadcast, expected) => {
    const rig = new Rig({ vcpus: 2, quirks: { x2apicBroadcast } });
    deliverToApics(rig, null, msi);
    expect(reached(rig)).toEqual(expected);
    expect(matchesDestination(rig.lapics[0]!, null, msi)).toBe(x2apicBroadcast);
  });
  it('0xffffffff is a broadcast in any case', () => {
    for (const x2apicBroadcast of [true, false]) {
      const rig = new Rig({ vcpus: 2, quirks: { x2apicBroadcast } });
      expect(deliverToApics(rig, null, { ...msi, dest: 0xffffffff })).toBe(2);
    }
  });
  it('nobody named: null; named but disabled by software: 0', () => {
    const rig = new Rig({ vcpus: 2 });
    rig.vcpus[1]!.write(MSR.SIVR, 0xff);
    expect(deliverToApics(rig, null, { ...msi, dest: 1 })).toBe(0);
    rig.lapics.forEach((lapic) => lapic.writeBase(0xfee00000n));
    expect(deliverToApics(rig, null, { ...msi, dest: 0xffffffff })).toBe(null);
  });
});

describe('lowest priority', () => {
  const lowest = (vector: number) => icr(0x100 | LOGICAL | vector, 0xf);
  const chosen = (rig: Rig, vectors: number[]) =>
    vectors.map((vector) => {
      rig.vcpus[0]!.write(MSR.ICR, lowest(vector));
      return reached(rig, vector)[0];
    });
  it('chooses by vector modulo targets', () => {
    expect(chosen(new Rig({ vcpus: 4 }), [0x40, 0x41, 0x42, 0x43, 0x44])).toEqual([0, 1, 2, 3, 0]);
  });
  it('or round robin without vector hashing', () => {
    expect(chosen(new Rig({ vcpus: 4, quirks: { vectorHashing: false } }), [0x40, 0x44, 0x48, 0x4c, 0x50])).toEqual([
      0, 1, 2, 3, 0,
    ]);
  });
  it('or not at all, where the silicon lacks it', () => {
    expect(chosen(new Rig({ vcpus: 4, quirks: { x2apicLowestPriority: false } }), [0x40])).toEqual([undefined]);
  });
  it('a redirection hint takes any one of the targets', () => {
    const rig = new Rig({ vcpus: 4 });
    const irq = { ...decodeIcr(LOGICAL | 0x46, 0xf), redirectionHint: true };
    expect([deliverToApics(rig, null, irq), reached(rig, 0x46)]).toEqual([1, [2]]);
  });
});

describe('what a delivery mode does at its target', () => {
  const ASSERT = 1 << 14;
  const LEVEL = 1 << 15;
  interface Outcome {
    irr: boolean;
    event: boolean;
    kicks: number;
    log: string[];
    smi: boolean;
    init: boolean;
    sipi: boolean;
  }
  const none: Outcome = { irr: false, event: false, kicks: 0, log: [], smi: false, init: false, sipi: false };
  const notified = { event: true, kicks: 1 };
  /* prettier-ignore */
  it.each<[string, number, Partial<Outcome>]>([
    ['fixed, edge',            0x000,                  { irr: true, ...notified }],
    ['fixed, level, assert',   LEVEL | ASSERT,         { irr: true, ...notified }],
    ['fixed, level, deassert', LEVEL,                  {}],
    ['lowest priority',        0x100,                  { irr: true, ...notified }],
    ['SMI',                    0x200,                  { smi: true, kicks: 1 }],
    ['remote read',            0x300,                  { log: ['unhalt'], ...notified }],
    ['NMI',                    0x400,                  { log: ['nmi'], kicks: 1 }],
    ['INIT, edge',             0x500,                  { init: true, ...notified }],
    ['INIT, level, assert',    0x500 | LEVEL | ASSERT, { init: true, ...notified }],
    ['INIT, level, deassert',  0x500 | LEVEL,          {}],
    ['SIPI',                   0x600,                  { sipi: true, ...notified }],
    ['ExtINT',                 0x700,                  {}],
  ])('%s', (_, low, expected) => {
    const rig = new Rig({ vcpus: 2 });
    const target = rig.vcpus[1]!;
    rig.vcpus[0]!.write(MSR.ICR, icr(low | VECTOR, 1));
    const { requests, kicks, log, lapic } = target;
    expect({
      irr: reached(rig).includes(1),
      event: requests.test(KVM_REQ.EVENT),
      kicks,
      log,
      smi: requests.test(KVM_REQ.SMI),
      init: lapic.events.initPending,
      sipi: lapic.events.sipiPending,
    }).toEqual({ ...none, ...expected });
  });

  it('TMR says how the vector was triggered last', () => {
    const rig = new Rig();
    const [vcpu] = rig.vcpus;
    const tmr = () => (vcpu!.read(MSR.TMR0 + (VECTOR >> 5))! >> BigInt(VECTOR & 31)) & 1n;
    vcpu!.write(MSR.ICR, icr(VECTOR | LEVEL | ASSERT));
    expect(tmr()).toBe(1n);
    vcpu!.write(MSR.ICR, icr(VECTOR));
    expect(tmr()).toBe(0n);
  });

  it('an APIC disabled by software drops vectors but takes NMI, INIT and SIPI', () => {
    const rig = new Rig({ vcpus: 2 });
    rig.vcpus[1]!.write(MSR.SIVR, 0xff);
    for (const low of [0x000, 0x400, 0x500, 0x600]) rig.vcpus[0]!.write(MSR.ICR, icr(low | VECTOR, 1));
    expect(reached(rig)).toEqual([]);
    expect(rig.vcpus[1]!.log).toEqual(['nmi']);
    expect(rig.vcpus[1]!.lapic.events).toMatchObject({ initPending: true, sipiPending: true, sipiVector: VECTOR });
  });

  it('an APIC disabled by hardware gets nothing', () => {
    const rig = new Rig({ vcpus: 2 });
    rig.lapics[1]!.writeBase(0xfee00000n);
    for (const low of [0x000, 0x400, 0x500]) rig.vcpus[0]!.write(MSR.ICR, icr(low | (3 << 18) | VECTOR));
    expect([rig.vcpus[1]!.log, rig.vcpus[1]!.kicks]).toEqual([[], 0]);
  });
});

describe('the order of probes', () => {
  const two = () => new Rig({ vcpus: 2 });
  const act = (rig: Rig, write: (vcpu: RigVcpu) => void) => rig.probesOf(() => write(rig.vcpus[0]!));
  it('x2APIC ICR: IPI, acceptance, then the register', () => {
    expect(act(two(), (v) => v.write(MSR.ICR, icr(VECTOR, 1)))).toEqual([
      'kvm_apic_ipi',
      'kvm_apic_accept_irq',
      'kvm_apic',
    ]);
  });
  it('xAPIC ICR and SELF_IPI: the register first', () => {
    const rig = new Rig({ vcpus: 2, raw: true });
    expect(rig.probesOf(() => rig.lapics[0]!.writeRegister(APIC.ICR, VECTOR))).toEqual([
      'kvm_apic',
      'kvm_apic_ipi',
      'kvm_apic_accept_irq',
    ]);
    expect(act(two(), (v) => v.write(MSR.SELF_IPI, VECTOR))).toEqual([
      'kvm_apic',
      'kvm_apic_ipi',
      'kvm_apic_accept_irq',
    ]);
  });
  it('EOI: the register, then kvm_eoi', () => {
    expect(act(two(), (v) => v.write(MSR.EOI, 0))).toEqual(['kvm_apic', 'kvm_eoi']);
  });
});
