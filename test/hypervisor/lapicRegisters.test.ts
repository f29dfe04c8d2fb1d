// The register file from outside: which MSR may be read and written, with what, and what stays. The expectations are the
// tables of the SDM (vol. 3, 11.12.1) and of KVM's lapic.c, not the register map.
import { describe, expect, it } from 'vitest';
import { APIC, LVT } from '../../src/hypervisor/lapic/registers.ts';
import { getLapicState, setLapicState } from '../../src/hypervisor/lapic/savedState.ts';
import { X2APIC_MSR as MSR } from '../../src/x86/names/msrs.ts';
import { Rig } from './lapicRig.ts';

const range = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);
const VECTOR_FILES = range(0x810, 24);
const READABLE = new Set([
  0x802, 0x803, 0x808, 0x80a, 0x80d, 0x80f, ...VECTOR_FILES, 0x828, 0x830, 0x832, 0x833, 0x834, 0x835, 0x836, 0x837,
  0x838, 0x839, 0x83e,
]); // prettier-ignore
const WRITABLE = new Set([
  0x808, 0x80b, 0x80f, 0x828, 0x830, 0x832, 0x833, 0x834, 0x835, 0x836, 0x837, 0x838, 0x83e, 0x83f,
]); // prettier-ignore
const CMCI = 0x82f;

describe('the 256 MSRs of x2APIC mode', () => {
  it.each([false, true])('are readable and writable as the manual says (CMCI entry offered: %s)', (cmci) => {
    const { vcpus } = new Rig({ features: { cmci } });
    const wrong = range(0x800, 0x100).filter((msr) => {
      const exists = msr !== CMCI || cmci;
      const readable = exists && (READABLE.has(msr) || msr === CMCI);
      const writable = exists && (WRITABLE.has(msr) || msr === CMCI);
      return (vcpus[0]!.read(msr) !== null) !== readable || vcpus[0]!.write(msr, 0n) !== writable;
    });
    expect(wrong.map((msr) => msr.toString(16))).toEqual([]);
  });

  it.each([
    ['xAPIC mode', (rig: Rig) => rig],
    ['the disabled APIC', (rig: Rig) => (rig.lapics[0]!.writeBase(0xfee00000n), rig)],
  ])('are all #GP in %s', (_, prepare) => {
    const [vcpu] = prepare(new Rig({ raw: true })).vcpus;
    expect(range(0x800, 0x100).filter((msr) => vcpu!.read(msr) !== null || vcpu!.write(msr, 0n))).toEqual([]);
  });

  it('take no bit above 31, but for the ICR', () => {
    const [vcpu] = new Rig().vcpus;
    const taken = range(0x800, 0x100).filter((msr) => vcpu!.write(msr, 1n << 32n) || vcpu!.write(msr, 1n << 63n));
    expect(taken).toEqual([MSR.ICR]);
  });

  it('ESR takes 0 only', () => {
    const [vcpu] = new Rig().vcpus;
    expect(vcpu!.write(MSR.ESR, 0n)).toBe(true);
    for (let bit = 0; bit < 32; bit++) expect(vcpu!.write(MSR.ESR, 1n << BigInt(bit))).toBe(false);
    expect(vcpu!.read(MSR.ESR)).toBe(0n);
  });

  it('SELF_IPI takes a vector only', () => {
    const [vcpu] = new Rig().vcpus;
    for (let bit = 8; bit < 32; bit++) expect(vcpu!.write(MSR.SELF_IPI, 1n << BigInt(bit))).toBe(false);
    expect(vcpu!.write(MSR.SELF_IPI, 0xffn)).toBe(true);
  });

  it('EOI: KVM ignores the value, silicon refuses one', () => {
    expect(new Rig().vcpus[0]!.write(MSR.EOI, 1n)).toBe(true);
    const strict = new Rig({ quirks: { eoiIgnoresValue: false } }).vcpus[0]!;
    expect(strict.write(MSR.EOI, 1n)).toBe(false);
    expect(strict.write(MSR.EOI, 0n)).toBe(true);
  });
});

describe('what a write of all ones leaves', () => {
  const ones = 0xffffffffn;
  it.each([
    ['TPR', MSR.TPR, 0xffn],
    ['SVR', MSR.SIVR, 0x3ffn],
    ['LVT timer', MSR.LVT_TIMER, 0x700ffn],
    ['LVT thermal', MSR.LVT_THERMAL, 0x107ffn],
    ['LVT PMC', MSR.LVT_PMI, 0x107ffn],
    ['LVT LINT0', MSR.LVT_LINT0, 0x1a7ffn],
    ['LVT LINT1', MSR.LVT_LINT1, 0x1a7ffn],
    ['LVT error', MSR.LVT_ERROR, 0x100ffn],
    ['TDCR', MSR.TDCR, 0xbn],
  ])('%s', (_, msr, kept) => {
    const [vcpu] = new Rig().vcpus;
    expect(vcpu!.write(msr, ones)).toBe(true);
    expect(vcpu!.read(msr)).toBe(kept);
  });

  it('LVT timer without CPUID.TSC_DEADLINE: bit 18 does not exist', () => {
    const [vcpu] = new Rig({ features: { tscDeadline: false } }).vcpus;
    vcpu!.write(MSR.LVT_TIMER, ones);
    expect(vcpu!.read(MSR.LVT_TIMER)).toBe(0x300ffn);
  });

  it('LVT status bits, where KVM lets them be stored', () => {
    const [vcpu] = new Rig({ quirks: { lvtStatusBitsWritable: true } }).vcpus;
    vcpu!.write(MSR.LVT_ERROR, ones);
    vcpu!.write(MSR.LVT_LINT0, ones);
    expect(vcpu!.read(MSR.LVT_ERROR)).toBe(0x110ffn);
    expect(vcpu!.read(MSR.LVT_LINT0)).toBe(0x1f7ffn);
  });

  it('SVR with directed EOI offered', () => {
    const [vcpu] = new Rig({ quirks: { directedEoi: true } }).vcpus;
    vcpu!.write(MSR.SIVR, ones);
    expect(vcpu!.read(MSR.SIVR)).toBe(0x13ffn);
    expect(vcpu!.read(MSR.VERSION)).toBe(0x1050014n);
  });
});

describe('software disable (SVR bit 8)', () => {
  it('masks every LVT entry, and entries written meanwhile stay masked', () => {
    const [vcpu] = new Rig().vcpus;
    const entries = [MSR.LVT_TIMER, MSR.LVT_THERMAL, MSR.LVT_PMI, MSR.LVT_LINT0, MSR.LVT_LINT1, MSR.LVT_ERROR];
    for (const msr of entries) vcpu!.write(msr, 0x40n);
    vcpu!.write(MSR.SIVR, 0xffn);
    for (const msr of entries) expect(vcpu!.read(msr)).toBe(0x10040n);
    vcpu!.write(MSR.LVT_ERROR, 0x41n);
    expect(vcpu!.read(MSR.LVT_ERROR)).toBe(0x10041n);
    vcpu!.write(MSR.SIVR, 0x1ffn);
    expect(vcpu!.read(MSR.LVT_ERROR)).toBe(0x10041n);
  });
});

describe('version register', () => {
  it.each([
    [false, 0x50014n],
    [true, 0x60014n],
  ])('counts the LVT entries (CMCI: %s)', (cmci, version) => {
    expect(new Rig({ features: { cmci } }).vcpus[0]!.read(MSR.VERSION)).toBe(version);
  });
});

describe('saved state', () => {
  it('goes round: registers at their MMIO offsets, the ICR in two, the id in bits 31:24', () => {
    const [, vcpu] = new Rig({ vcpus: 2 }).vcpus;
    vcpu!.write(MSR.TPR, 0x20n);
    vcpu!.write(MSR.LVT_LINT1, 0x400n);
    vcpu!.write(MSR.ICR, 0x1234_5678_0000_4032n);
    vcpu!.lapic.deliverInterrupt(0x95);
    const state = getLapicState(vcpu!.lapic);
    const view = new DataView(state.buffer);
    expect(state.length).toBe(0x400);
    expect(view.getUint32(0x20, true)).toBe(1 << 24);
    expect(view.getUint32(0x80, true)).toBe(0x20);
    expect(view.getUint32(0x240, true)).toBe(1 << 0x15);
    expect(view.getUint32(0x300, true)).toBe(0x4032);
    expect(view.getUint32(0x310, true)).toBe(0x12345678);
    expect(view.getUint32(0x360, true)).toBe(0x400);

    const target = new Rig({ vcpus: 2 }).vcpus[1]!;
    expect(setLapicState(target.lapic, state)).toBe(true);
    expect(getLapicState(target.lapic)).toEqual(state);
    expect(target.read(MSR.ICR)).toBe(0x1234_5678_0000_4032n);
    expect(target.read(MSR.ID)).toBe(1n);
    expect(target.lapic.pendingInterrupt()).toBe(0x95);
  });

  it('with 32-bit ids refuses the page of another APIC and changes nothing', () => {
    const quirks = { x2apicFormat: true };
    const rig = new Rig({ ids: [0, 300], quirks });
    const state = getLapicState(rig.lapics[1]!);
    expect(new DataView(state.buffer).getUint32(0x20, true)).toBe(300);
    const before = getLapicState(rig.lapics[0]!);
    expect(setLapicState(rig.lapics[0]!, state)).toBe(false);
    expect(getLapicState(rig.lapics[0]!)).toEqual(before);
  });

  it('carries a countdown on from where it stood', () => {
    const rig = new Rig();
    const [vcpu] = rig.vcpus;
    vcpu!.write(MSR.TDCR, 0xbn);
    vcpu!.write(MSR.LVT_TIMER, 0xecn);
    vcpu!.write(MSR.TMICT, 100_000n);
    rig.advanceTo(rig.time + 100_000);
    const state = getLapicState(vcpu!.lapic);
    expect(new DataView(state.buffer).getUint32(APIC.TMCCT, true)).toBe(60_000);

    const target = new Rig();
    setLapicState(target.lapics[0]!, state);
    expect(target.vcpus[0]!.read(MSR.TMCCT)).toBe(60_000n);
    expect(target.vcpus[0]!.armedAt).toBe(target.time + 150_000);
    expect(target.vcpus[0]!.read(MSR.TMICT)).toBe(100_000n);
  });

  it('of the wrong size is refused by name', () => {
    expect(() => setLapicState(new Rig().lapics[0]!, new Uint8Array(100))).toThrow(/1024 bytes, not 100/);
  });
});

describe('xAPIC mode, by offset', () => {
  it('has the registers that x2APIC mode lacks, and drops SELF_IPI', () => {
    const { lapic } = new Rig({ raw: true }).vcpus[0]!;
    expect(lapic.readRegister(APIC.ARBPRI)).toBe(0);
    expect(lapic.readRegister(APIC.DFR)).toBe(0xffffffff);
    expect(lapic.writeRegister(APIC.DFR, 0)).toBe(true);
    expect(lapic.readRegister(APIC.DFR)).toBe(0x0fffffff);
    expect(lapic.writeRegister(APIC.ID, 0x0700_0000)).toBe(true);
    expect(lapic.xapicId).toBe(7);
    expect(lapic.writeRegister(APIC.LDR, 0xffff_ffff)).toBe(true);
    expect(lapic.readRegister(APIC.LDR)).toBe(0xff000000);
    expect(lapic.writeRegister(APIC.ICR2, 0xffff_ffff)).toBe(true);
    expect(lapic.readRegister(APIC.ICR2)).toBe(0xff000000);
    expect(lapic.writeRegister(APIC.SELF_IPI, 0x40)).toBe(false);
    expect(lapic.readRegister(APIC.RRR)).toBe(null);
    expect(lapic.readRegister(APIC.LVTT)).toBe(LVT.MASKED);
  });
});
