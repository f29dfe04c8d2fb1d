// Restoring a vCPU's groups in the wrong order: what fails, by which name, and what heals.

import { describe, expect, it } from 'vitest';
import { getLapic, setLapic } from '../../src/hypervisor/state/lapicState.ts';
import { getMpState, setMpState } from '../../src/hypervisor/state/mpState.ts';
import { getMsrs, MSR_INDEX_LIST, setMsrs } from '../../src/hypervisor/state/msrs.ts';
import { getRegs, setRegs } from '../../src/hypervisor/state/regs.ts';
import { getSregs, setSregs } from '../../src/hypervisor/state/sregs.ts';
import { getVcpuEvents, setVcpuEvents, type VcpuEvents } from '../../src/hypervisor/state/vcpuEvents.ts';
import { restoreVcpu, saveVcpu } from '../../src/hypervisor/state/vcpuState.ts';
import { KVM_MSR } from '../../src/hypervisor/names.ts';
import type { Vcpu } from '../../src/hypervisor/vcpu.ts';
import { APIC_BASE, MSR, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { CR4, EFER, SEGMENT } from '../../src/x86/names/registers.ts';
import { segmentSelector } from '../../src/cpu/segments/segments.ts';
import { APIC } from '../../src/hypervisor/lapic/registers.ts';
import { bootGuest, corpus, MEMORY } from '../vmm/guest.ts';
import { Machine } from '../../src/vmm/machine.ts';

const TIMER = 0xec | (2 << 17);

/** A vCPU that has not run yet, with its deadline timer armed. */
async function armed(deadline = 1_000_000n): Promise<Vcpu> {
  const vcpu = (await bootGuest('hlt')).vm.vcpus[0]!;
  vcpu.lapic.writeMsr(X2APIC_MSR.SIVR, 0x1ffn);
  vcpu.lapic.writeMsr(X2APIC_MSR.LVT_TIMER, BigInt(TIMER));
  setMsrs(vcpu, [{ index: MSR.TSC_DEADLINE, data: deadline }]);
  return vcpu;
}

/** A vCPU after power-on: real mode, xAPIC. */
async function fresh(options = {}): Promise<Vcpu> {
  const vcpu = (await bootGuest('hlt', options)).vm.vcpus[0]!;
  vcpu.reset(false);
  return vcpu;
}

const deadlineOf = (vcpu: Vcpu): bigint => getMsrs(vcpu, [MSR.TSC_DEADLINE])[0]!.data;

describe('SREGS and LAPIC', () => {
  it('LAPIC before the x2APIC mode of SREGS loses the destination of the ICR, which is kept elsewhere in that mode', async () => {
    const source = await armed();
    source.lapic.writeMsr(X2APIC_MSR.ICR, (7n << 32n) | 0xfbn);
    const [sregs, lapic] = [getSregs(source), getLapic(source)];
    const [right, wrong] = [await fresh(), await fresh()];
    setSregs(right, sregs);
    setLapic(right, lapic);
    setLapic(wrong, lapic);
    setSregs(wrong, sregs);
    expect(right.lapic.readMsr(X2APIC_MSR.ICR)).toBe((7n << 32n) | 0xfbn);
    expect(wrong.lapic.readMsr(X2APIC_MSR.ICR)).toBe(0xfbn);
  });

  it('LAPIC before the xAPIC mode of SREGS loses the id that the guest had chosen', async () => {
    const source = await fresh();
    source.lapic.writeRegister(APIC.ID, 5 << 24);
    const [sregs, lapic] = [getSregs(source), getLapic(source)];
    const [right, wrong] = [await armed(), await armed()];
    setSregs(right, sregs);
    setLapic(right, lapic);
    setLapic(wrong, lapic);
    setSregs(wrong, sregs);
    expect(right.lapic.xapicId).toBe(5);
    expect(wrong.lapic.xapicId).toBe(0);
  });
});

describe('LAPIC, TSC and TSC_DEADLINE', () => {
  it('TSC_DEADLINE before LAPIC is dropped, since the timer is not in its mode yet', async () => {
    const source = await armed();
    const [sregs, lapic, msrs] = [getSregs(source), getLapic(source), getMsrs(source, [MSR.TSC_DEADLINE])];
    expect(msrs).toEqual([{ index: MSR.TSC_DEADLINE, data: 1_000_000n }]);
    const [right, wrong] = [await fresh(), await fresh()];
    for (const vcpu of [right, wrong]) setSregs(vcpu, sregs);
    setLapic(right, lapic);
    expect(setMsrs(right, msrs)).toBe(1);
    // As in KVM: the write is ignored and counts as done.
    expect(setMsrs(wrong, msrs)).toBe(1);
    setLapic(wrong, lapic);
    expect(deadlineOf(right)).toBe(1_000_000n);
    expect(deadlineOf(wrong)).toBe(0n);
  });

  it('... and the guest that waits for it waits for ever, which the machine says', async () => {
    const image = await corpus('tick');
    const boot = (): Machine => Machine.boot({ image, memory: MEMORY });
    const source = boot();
    source.run({ maxCycles: 150_000 });
    source.pause();
    const saved = saveVcpu(source.vm.vcpus[0]!);
    expect(saved.mpState).toEqual({ mpState: 'halted' });
    const target = boot();
    target.vm.memory.write(0, source.vm.memory.read(0, MEMORY)!);
    const vcpu = target.vm.vcpus[0]!;
    vcpu.reset(false);
    setMpState(vcpu, saved.mpState);
    setRegs(vcpu, saved.regs);
    setSregs(vcpu, saved.sregs);
    setMsrs(vcpu, saved.msrs);
    setLapic(vcpu, saved.lapic);
    const lost = { kind: 'deadlock', vcpus: [{ waitsFor: 'vCPU 0 is halted, no timer is armed' }] };
    expect(target.run({ maxCycles: 5e7 })).toMatchObject(lost);
  });

  it('TSC after TSC_DEADLINE fires at once where the new clock is beyond the deadline', async () => {
    const late = await fresh();
    late.cpu.now = 5_000_000;
    const source = await armed();
    restoreVcpu(late, saveVcpu(source));
    expect(late.lapic.timer.pending).toBe(0);

    const wrong = await fresh();
    wrong.cpu.now = 5_000_000;
    setSregs(wrong, getSregs(source));
    setLapic(wrong, getLapic(source));
    setMsrs(wrong, getMsrs(source, [MSR.TSC_DEADLINE]));
    setMsrs(wrong, getMsrs(source, [MSR.TSC]));
    expect(wrong.lapic.timer.pending).toBe(1);
    expect(wrong.guestTsc()).toBeLessThan(1_000_000n);
  });

  it('TSC after TSC_DEADLINE heals where the new clock is behind: the deadline moves along', async () => {
    const source = await armed(1_000_000_000_000n);
    setMsrs(source, [{ index: MSR.TSC, data: 999_999_000_000n }]);
    const target = await fresh();
    setSregs(target, getSregs(source));
    setLapic(target, getLapic(source));
    setMsrs(target, getMsrs(source, [MSR.TSC_DEADLINE]));
    setMsrs(target, getMsrs(source, [MSR.TSC]));
    expect(target.lapic.timer.pending).toBe(0);
    const fires = target.hvTimer!.update(target.cpu.now);
    const early = target.lapic.timer.advance.cycles;
    const due = target.cpu.now + Number(1_000_000_000_000n - target.tsc.at(target.cpu.now)) - early;
    expect(due - fires).toBeGreaterThanOrEqual(0);
    expect(due - fires).toBeLessThan(64); // a tick of the preemption timer, rounded down at both ends
  });

  it('the list of MSRs is in an order that works', () => {
    const place = (index: number): number => MSR_INDEX_LIST.indexOf(index);
    expect(place(MSR.TSC)).toBeLessThan(place(MSR.TSC_DEADLINE));
    expect(place(KVM_MSR.LAZY_TSCDEADLINE)).toBeLessThan(place(MSR.TSC_DEADLINE));
    for (const index of [MSR.APIC_BASE, MSR.EFER, MSR.TSC_ADJUST]) expect(MSR_INDEX_LIST).toContain(index);
  });
});

describe('REGS and VCPU_EVENTS', () => {
  const withException = async (which: 'pending' | 'injected'): Promise<{ vcpu: Vcpu; events: VcpuEvents }> => {
    const vcpu = await fresh();
    const none = getVcpuEvents(vcpu);
    const exception = { ...none.exception, [which]: true, nr: 13, hasErrorCode: true, errorCode: 0x18 };
    return { vcpu, events: { ...none, exception } };
  };

  it('REGS after VCPU_EVENTS forgets a pending exception', async () => {
    const { vcpu, events } = await withException('pending');
    const regs = getRegs(vcpu);
    setRegs(vcpu, regs);
    setVcpuEvents(vcpu, events);
    expect(getVcpuEvents(vcpu)).toEqual(events);
    setRegs(vcpu, regs);
    expect(getVcpuEvents(vcpu).exception.pending).toBe(false);
  });

  it('... but not one that is injected: that was on its way already', async () => {
    const { vcpu, events } = await withException('injected');
    setVcpuEvents(vcpu, events);
    setRegs(vcpu, getRegs(vcpu));
    expect(getVcpuEvents(vcpu)).toEqual(events);
  });

  it('the interrupt of SREGS heals an interrupt that VCPU_EVENTS did not have, and is overruled by it afterwards', async () => {
    const vcpu = await fresh();
    const events = getVcpuEvents(vcpu);
    const sregs = { ...getSregs(vcpu), interruptBitmap: [1n << 0x31n, 0n, 0n, 0n] };
    setVcpuEvents(vcpu, events);
    setSregs(vcpu, sregs);
    expect(getVcpuEvents(vcpu).interrupt).toMatchObject({ injected: true, nr: 0x31 });
    expect(getSregs(vcpu).interruptBitmap).toEqual(sregs.interruptBitmap);
    setVcpuEvents(vcpu, events);
    expect(getSregs(vcpu).interruptBitmap).toEqual([0n, 0n, 0n, 0n]);
  });
});

describe('MP_STATE and SIPI', () => {
  const withSipi = async (): Promise<{ vcpu: Vcpu; events: VcpuEvents }> => {
    const vcpu = (await bootGuest('hlt', { vcpus: 2 })).vm.vcpus[1]!;
    return { vcpu, events: { ...getVcpuEvents(vcpu), sipiVector: 0x9a } };
  };
  const startPage = ({ guest: { state } }: Vcpu): number => segmentSelector(state, SEGMENT.CS) >> 8;

  it('a received SIPI and its vector may come in either order', async () => {
    for (const stateFirst of [true, false]) {
      const { vcpu, events } = await withSipi();
      if (stateFirst) setMpState(vcpu, { mpState: 'sipi-received' });
      setVcpuEvents(vcpu, events);
      if (!stateFirst) setMpState(vcpu, { mpState: 'sipi-received' });
      expect(getMpState(vcpu)).toEqual({ mpState: 'runnable' });
      expect(startPage(vcpu)).toBe(0x9a);
    }
  });

  it('KVM_GET_MP_STATE between the two takes the SIPI with the vector of before', async () => {
    const { vcpu, events } = await withSipi();
    setMpState(vcpu, { mpState: 'sipi-received' });
    getMpState(vcpu);
    setVcpuEvents(vcpu, events);
    expect(startPage(vcpu)).toBe(0);
  });

  it('KVM_GET_MP_STATE after the other groups have been read makes them stale: it takes a pending INIT', async () => {
    const vcpu = (await bootGuest('hlt', { vcpus: 2 })).vm.vcpus[1]!;
    vcpu.lapic.events.restoreInit(true);
    const rip = getRegs(vcpu).rip;
    expect(getVcpuEvents(vcpu).smi.latchedInit).toBe(true);
    expect(getMpState(vcpu)).toEqual({ mpState: 'init-received' });
    expect(getRegs(vcpu).rip).not.toBe(rip);
    expect(getVcpuEvents(vcpu).smi.latchedInit).toBe(false);
  });
});

describe('CPUID and what depends on it', () => {
  it('SREGS with a bit of CR4 that CPUID does not offer are refused by name, and change nothing', async () => {
    const source = await fresh();
    const vcpu = await fresh({ model: 'minimal' });
    const before = getSregs(vcpu);
    const sregs = { ...getSregs(source), cr4: CR4.SMEP | CR4.FSGSBASE, apicBase: APIC_BASE.DEFAULT_ADDRESS };
    expect(() => setSregs(vcpu, sregs)).toThrow(
      'KVM_SET_SREGS of vCPU 0: CR4 has FSGSBASE, SMEP, which the processor model does not offer (EINVAL)',
    );
    expect(getSregs(vcpu)).toEqual(before);
  });

  it('the lazy deadline’s MSR ends KVM_SET_MSRS where the feature is not offered, unless it is 0', async () => {
    const vcpu = await fresh();
    const star = { index: MSR.STAR, data: 1n };
    const lazy = (data: bigint) => ({ index: KVM_MSR.LAZY_TSCDEADLINE, data });
    expect(setMsrs(vcpu, [lazy(0n), star, lazy(0x3041n), { ...star, data: 2n }])).toBe(2);
    expect(getMsrs(vcpu, [MSR.STAR, KVM_MSR.LAZY_TSCDEADLINE])).toEqual([star, lazy(0n)]);
  });

  it('a vCPU with it does not fit a VM without it, and the culprit is named', async () => {
    const source = await fresh({ features: ['lazy-tscdeadline'] });
    expect(setMsrs(source, [{ index: KVM_MSR.LAZY_TSCDEADLINE, data: 0x20_0001n }])).toBe(1);
    const target = await fresh();
    expect(() => restoreVcpu(target, saveVcpu(source))).toThrow(
      'KVM_SET_MSRS of vCPU 0: MSR_KVM_LAZY_TSCDEADLINE, entry 3, cannot be 0x200001 on this vCPU; the entries before it are set',
    );
  });

  it('EFER before SREGS is taken while paging is off, and LMA follows with SREGS; while paging is on, LME cannot change', async () => {
    const source = (await bootGuest('hlt')).vm.vcpus[0]!;
    const vcpu = await fresh();
    const efer = (data: bigint) => [{ index: MSR.EFER, data }];
    expect(setMsrs(vcpu, efer(EFER.LME | EFER.LMA | EFER.SCE))).toBe(1);
    expect(getSregs(vcpu).efer).toBe(EFER.LME | EFER.SCE);
    setSregs(vcpu, getSregs(source));
    expect(getSregs(vcpu)).toEqual(getSregs(source));
    expect(setMsrs(vcpu, efer(EFER.SCE))).toBe(0);
  });
});
