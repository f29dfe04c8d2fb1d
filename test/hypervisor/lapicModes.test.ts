// IA32_APIC_BASE, reset, INIT and SIPI (SDM vol. 3, 11.12.5, 11.4.7, 9.4).
import { describe, expect, it } from 'vitest';
import { APIC, APIC_REGISTERS } from '../../src/hypervisor/lapic/registers.ts';
import { KVM_REQ } from '../../src/hypervisor/requests.ts';
import { X2APIC_MSR as MSR } from '../../src/x86/names/msrs.ts';
import { enableX2apic, Rig } from './lapicRig.ts';

const BASE = { disabled: 0xfee00000n, xapic: 0xfee00800n, x2apic: 0xfee00c00n, invalid: 0xfee00400n } as const;
type Mode = keyof typeof BASE;
const PATH: Record<Exclude<Mode, 'invalid'>, Mode[]> = { disabled: ['disabled'], xapic: [], x2apic: ['x2apic'] };

describe('IA32_APIC_BASE', () => {
  /* prettier-ignore */
  it.each<[Exclude<Mode, 'invalid'>, Record<Mode, boolean>]>([
    ['disabled', { disabled: true, xapic: true,  x2apic: false, invalid: false }],
    ['xapic',    { disabled: true, xapic: true,  x2apic: true,  invalid: false }],
    ['x2apic',   { disabled: true, xapic: false, x2apic: true,  invalid: false }],
  ])('from %s goes where the manual allows', (from, legal) => {
    for (const to of Object.keys(BASE) as Mode[]) {
      const { lapic } = new Rig({ raw: true }).vcpus[0]!;
      for (const step of PATH[from]) lapic.writeBase(BASE[step]);
      expect(lapic.mode).toBe(from);
      const before = lapic.base;
      expect([to, lapic.writeBase(BASE[to])]).toEqual([to, legal[to]]);
      expect(lapic.base).toBe(legal[to] ? BASE[to] : before);
      expect(lapic.mode).toBe(legal[to] ? to : from);
    }
  });

  it('the host may restore any mode but EXTD alone', () => {
    const { lapic } = new Rig({ raw: true }).vcpus[0]!;
    for (const to of ['x2apic', 'xapic', 'disabled', 'x2apic'] as const)
      expect(lapic.writeBase(BASE[to], true)).toBe(true);
    expect(lapic.writeBase(BASE.invalid, true)).toBe(false);
    expect(lapic.writeBase(BASE.xapic | 1n, true)).toBe(false);
  });

  it('faults for every reserved bit', () => {
    const features = { physicalAddressBits: 40 };
    const legal = Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => {
      const { lapic } = new Rig({ raw: true, features }).vcpus[0]!;
      return lapic.writeBase(BASE.xapic | (1n << BigInt(bit)));
    });
    expect(legal).toEqual([8, 10, 11, ...Array.from({ length: 28 }, (_, i) => 12 + i)]);
  });

  it('has no EXTD where CPUID has no x2APIC', () => {
    const { lapic } = new Rig({ raw: true, features: { x2apic: false } }).vcpus[0]!;
    expect(lapic.writeBase(BASE.x2apic)).toBe(false);
  });

  it('to x2APIC mode: 32-bit id, derived LDR, requests kept', () => {
    const [, vcpu] = new Rig({ ids: [0, 0x123], raw: true }).vcpus;
    expect(vcpu!.lapic.register(APIC.ID)).toBe(0x23000000);
    vcpu!.lapic.deliverInterrupt(0x77);
    enableX2apic(vcpu!);
    expect(vcpu!.read(MSR.ID)).toBe(0x123n);
    expect(vcpu!.read(MSR.LDR)).toBe(0x120008n);
    expect(vcpu!.lapic.pendingInterrupt()).toBe(0x77);
  });

  it('disabled and enabled again: KVM keeps the registers and renews the id, silicon forgets', () => {
    for (const disabledKeepsState of [true, false]) {
      const { lapic } = new Rig({ vcpus: 2, raw: true, quirks: { disabledKeepsState } }).vcpus[1]!;
      lapic.writeRegister(APIC.TASKPRI, 0x40);
      lapic.writeRegister(APIC.ID, 0x09000000);
      lapic.writeBase(BASE.disabled);
      lapic.writeBase(BASE.xapic);
      expect(lapic.register(APIC.TASKPRI)).toBe(disabledKeepsState ? 0x40 : 0);
      expect(lapic.xapicId).toBe(1);
    }
  });
});

describe('reset', () => {
  it('power-on values', () => {
    const rig = new Rig({ vcpus: 2, raw: true });
    const [bsp, ap] = rig.lapics;
    expect([bsp!.base, ap!.base]).toEqual([0xfee00900n, 0xfee00800n]);
    expect([bsp!.register(APIC.LVT0), ap!.register(APIC.LVT0)]).toEqual([0x700, 0x10000]);
    expect(ap!.register(APIC.ID)).toBe(0x01000000);
    const nonZero = APIC_REGISTERS.filter(({ offset }) => ap!.register(offset) !== 0).map(({ name, offset }) => [
      name,
      ap!.register(offset),
    ]);
    expect(nonZero).toEqual([
      ['ID', 0x01000000],
      ['LVR', 0x50014],
      ['DFR', 0xffffffff],
      ['SPIV', 0xff],
      ...['LVTT', 'LVTTHMR', 'LVTPC', 'LVT0', 'LVT1', 'LVTERR'].map((name) => [name, 0x10000]),
    ]);
  });

  it('LINT0 of the bootstrap processor stays masked without the quirk', () => {
    expect(new Rig({ raw: true, quirks: { lint0Reenabled: false } }).lapics[0]!.register(APIC.LVT0)).toBe(0x10000);
  });

  it('INIT keeps mode, base and id; everything else is as after power-on, the timer stopped', () => {
    const [, vcpu] = new Rig({ vcpus: 2 }).vcpus;
    const { lapic } = vcpu!;
    vcpu!.write(MSR.TPR, 0x50);
    vcpu!.write(MSR.SELF_IPI, 0x44);
    lapic.acknowledge(0x66);
    vcpu!.write(MSR.ICR, 0x5_0000_0044n);
    vcpu!.write(MSR.LVT_TIMER, 0x400ec);
    lapic.timer.setLapicTscdeadlineMsr(vcpu!.guestTsc() + 5000n);
    expect(vcpu!.armedAt).not.toBe(null);
    lapic.reset(true);
    expect(lapic.mode).toBe('x2apic');
    expect([vcpu!.read(MSR.ID), vcpu!.read(MSR.LDR), vcpu!.read(MSR.SIVR)]).toEqual([1n, 2n, 0xffn]);
    expect([MSR.TPR, MSR.ICR, MSR.IRR2, MSR.ISR3, MSR.PPR, MSR.TMICT, MSR.TDCR].map((msr) => vcpu!.read(msr))).toEqual([
      0n,
      0n,
      0n,
      0n,
      0n,
      0n,
      0n,
    ]);
    expect(vcpu!.read(MSR.LVT_TIMER)).toBe(0x10000n);
    expect([vcpu!.armedAt, lapic.timer.tscdeadline, lapic.timer.pending]).toEqual([null, 0n, 0]);
  });
});

describe('INIT and SIPI', () => {
  const init = 0x500n | (1n << 32n);
  const sipi = (vector: number) => 0x600n | BigInt(vector) | (1n << 32n);
  const two = () => {
    const rig = new Rig({ vcpus: 2 });
    const [bsp, ap] = rig.vcpus;
    ap!.log.length = 0;
    return { bsp: bsp!, ap: ap!, accept: () => ap!.lapic.events.accept() };
  };

  it('an application processor: INIT, then SIPI starts it', () => {
    const { bsp, ap, accept } = two();
    expect(ap.mpState).toBe('uninitialized');
    bsp.write(MSR.ICR, init);
    expect(ap.requests.test(KVM_REQ.EVENT)).toBe(true);
    accept();
    expect([ap.mpState, ap.log]).toEqual(['init-received', ['init']]);
    bsp.write(MSR.ICR, sipi(0x9a));
    accept();
    expect([ap.mpState, ap.log]).toEqual(['runnable', ['init', 'sipi 154']]);
  });

  it('a SIPI without INIT, and a second SIPI, are lost', () => {
    const { bsp, ap, accept } = two();
    bsp.write(MSR.ICR, sipi(1));
    accept();
    expect([ap.mpState, ap.log]).toEqual(['uninitialized', []]);
    bsp.write(MSR.ICR, init);
    accept();
    bsp.write(MSR.ICR, sipi(2));
    accept();
    bsp.write(MSR.ICR, sipi(3));
    accept();
    expect(ap.log).toEqual(['init', 'sipi 2']);
    expect(ap.lapic.events.pending).toBe(false);
  });

  it('both pending: INIT is taken first; of two SIPIs the last vector counts', () => {
    const { bsp, ap, accept } = two();
    bsp.write(MSR.ICR, init);
    bsp.write(MSR.ICR, sipi(7));
    bsp.write(MSR.ICR, sipi(8));
    accept();
    expect([ap.mpState, ap.log]).toEqual(['runnable', ['init', 'sipi 8']]);
  });

  it('a later INIT forgets a pending SIPI', () => {
    const { bsp, ap, accept } = two();
    bsp.write(MSR.ICR, init);
    bsp.write(MSR.ICR, sipi(7));
    bsp.write(MSR.ICR, init);
    accept();
    expect([ap.mpState, ap.log]).toEqual(['init-received', ['init']]);
  });

  it('INIT of the bootstrap processor leaves it running', () => {
    const { bsp, ap } = two();
    bsp.log.length = 0;
    ap.write(MSR.ICR, 0x500n);
    bsp.lapic.events.accept();
    expect([bsp.mpState, bsp.log]).toEqual(['runnable', ['init']]);
  });

  it('where INIT is blocked it waits, and a SIPI is lost', () => {
    const { bsp, ap, accept } = two();
    ap.initSipiBlocked = true;
    bsp.write(MSR.ICR, init);
    bsp.write(MSR.ICR, sipi(7));
    accept();
    expect([ap.log, ap.lapic.events.initPending, ap.lapic.events.sipiPending]).toEqual([[], true, false]);
    ap.initSipiBlocked = false;
    accept();
    expect(ap.log).toEqual(['init']);
  });
});
