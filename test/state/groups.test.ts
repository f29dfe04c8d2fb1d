import { describe, expect, it } from 'vitest';
import type { Cpu } from '../../src/cpu/cpu.ts';
import { getDebugregs, setDebugregs } from '../../src/hypervisor/state/debugregs.ts';
import { getFpu, setFpu } from '../../src/hypervisor/state/fpu.ts';
import { vcpuStateFromJson, vcpuStateToJson } from '../../src/hypervisor/state/json.ts';
import { getLapic, setLapic } from '../../src/hypervisor/state/lapicState.ts';
import { setMpState } from '../../src/hypervisor/state/mpState.ts';
import { getMsrs, MSR_INDEX_LIST, setMsrs } from '../../src/hypervisor/state/msrs.ts';
import { getRegs, setRegs } from '../../src/hypervisor/state/regs.ts';
import { getSregs, setSregs, type Sregs } from '../../src/hypervisor/state/sregs.ts';
import { getVcpuEvents, setVcpuEvents } from '../../src/hypervisor/state/vcpuEvents.ts';
import { restoreVcpu, saveVcpu } from '../../src/hypervisor/state/vcpuState.ts';
import { getXcrs, setXcrs } from '../../src/hypervisor/state/xcrs.ts';
import type { Vcpu } from '../../src/hypervisor/vcpu.ts';
import { MSR, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { CR0, CR4, EFER, RFLAGS } from '../../src/x86/names/registers.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { bootGuest } from '../vmm/guest.ts';

/** A vCPU that stands at its guest's entry and has not run. */
const vcpuOf = async (options = {}): Promise<Vcpu> => (await bootGuest('hlt', options)).vm.vcpus[0]!;

/** SREGS of 32-bit code with PAE paging. */
const paePaging = (sregs: Sregs): Sregs => ({
  ...sregs,
  cs: { ...sregs.cs, l: 0, db: 1 },
  efer: 0n,
  pdptrs: [0x1001n, 0x4000_0000_0000_01e6n, 0x3001n, 0n],
});

describe('a group that is read', () => {
  it('has KVM’s fields', async () => {
    const vcpu = await vcpuOf();
    expect(getRegs(vcpu)).toMatchObject({ rip: 0x100000n, rsp: 0x400000n, rsi: 1n, rflags: 2n });
    const { cs, tr, cr0, cr4, efer, apicBase, gdt } = getSregs(vcpu);
    expect(cs).toEqual({
      ...{ base: 0n, limit: 0xffff_ffff, selector: 0x10, type: 0xb, present: 1, dpl: 0 },
      ...{ db: 0, s: 1, l: 1, g: 1, avl: 0, unusable: 0 },
    });
    expect(tr).toMatchObject({ base: 0x2000n, limit: 0x67, type: 11, s: 0 });
    expect({ cr0, cr4, efer, apicBase }).toEqual({
      ...{ cr0: CR0.PG | CR0.NE | CR0.ET | CR0.MP | CR0.PE, cr4: CR4.PAE },
      ...{ efer: EFER.LME | EFER.LMA, apicBase: 0xfee00d00n },
    });
    expect(gdt).toEqual({ base: 0x1000n, limit: 0x2f });
  });

  it('is a copy: changing it changes no vCPU', async () => {
    const vcpu = await vcpuOf();
    const regs = getRegs(vcpu);
    regs.rax = 5n;
    expect(getRegs(vcpu).rax).toBe(0n);
  });

  it('has the PDPTE registers while PAE paging is on, and they are those that were set', async () => {
    const vcpu = await vcpuOf();
    expect(getSregs(vcpu).pdptrs).toEqual([]);
    const sregs = paePaging(getSregs(vcpu));
    setSregs(vcpu, sregs);
    expect(getSregs(vcpu)).toEqual(sregs);
    expect(vcpuStateFromJson(vcpuStateToJson(saveVcpu(vcpu))).sregs).toEqual(sregs);
  });

  it('is plain data that can be written down as JSON and read again', async () => {
    const state = saveVcpu(await vcpuOf());
    expect(vcpuStateFromJson(vcpuStateToJson(state))).toEqual(state);
  });
});

describe('what is set', () => {
  it('is read again, in every group', async () => {
    const vcpu = await vcpuOf();
    const all = saveVcpu(vcpu);
    const regs = {
      ...all.regs,
      rax: ~0n & 0xffff_ffff_ffff_ffffn,
      r15: 15n,
      rflags: BigInt(RFLAGS.FIXED | RFLAGS.CF | RFLAGS.ZF | RFLAGS.SF),
    };
    const sregs = {
      ...all.sregs,
      cr2: 0x1234n,
      cr8: 5n,
      ss: { ...all.sregs.ss, dpl: 3 },
      fs: { ...all.sregs.fs, base: 0x7000n },
    };
    const fpu = {
      ...all.fpu,
      fpr: all.fpu.fpr.map((_, i) => (0x3fffn << 64n) | (1n << 63n) | BigInt(i)),
      ftwx: 0x81,
      fsw: 0x3800,
      xmm: all.fpu.xmm.map((_, i) => (BigInt(i) << 100n) | 1n),
    };
    const xcrs = { xcrs: [{ xcr: 0, value: 3n }] };
    const debugregs = { db: [1n, 2n, 3n, 4n], dr6: 0xffff4ff0n, dr7: 0x400n };
    setRegs(vcpu, regs);
    setSregs(vcpu, sregs);
    setFpu(vcpu, fpu);
    setXcrs(vcpu, xcrs);
    setDebugregs(vcpu, debugregs);
    expect(getRegs(vcpu)).toEqual(regs);
    expect(getSregs(vcpu)).toEqual(sregs);
    expect(getFpu(vcpu)).toEqual(fpu);
    expect(getXcrs(vcpu)).toEqual(xcrs);
    expect(getDebugregs(vcpu)).toEqual(debugregs);
    // The privilege level is SS's.
    expect(vcpu.guest.state.cpl).toBe(3);
    // The task priority is the LAPIC's.
    expect(getLapic(vcpu).regs[0x80]).toBe(0x50);
  });

  it('a debug trap that is due travels as a pending #DB with its payload', async () => {
    const [source, target] = [await vcpuOf(), await vcpuOf()];
    source.guest.state.pendingDb = 0x4005;
    const events = getVcpuEvents(source);
    expect(events).toMatchObject({
      exception: { pending: true, nr: 1 },
      exceptionHasPayload: true,
      exceptionPayload: 0x4005n,
    });
    setVcpuEvents(target, events);
    expect(target.guest.state.pendingDb).toBe(0x4005);
    expect(target.events.exception.pending).toBe(false);
  });

  it('a debug trap that is due comes before an NMI that is pending', async () => {
    const machine = await bootGuest('hlt');
    const vcpu = machine.vm.vcpus[0]!;
    vcpu.guest.state.pendingDb = 0x4000;
    const events = getVcpuEvents(vcpu);
    setVcpuEvents(vcpu, { ...events, nmi: { ...events.nmi, pending: 1 } });
    // There is no IDT: what is delivered first ends the machine.
    expect(machine.run()).toMatchObject({ kind: 'triple-fault', fault: { first: { vector: VECTOR.DB } } });
  });

  it('a breakpoint that is set is in force', async () => {
    const vcpu = await vcpuOf();
    setDebugregs(vcpu, { ...getDebugregs(vcpu), dr7: 0x401n });
    expect((vcpu.guest as Cpu).breakpoints.executing).toBe(true);
  });

  it('interrupt shadows have KVM’s numbers: STI is 2, MOV SS is 1', async () => {
    const vcpu = await vcpuOf();
    vcpu.guest.state.shadow = 1;
    const events = getVcpuEvents(vcpu);
    expect(events.interrupt.shadow).toBe(2);
    vcpu.guest.state.shadow = 0;
    setVcpuEvents(vcpu, events);
    expect(vcpu.guest.state.shadow).toBe(1);
  });

  it('a countdown goes on where it was', async () => {
    const [source, target] = [await vcpuOf(), await vcpuOf()];
    source.lapic.writeMsr(X2APIC_MSR.SIVR, 0x1ffn);
    source.lapic.writeMsr(X2APIC_MSR.LVT_TIMER, 0xecn);
    source.lapic.writeMsr(X2APIC_MSR.TMICT, 400_000n); // 2 ns a count, 2.5 cycles a ns
    source.cpu.now += 500_000;
    restoreVcpu(target, saveVcpu(source));
    const { host } = target.vm;
    host.thisCpu = target.cpu;
    const left = target.lapic.timer.currentCount();
    expect(left).toBeGreaterThan(299_000);
    expect(left).toBeLessThanOrEqual(300_000);
  });

  it('a one-shot countdown that had ended fires once more, as in KVM: the page does not tell it from one that ends now', async () => {
    const [source, target] = [await vcpuOf(), await vcpuOf()];
    source.lapic.writeMsr(X2APIC_MSR.SIVR, 0x1ffn);
    source.lapic.writeMsr(X2APIC_MSR.LVT_TIMER, 0xecn);
    source.lapic.writeMsr(X2APIC_MSR.TMICT, 400n);
    source.cpu.now += 500_000;
    source.lapic.timer.expiredHvTimer();
    source.lapic.timer.injectApicTimerIrqs();
    expect(source.lapic.timer.pending).toBe(0);
    restoreVcpu(target, saveVcpu(source));
    expect(target.lapic.timer.pending).toBe(1);
  });

  it('TSC_ADJUST travels beside the TSC and does not move it', async () => {
    const vcpu = await vcpuOf();
    expect(
      setMsrs(vcpu, [
        { index: MSR.TSC, data: 5_000_000n },
        { index: MSR.TSC_ADJUST, data: 77n },
      ]),
    ).toBe(2);
    expect(vcpu.tsc.at(vcpu.cpu.now)).toBe(5_000_000n);
    expect(getMsrs(vcpu, [MSR.TSC_ADJUST])).toEqual([{ index: MSR.TSC_ADJUST, data: 77n }]);
  });

  it('TSCs written one after the other are one clock when they are less than a second apart', async () => {
    const machine = await bootGuest('hlt', { vcpus: 3 });
    const [a, b, c] = machine.vm.vcpus as [Vcpu, Vcpu, Vcpu];
    const write = (vcpu: Vcpu, data: bigint): number => setMsrs(vcpu, [{ index: MSR.TSC, data }]);
    write(a, 7_000_000_000n);
    b.cpu.now = 3000;
    write(b, 7_000_000_900n);
    write(c, 20_000_000_000n);
    expect(b.tsc.offset).toBe(a.tsc.offset);
    expect(c.tsc.at(c.cpu.now)).toBe(20_000_000_000n);
  });

  it('KVM_SET_MSRS stops at the first that fails, and says how many were set', async () => {
    const vcpu = await vcpuOf();
    const entries = [
      { index: MSR.STAR, data: 1n },
      { index: MSR.LSTAR, data: 1n << 60n },
      { index: MSR.CSTAR, data: 2n },
    ];
    expect(setMsrs(vcpu, entries)).toBe(1);
    expect(getMsrs(vcpu, [MSR.STAR, MSR.LSTAR, MSR.CSTAR]).map(({ data }) => data)).toEqual([1n, 0n, 0n]);
    expect(getMsrs(vcpu, [MSR.STAR, 0x9999, MSR.CSTAR])).toHaveLength(1);
    expect(getMsrs(vcpu).map(({ index }) => index)).toEqual(MSR_INDEX_LIST);
  });
});

describe('a value that no vCPU can have', () => {
  const flat = async (change: (sregs: Sregs) => Partial<Sregs>): Promise<() => void> => {
    const vcpu = await vcpuOf();
    const sregs = getSregs(vcpu);
    return () => {
      try {
        setSregs(vcpu, { ...sregs, ...change(sregs) });
      } finally {
        expect(getSregs(vcpu)).toEqual(sregs);
      }
    };
  };

  it.each<[string, (sregs: Sregs) => Partial<Sregs>]>([
    ['CR0.PG is set without CR0.PE', () => ({ cr0: CR0.PG })],
    ['CR0.NW is set without CR0.CD', ({ cr0 }) => ({ cr0: cr0 | CR0.NW })],
    ['bits 63:32 of CR0 are reserved', ({ cr0 }) => ({ cr0: cr0 | (1n << 40n) })],
    ['CR4.PAE is clear in long mode', () => ({ cr4: 0n })],
    ['CR4 has VMXE, 0x80000000', ({ cr4 }) => ({ cr4: cr4 | CR4.VMXE | (1n << 31n) })],
    ['EFER.LMA is clear', ({ efer }) => ({ efer: efer & ~EFER.LMA })],
    ['EFER.LMA is set without EFER.LME', ({ efer }) => ({ efer: efer & ~EFER.LME })],
    ['EFER has bits 0x8000', ({ efer }) => ({ efer: efer | (1n << 15n) })],
    ['cs.l is set outside of long mode', () => ({ cr0: CR0.PE, cr4: 0n, efer: 0n })],
    ['CR3 0x400000000000 has bits beyond 46', () => ({ cr3: 1n << 46n })],
    ['CR8 is 16', () => ({ cr8: 16n })],
    ['IA32_APIC_BASE 0x401', () => ({ apicBase: 0x401n })],
    ['cr2 is -1, not an unsigned 64-bit bigint', () => ({ cr2: -1n })],
    ['gdt.limit is 65536', ({ gdt }) => ({ gdt: { ...gdt, limit: 65536 } })],
    ['cs: l and db are both set', ({ cs }) => ({ cs: { ...cs, db: 1 } })],
    ['cs: it cannot be unusable', ({ cs }) => ({ cs: { ...cs, unusable: 1 } })],
    ['ds: it is usable but not present', ({ ds }) => ({ ds: { ...ds, present: 0 } })],
    ['ds: limit 0x1000 is not whole pages, but g is set', ({ ds }) => ({ ds: { ...ds, limit: 0x1000, g: 1 } })],
    ['ss: dpl is 4, which does not fit 2 bits', ({ ss }) => ({ ss: { ...ss, dpl: 4 } })],
    ['fs: base 0x8000000000000 is not canonical', ({ fs }) => ({ fs: { ...fs, base: 1n << 51n } })],
    ['tr: type 9 is not that of a busy TSS (11)', ({ tr }) => ({ tr: { ...tr, type: 9 } })],
    ['ldt: type 3 is not that of an LDT (2)', ({ tr }) => ({ ldt: { ...tr, type: 3 } })],
    ['interruptBitmap has 1 words, not 4', () => ({ interruptBitmap: [0n] })],
    ['pdptrs has 4 entries, not 0: PAE paging is off', () => ({ pdptrs: [1n, 1n, 1n, 1n] })],
    ['pdptrs has 0 entries, not 4: PAE paging is on', (sregs) => ({ ...paePaging(sregs), pdptrs: [] })],
    [
      'pdptrs[2] 0x400000000001 has reserved bits',
      (sregs) => ({ ...paePaging(sregs), pdptrs: [1n, 0n, (1n << 46n) | 1n, 0n] }),
    ],
    ['pdptrs[0] is -1, not an', (sregs) => ({ ...paePaging(sregs), pdptrs: [-1n, 0n, 0n, 0n] })],
  ])('in SREGS is refused: %s', async (why, change) => {
    expect(await flat(change)).toThrow(`KVM_SET_SREGS of vCPU 0: ${why}`);
  });

  it.each<[string, string, (vcpu: Vcpu) => void]>([
    ['REGS', 'rax is 18446744073709551616', (v) => setRegs(v, { ...getRegs(v), rax: 1n << 64n })],
    ['REGS', 'rflags has the reserved bits 0x8', (v) => setRegs(v, { ...getRegs(v), rflags: 10n })],
    ['REGS', 'rbx is undefined', (v) => setRegs(v, { ...getRegs(v), rbx: undefined as never })],
    ['DEBUGREGS', 'dr6 0x100000000 has bits above 31', (v) => setDebugregs(v, { ...getDebugregs(v), dr6: 1n << 32n })],
    ['XCRS', 'XCR0.X87 is clear', (v) => setXcrs(v, { xcrs: [{ xcr: 0, value: 2n }] })],
    ['XCRS', 'there is no XCR1', (v) => setXcrs(v, { xcrs: [{ xcr: 1, value: 1n }] })],
    [
      'FPU',
      'a register of fpr does not fit 80 bits',
      (v) => setFpu(v, { ...getFpu(v), fpr: Array.from({ length: 8 }, () => 1n << 80n) }),
    ],
    ['LAPIC', 'regs has 3 bytes, not 1024', (v) => setLapic(v, { regs: [1, 2, 3] })],
    ['LAPIC', 'regs[0x5] is 256', (v) => setLapic(v, { regs: getLapic(v).regs.map((b, i) => (i === 5 ? 256 : b)) })],
    [
      'MP_STATE',
      "there is no state 'asleep', only runnable, uninitialized,",
      (v) => setMpState(v, { mpState: 'asleep' as never }),
    ],
    ['MSRS', 'MSR_STAR is -1', (v) => setMsrs(v, [{ index: MSR.STAR, data: -1n }])],
    [
      'VCPU_EVENTS',
      'vector 33 is no exception',
      (v) =>
        setVcpuEvents(v, { ...getVcpuEvents(v), exception: { ...getVcpuEvents(v).exception, injected: true, nr: 33 } }),
    ],
    [
      'VCPU_EVENTS',
      'there is no system management mode',
      (v) => setVcpuEvents(v, { ...getVcpuEvents(v), smi: { smm: true, pending: false, latchedInit: false } }),
    ],
    [
      'VCPU_EVENTS',
      '3 NMIs are pending',
      (v) => setVcpuEvents(v, { ...getVcpuEvents(v), nmi: { injected: false, pending: 3, masked: false } }),
    ],
  ])('in %s is refused: %s', async (group, why, set) => {
    const vcpu = await vcpuOf();
    const before = saveVcpu(vcpu);
    expect(() => set(vcpu)).toThrow(`KVM_SET_${group} of vCPU 0: ${why}`);
    expect(saveVcpu(vcpu)).toEqual(before);
  });

  it('the page of another APIC is refused where pages hold 32-bit ids', async () => {
    const { KVM_QUIRKS } = await import('../../src/hypervisor/lapic/quirks.ts');
    const machine = await bootGuest('hlt', { vcpus: 2, quirks: { ...KVM_QUIRKS, x2apicFormat: true } });
    const [a, b] = machine.vm.vcpus as [Vcpu, Vcpu];
    expect(() => setLapic(b, getLapic(a))).toThrow(
      'KVM_SET_LAPIC of vCPU 1: the page holds the 32-bit id of another APIC',
    );
  });

  it('a state without all groups is refused, and changes nothing', async () => {
    const vcpu = await vcpuOf();
    const { sregs: _sregs, msrs: _msrs, ...rest } = saveVcpu(vcpu);
    const saved = { ...rest, regs: { ...rest.regs, rax: 1n } };
    expect(() => restoreVcpu(vcpu, saved as never)).toThrow('the saved state of vCPU 0 has no sregs, msrs (EINVAL)');
    expect(getRegs(vcpu).rax).toBe(0n);
  });

  it('another host’s frequency is refused', async () => {
    const saved = saveVcpu(await vcpuOf());
    const target = await vcpuOf({ tscKhz: 2_000_000 });
    expect(() => restoreVcpu(target, saved)).toThrow(
      'KVM_SET_TSC_KHZ of vCPU 0: the saved TSC runs at 2500000 kHz, this host’s at 2000000 kHz'.replaceAll('’', "'"),
    );
  });
});
