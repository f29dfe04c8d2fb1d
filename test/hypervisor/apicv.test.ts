// Posted interrupts: who is told of a vector, how often and how, and what becomes of the bits (KVM's protocol around ON,
// vcpu->mode and the sync before each entry).

import { describe, expect, it, vi } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { COST, COST_MODELS } from '../../src/host/costs.ts';
import type { LapicVm } from '../../src/hypervisor/lapic/owner.ts';
import { KVM_REQ } from '../../src/hypervisor/requests.ts';
import { getLapicState, setLapicState } from '../../src/hypervisor/lapic/savedState.ts';
import { testVector } from '../../src/hypervisor/lapic/priority.ts';
import { APIC } from '../../src/hypervisor/lapic/registers.ts';
import { VCPU_MODE, type Vcpu } from '../../src/hypervisor/vcpu.ts';
import { APIC_BASE, MSR, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { GPR } from '../../src/x86/names/registers.ts';
import { cli, hlt, rdmsr, sti, wrmsr, type Step } from './scriptedCpu.ts';
import { vmRig, type RigOptions, type VmRig } from './vmRig.ts';

const TIMER_VECTOR = 0xec;
const enableApic = wrmsr(X2APIC_MSR.SIVR, 0x1ffn);
const enableTimer = [enableApic, wrmsr(X2APIC_MSR.LVT_TIMER, 0x400ecn)];
const shutdown: Step = { exit: EXIT.TRIPLE_FAULT };
const eoi = wrmsr(X2APIC_MSR.EOI, 0n);
const ipiTo = (apicId: number, vector: number): Step => wrmsr(X2APIC_MSR.ICR, (BigInt(apicId) << 32n) | BigInt(vector));

const rigOf = (scripts: Step[][], options: RigOptions = {}): VmRig =>
  vmRig(scripts, { ...options, params: { apicv: true, ...options.params } });
function go(rig: VmRig, steps = 400): VmRig {
  for (let i = 0; i < steps && rig.host.step() === 'progress'; i++);
  return rig;
}
const taken = (rig: VmRig, vcpu: number): number[] => rig.guests[vcpu]!.delivered.map(({ vector }) => vector);
const exitsOf = (rig: VmRig, vcpu: number): unknown[] =>
  rig.events.filter((e) => e.name === 'kvm_exit' && e.event.vcpu === vcpu).map((e) => e.event.reason);
const inIrr = ({ lapic }: Vcpu, vector: number): boolean => testVector(lapic.regs, APIC.IRR, vector);

/** Two vCPUs that have not run yet, APICs enabled; CPU 0 is the sender. */
function still(): { rig: VmRig; target: Vcpu; ipis: () => number } {
  const rig = rigOf([[], []]);
  const target = rig.vm.vcpus[1]!;
  target.lapic.writeMsr(X2APIC_MSR.SIVR, 0x1ffn);
  target.requests.clear(KVM_REQ.APF_READY);
  return { rig, target, ipis: () => rig.host.cpus[0]!.charged[COST.ipiSend]! };
}

describe('vmx_deliver_posted_interrupt', () => {
  it('notifies a vCPU in guest mode once, however many vectors come before it looks', () => {
    const { rig, target, ipis } = still();
    target.mode = VCPU_MODE.IN_GUEST;
    for (const vector of [0x41, 0x51, 0xf0]) target.apicv!.deliverPostedInterrupt(vector);
    expect([ipis(), target.cpu.events.size, target.cpu.events.first!.kind]).toEqual([1, 1, 'posted interrupt']);
    expect([target.mode, target.requests.pending]).toEqual([VCPU_MODE.IN_GUEST, false]);
    expect(rig.host.cpus[0]!.charged[COST.wakeUp]).toBe(0);
  });

  it('notifies again after a sync, which clears ON', () => {
    const { target, ipis } = still();
    target.mode = VCPU_MODE.IN_GUEST;
    target.apicv!.deliverPostedInterrupt(0x41);
    target.cpu.events.take(Infinity);
    target.apicv!.syncPirToIrr();
    expect(target.apicv!.piDesc.on).toBe(false);
    target.apicv!.deliverPostedInterrupt(0x42);
    expect(ipis()).toBe(2);
  });

  it('does nothing for a vector that is in PIR already', () => {
    const { target, ipis } = still();
    target.apicv!.deliverPostedInterrupt(0x41);
    target.apicv!.piDesc.clearOn();
    target.mode = VCPU_MODE.IN_GUEST;
    target.apicv!.deliverPostedInterrupt(0x41);
    expect([ipis(), target.apicv!.piDesc.on]).toEqual([0, false]);
  });

  it.each(['OUTSIDE_GUEST', 'EXITING_GUEST'] as const)('tells nobody in mode %s: the next entry looks', (mode) => {
    const { target, ipis } = still();
    target.mode = VCPU_MODE[mode];
    target.apicv!.deliverPostedInterrupt(0x41);
    expect([ipis(), target.cpu.events.size, target.apicv!.piDesc.on]).toEqual([0, 0, true]);
  });

  it('sends a vCPU nothing from its own CPU', () => {
    const { rig, target, ipis } = still();
    rig.host.thisCpu = target.cpu;
    target.mode = VCPU_MODE.IN_GUEST;
    target.apicv!.deliverPostedInterrupt(0x41);
    expect([ipis(), target.cpu.events.size, target.apicv!.piDesc.on]).toEqual([0, 0, true]);
  });

  it('notifies the CPU where the vCPU is now, while an older notification is on its way to another', () => {
    const { rig, target, ipis } = still();
    target.mode = VCPU_MODE.IN_GUEST;
    target.apicv!.deliverPostedInterrupt(0x41);
    target.apicv!.syncPirToIrr();
    const old = target.cpu;
    target.cpu = rig.host.cpus[0]!;
    rig.host.thisCpu = old;
    target.apicv!.deliverPostedInterrupt(0x42);
    expect([old.events.size, target.cpu.events.size, ipis()]).toEqual([1, 1, 1]);
  });
});

describe('vmx_sync_pir_to_irr', () => {
  it('moves every bit to IRR and leaves PIR empty; RVI is the highest', () => {
    const { target } = still();
    const vectors = [0x20, 0x3f, 0x40, 0x9f, 0xff];
    for (const vector of vectors) target.apicv!.deliverPostedInterrupt(vector);
    expect(vectors.some((vector) => inIrr(target, vector))).toBe(false);
    target.apicv!.syncPirToIrr();
    expect(vectors.every((vector) => inIrr(target, vector))).toBe(true);
    expect([target.guest.state.rvi, target.apicv!.piDesc.takePir(7)]).toEqual([0xff, 0]);
  });

  it('is part of the question whether an interrupt waits, so a posted one keeps a vCPU awake', () => {
    const { target } = still();
    target.apicv!.deliverPostedInterrupt(0x41);
    expect(target.lapic.pendingInterrupt()).toBe(0x41);
  });

  it('asks for injection once APIC virtualisation is off: what was posted before is not lost', () => {
    const { target } = still();
    target.apicv!.deliverPostedInterrupt(0x41);
    target.requests.clear(KVM_REQ.EVENT);
    target.lapic.writeBase(APIC_BASE.DEFAULT_ADDRESS);
    expect([target.apicv!.active, inIrr(target, 0x41), target.requests.test(KVM_REQ.EVENT)]).toEqual([
      false,
      true,
      true,
    ]);
    expect(target.guest.controls.virtualApic).toBe(null);
  });
});

describe('a guest in x2APIC mode', () => {
  it('gets an IPI while it runs without an exit, and ends it without one', () => {
    const rig = go(
      rigOf([
        [enableApic, { run: 500 }, ipiTo(1, 0xfb), { run: 9000 }, shutdown],
        [enableApic, sti, { run: 5000 }, eoi, { run: 10 }, shutdown],
      ]),
    );
    expect(taken(rig, 1)).toEqual([0xfb]);
    expect(exitsOf(rig, 1)).toEqual([EXIT.MSR_WRITE, EXIT.TRIPLE_FAULT]);
    expect(rig.vm.vcpus[1]!.stat).toMatchObject({ irqInjections: 0, irqExits: 0 });
    expect(testVector(rig.vm.vcpus[1]!.lapic.regs, APIC.ISR, 0xfb)).toBe(false);
  });

  it('that spins without interrupts gets each vector once, the highest first, when it lets them in', () => {
    const rig = go(
      rigOf([
        [enableApic, { run: 500 }, ...[0x41, 0x71, 0x41, 0x51].map((v) => ipiTo(1, v)), { run: 90_000 }, shutdown],
        [enableApic, cli, { run: 9000 }, sti, { run: 9 }, eoi, sti, { run: 9 }, eoi, sti, { run: 9 }, eoi, sti, { run: 9 }, shutdown], // prettier-ignore
      ]),
    );
    expect(taken(rig, 1)).toEqual([0x71, 0x51, 0x41]);
    expect(exitsOf(rig, 1)).toEqual([EXIT.MSR_WRITE, EXIT.TRIPLE_FAULT]);
  });

  it('that has halted is woken by a posted vector, and takes it without injection', () => {
    const rig = go(
      rigOf([
        [enableApic, { run: 50_000 }, ipiTo(1, 0xfb), { run: 50_000 }, shutdown],
        [enableApic, sti, hlt, { run: 10 }, shutdown],
      ]),
    );
    expect(taken(rig, 1)).toEqual([0xfb]);
    expect(rig.vm.vcpus[1]!.stat).toMatchObject({ haltWakeup: 1, irqInjections: 0 });
  });

  it('finds a vector that was posted while its exit was handled; the late notification changes nothing', () => {
    const rig = rigOf(
      [
        [enableApic, { run: 20_000 }, ipiTo(1, 0xfb), { run: 100_000 }, shutdown],
        [enableApic, sti, { run: 20_000 }, ...Array.from({ length: 30 }, () => rdmsr(X2APIC_MSR.TMCCT)), { run: 9000 }, shutdown],
      ], // prettier-ignore
      { costs: COST_MODELS['skylake-2020'] },
    );
    go(rig);
    expect(taken(rig, 1)).toEqual([0xfb]);
    expect(rig.vm.vcpus[1]!.stat.irqInjections).toBe(0);
  });

  it('exits for another interrupt of the host that waits beside the notification, and loses neither', () => {
    const rig = rigOf([
      [enableApic, { run: 500 }, ipiTo(1, 0xfb), { run: 9000 }, shutdown],
      [enableApic, sti, { run: 5000 }, shutdown],
    ]);
    const target = rig.vm.vcpus[1]!;
    rig.vm.probes.subscribe((name) => {
      if (name === 'kvm_apicv_accept_irq') target.kick();
    });
    go(rig);
    expect(exitsOf(rig, 1)).toEqual([EXIT.MSR_WRITE, EXIT.EXTERNAL_INTERRUPT, EXIT.TRIPLE_FAULT]);
    expect(taken(rig, 1)).toEqual([0xfb]);
  });

  it('takes an IPI to itself at the next entry, without leaving the inner loop', () => {
    const rig = go(rigOf([[enableApic, sti, ipiTo(0, 0xfb), { run: 10 }, shutdown]]));
    expect(taken(rig, 0)).toEqual([0xfb]);
    expect(rig.vm.vcpus[0]!.stat.reqEvent).toBe(0);
  });

  it('whose level-triggered interrupt is in the EOI-exit bitmap exits when it ends it, and the IOAPIC hears of it', () => {
    const rig = rigOf([[enableApic, sti, { run: 100 }, eoi, sti, { run: 100 }, eoi, { run: 9 }, shutdown]]);
    const vcpu = rig.vm.vcpus[0]!;
    const heard: number[] = [];
    vi.spyOn<LapicVm, 'ioapicEoi'>(rig.vm, 'ioapicEoi').mockImplementation((_, vector) => void heard.push(vector));
    vcpu.apicv!.loadEoiExitmap(Uint32Array.of(0, 0, 0, 1 << 1, 0, 0, 0, 0));
    vcpu.lapic.writeMsr(X2APIC_MSR.SIVR, 0x1ffn);
    for (const vector of [0x51, 0x61]) vcpu.apicv!.deliverPostedInterrupt(vector);
    go(rig);
    expect(taken(rig, 0)).toEqual([0x61, 0x51]);
    expect(exitsOf(rig, 0)).toEqual([EXIT.MSR_WRITE, EXIT.EOI_INDUCED, EXIT.TRIPLE_FAULT]);
    expect(heard).toEqual([0x61]);
  });

  it('reaches its registers without exits, but for the timer’s count and for writes', () => {
    const { target } = still();
    const { controls } = target.guest;
    expect([X2APIC_MSR.ID, X2APIC_MSR.ICR, X2APIC_MSR.IRR7, X2APIC_MSR.LVT_TIMER].some((i) => controls.msrReadExits(i))).toBe(false); // prettier-ignore
    expect([X2APIC_MSR.TMCCT, X2APIC_MSR.EOI, X2APIC_MSR.SELF_IPI, 0x809, 0x8ff].every((i) => controls.msrReadExits(i))).toBe(true); // prettier-ignore
    expect([X2APIC_MSR.TPR, X2APIC_MSR.EOI, X2APIC_MSR.SELF_IPI].some((i) => controls.msrWriteExits(i))).toBe(false);
    expect([X2APIC_MSR.ICR, X2APIC_MSR.LVT_TIMER, X2APIC_MSR.SIVR].every((i) => controls.msrWriteExits(i))).toBe(true);
    expect([controls.cr8LoadExiting, controls.cr8StoreExiting]).toEqual([false, false]);
  });

  it('has what was posted to it in its saved APIC', () => {
    const { target } = still();
    target.apicv!.deliverPostedInterrupt(0x41);
    expect(getLapicState(target.lapic)[APIC.IRR + 0x20]).toBe(2);
  });

  it('keeps its interrupt in service when its APIC is saved and restored', () => {
    const { target } = still();
    target.apicv!.deliverPostedInterrupt(0x51);
    target.lapic.acknowledge(target.lapic.pendingInterrupt());
    expect(target.guest.state.svi).toBe(0x51);
    const saved = getLapicState(target.lapic);
    target.reset(true);
    expect(target.guest.state.svi).toBe(0);
    target.apicv!.deliverPostedInterrupt(0x41);
    setLapicState(target.lapic, saved);
    expect([target.guest.state.svi, target.apicv!.piDesc.on, target.lapic.pendingInterrupt()]).toEqual([
      0x51,
      false,
      -1,
    ]);
  });
});

describe('a guest in xAPIC mode', () => {
  it('runs without APIC virtualisation', () => {
    const { target } = still();
    target.lapic.writeBase(APIC_BASE.DEFAULT_ADDRESS | APIC_BASE.EN, true);
    expect([target.apicv!.active, target.guest.controls.virtualApic]).toEqual([false, null]);
    target.lapic.register(APIC.SPIV);
    target.lapic.deliverInterrupt(0x41);
    expect([inIrr(target, 0x41), target.requests.test(KVM_REQ.EVENT)]).toEqual([true, true]);
  });
});

describe('timer interrupts', () => {
  it('of a deadline that has passed are in IRR before WRMSR ends: no request, no outer loop', () => {
    const rig = go(rigOf([[...enableTimer, sti, wrmsr(MSR.TSC_DEADLINE, 1n), { run: 10 }, shutdown]]));
    const vcpu = rig.vm.vcpus[0]!;
    expect(taken(rig, 0)).toEqual([TIMER_VECTOR]);
    expect(vcpu.stat.reqEvent).toBe(0);
    expect(vcpu.lapic.timer.tscdeadline).toBe(0n);
  });

  it('of the preemption timer are taken at the deadline, never before it', () => {
    const deadline = 10_007n;
    const rig = rigOf([[...enableTimer, sti, wrmsr(MSR.TSC_DEADLINE, deadline), { run: 100_000 }, shutdown]]);
    const vcpu = rig.vm.vcpus[0]!;
    let at = 0n;
    const { run } = rig.guests[0]!;
    rig.guests[0]!.run = function () {
      const before = this.delivered.length;
      const tsc = this.state.tsc;
      const reason = run.call(this);
      if (this.delivered.length > before) at = tsc;
      return reason;
    };
    go(rig);
    expect(taken(rig, 0)).toEqual([TIMER_VECTOR]);
    expect(exitsOf(rig, 0)).toContain(EXIT.PREEMPTION_TIMER);
    expect(at).toBe(deadline);
    expect(vcpu.stat).toMatchObject({ irqInjections: 0, reqEvent: 0 });
  });

  it('are lost while LVTT is masked, as without', () => {
    const masked = wrmsr(X2APIC_MSR.LVT_TIMER, 0x500ecn);
    const rig = go(
      rigOf([[...enableTimer, masked, sti, wrmsr(MSR.TSC_DEADLINE, 1n), ...enableTimer, { run: 99 }, shutdown]]),
    );
    expect(taken(rig, 0)).toEqual([]);
    expect(rig.vm.vcpus[0]!.lapic.timer.tscdeadline).toBe(0n);
  });

  it('of a periodic timer go on, a vector each period', () => {
    const periodic = wrmsr(X2APIC_MSR.LVT_TIMER, 0x200ecn);
    const start = wrmsr(X2APIC_MSR.TMICT, 100_000n);
    const tick: Step[] = [sti, { run: 700_000 }, eoi];
    const rig = go(rigOf([[enableApic, periodic, start, ...tick, ...tick, ...tick, shutdown]]), 4000);
    expect(taken(rig, 0)).toEqual([TIMER_VECTOR, TIMER_VECTOR, TIMER_VECTOR]);
    expect(rig.vm.vcpus[0]!.stat.irqInjections).toBe(0);
  });
});

it('without the parameter nothing of it is there', () => {
  const rig = vmRig([[enableApic, sti, { run: 10 }, shutdown]]);
  const vcpu = rig.vm.vcpus[0]!;
  expect([vcpu.apicv, vcpu.guest.controls.virtualApic, vcpu.guest.state.gpr32(GPR.RAX)]).toEqual([null, null, 0]);
});
