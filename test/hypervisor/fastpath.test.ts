// IPIs handled early: what every design must keep (ipi-fastpath, section 6), which of the early designs broke what, and how many
// steps each saves.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { COST } from '../../src/host/costs.ts';
import { readX2apicIcr } from '../../src/hypervisor/lapic/icr.ts';
import { FASTPATH_DESIGNS, type FastpathDesign } from '../../src/hypervisor/params.ts';
import { VCPU_MODE } from '../../src/hypervisor/vcpu.ts';
import type { ProbeName } from '../../src/trace/probes.ts';
import { MSR, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { VECTOR } from '../../src/x86/names/vectors.ts';
import { hlt, sti, wrmsr, type Step } from './scriptedCpu.ts';
import { vmRig, type VmRig } from './vmRig.ts';

const shutdown: Step = { exit: EXIT.TRIPLE_FAULT };
const enableApic = wrmsr(X2APIC_MSR.SIVR, 0x1ffn);
const enableTimer = wrmsr(X2APIC_MSR.LVT_TIMER, 0x400ecn);
const icr = (dest: number, low: number): Step => wrmsr(X2APIC_MSR.ICR, (BigInt(dest) << 32n) | BigInt(low));
const BROADCAST = 0xffffffff;
const ALL_BUT_SELF = 3 << 18;
const LOGICAL = 1 << 11;
const RESERVED = 1 << 13;
const BUSY = 1 << 12;
const EARLY = FASTPATH_DESIGNS.filter((design) => design !== 'off');

/** Two vCPUs: the first runs a script, the second runs on with interrupts on, or halts. */
function send(fastpath: FastpathDesign, script: Step[], target: Step[] = [{ run: 100_000 }]): VmRig {
  const rig = vmRig(
    [
      [enableApic, { run: 2000 }, ...script, { run: 5000 }, shutdown],
      [enableApic, sti, ...target, shutdown],
    ],
    { params: { fastpath } },
  );
  for (let i = 0; i < 400 && rig.host.step() === 'progress'; i++);
  return rig;
}
const sender = (rig: VmRig) => rig.vm.vcpus[0]!;
const received = (rig: VmRig): number[] => rig.guests[1]!.delivered.map(({ vector }) => vector);

/** Events of the sender between the exit of its ICR write and the entry behind it. */
function sequence(rig: VmRig): ProbeName[] {
  const ofSender = rig.events.filter(({ name, event }) => event.vcpu === 0 || name === 'kvm_apic_accept_irq');
  const ipi = ofSender.findIndex(({ name }) => name === 'kvm_apic_ipi');
  const exit = ofSender.slice(0, ipi).findLastIndex(({ name }) => name === 'kvm_exit');
  const entry = ofSender.findIndex(({ name }, i) => i > ipi && name === 'kvm_entry');
  return ofSender.slice(exit, entry + 1).map(({ name }) => name);
}

/** What the sender looks like at the moment it sends. */
function whileSending<T>(fastpath: FastpathDesign, look: (rig: VmRig) => T): T {
  const rig = vmRig(
    [
      [enableApic, { run: 2000 }, icr(1, 0xfb), shutdown],
      [enableApic, { run: 50_000 }, shutdown],
    ],
    {
      params: { fastpath },
    },
  );
  let seen: T | undefined;
  rig.vm.probes.subscribe((name) => {
    if (name === 'kvm_apic_ipi') seen = look(rig);
  });
  for (let i = 0; i < 400 && rig.host.step() === 'progress'; i++);
  return seen!;
}

describe.each(FASTPATH_DESIGNS)('%s', (design) => {
  it('sends one IPI to a running target, which takes it once', () => {
    const rig = send(design, [icr(1, 0xfb)]);
    expect(received(rig)).toEqual([0xfb]);
    expect(rig.names().filter((name) => name === 'kvm_apic_ipi')).toHaveLength(1);
  });

  it('wakes a halted target', () => {
    expect(received(send(design, [icr(1, 0xfb)], [hlt, { run: 10 }]))).toEqual([0xfb]);
  });

  it('steps over the WRMSR once, and counts one exit', () => {
    const rig = send(design, [icr(1, 0xfb)]);
    const before = send(design, []);
    const { stat, guest } = sender(rig);
    expect(guest.state.rip).toBe(sender(before).guest.state.rip + 2n);
    expect(stat.byReason[EXIT.MSR_WRITE]).toBe(sender(before).stat.byReason[EXIT.MSR_WRITE]! + 1);
    expect(stat.exits).toBe(sender(before).stat.exits + 1);
    expect([...stat.msrWrites].find(([index]) => index === X2APIC_MSR.ICR)).toEqual([X2APIC_MSR.ICR, 1]);
  });

  it('leaves ICR readable, without the busy bit', () => {
    expect(readX2apicIcr(sender(send(design, [icr(1, 0xfb | BUSY)])).lapic)).toBe((1n << 32n) | 0xfbn);
  });

  it('delivers an IPI to itself', () => {
    const rig = send(design, [sti, icr(0, 0x55)]);
    expect(rig.guests[0]!.delivered.map(({ vector }) => vector)).toEqual([0x55]);
  });

  it('reaches whoever a shorthand or a broadcast means', () => {
    expect(received(send(design, [icr(0, 0xfb | ALL_BUT_SELF)]))).toEqual([0xfb]);
    expect(received(send(design, [icr(BROADCAST, 0xfc)]))).toEqual([0xfc]);
  });

  const refuses =
    design === 'all-icr'
      ? 'loses the #GP for reserved bits: nobody is told any more'
      : 'refuses reserved bits with #GP(0), and sends nothing';
  it(refuses, () => {
    const rig = send(design, [icr(1, 0xfb | RESERVED)]);
    const injected = rig.guests[0]!.delivered;
    expect(received(rig)).toEqual([]);
    expect(injected).toEqual(design === 'all-icr' ? [] : [{ type: 'exception', vector: VECTOR.GP, errorCode: 0 }]);
  });
});

describe('the order of events', () => {
  it.each(['off', 'irqoff', 'reenter'] as const)('%s: exit, IPI, acceptance, register, MSR, entry', (design) => {
    expect(sequence(send(design, [icr(1, 0xfb)]))).toEqual([
      'kvm_exit', 'kvm_apic_ipi', 'kvm_apic_accept_irq', 'kvm_apic', 'kvm_msr', 'exit_handled', 'kvm_entry',
    ]); // prettier-ignore
  });
  it.each(['v1', 'fake-reason'] as const)('%s has no kvm_msr: the write is not to be seen in a trace', (design) => {
    expect(sequence(send(design, [icr(1, 0xfb)]))).not.toContain('kvm_msr');
  });
});

describe('where a design runs', () => {
  it.each(EARLY)('%s sends with interrupts off', (design) => {
    expect(whileSending(design, ({ vm }) => vm.vcpus[0]!.cpu.interruptsEnabled)).toBe(false);
  });
  it('off sends with interrupts on', () => {
    expect(whileSending('off', ({ vm }) => vm.vcpus[0]!.cpu.interruptsEnabled)).toBe(true);
  });
  it.each(['v1', 'fake-reason', 'reenter'] as const)('%s: vcpu->mode still says IN_GUEST', (design) => {
    expect(whileSending(design, ({ vm }) => vm.vcpus[0]!.mode)).toBe(VCPU_MODE.IN_GUEST);
  });
  it.each(['irqoff', 'all-icr'] as const)('%s: vcpu->mode says OUTSIDE_GUEST', (design) => {
    expect(whileSending(design, ({ vm }) => vm.vcpus[0]!.mode)).toBe(VCPU_MODE.OUTSIDE_GUEST);
  });
  it('in v1 last_guest_tsc is that of the exit before: two thousand cycles of guest code are missing', () => {
    const lag = (design: FastpathDesign): number =>
      whileSending(design, ({ vm, host }) => host.thisCpu.now - Number(vm.vcpus[0]!.lastGuestTsc));
    expect(lag('v1')).toBeGreaterThan(2000);
    expect(lag('irqoff')).toBeLessThan(50);
  });
});

describe('what a design saves', () => {
  /** How often the sender's CPU paid for a primitive on account of one ICR write. */
  const paid = (design: FastpathDesign, primitive: number): number => {
    const count = (script: Step[]): number => send(design, script).host.cpus[0]!.charged[primitive]!;
    return count([icr(1, 0xfb)]) - count([]);
  };
  it.each([
    ['off', 1, 1],
    ['v1', 1, 1],
    ['irqoff', 1, 1],
    ['reenter', 0, 0],
  ] as const)('%s: interrupt windows %i, dispatches %i', (design, windows, dispatches) => {
    expect([paid(design, COST.interruptWindow), paid(design, COST.exitDispatch)]).toEqual([windows, dispatches]);
  });
  it.each(['irqoff', 'reenter'] as const)('%s leaves out the dispatch of MSRs', (design) => {
    expect([paid('off', COST.msrDispatch), paid(design, COST.msrDispatch)]).toEqual([1, 0]);
  });
  it('reenter takes logical destinations the slow way', () => {
    expect(paidFor(icr(1, 0xfb | LOGICAL))).toBe(1);
    expect(paidFor(icr(1, 0xfb))).toBe(0);
  });
  const paidFor = (step: Step): number =>
    send('reenter', [step]).host.cpus[0]!.charged[COST.exitDispatch]! -
    send('reenter', []).host.cpus[0]!.charged[COST.exitDispatch]!;
});

describe('the other fast paths', () => {
  const dispatches = (script: Step[], params = {}): number => {
    const rig = vmRig([[enableApic, enableTimer, sti, ...script, { run: 100 }, shutdown]], { params });
    for (let i = 0; i < 200 && rig.host.step() === 'progress'; i++);
    return rig.host.cpus[0]!.charged[COST.exitDispatch]!;
  };
  const deadline = wrmsr(MSR.TSC_DEADLINE, 900_000n);
  it('a deadline is armed without leaving the inner loop', () => {
    expect(dispatches([deadline])).toBe(dispatches([]));
  });
  it('a deadline goes the slow way where no preemption timer carries it', () => {
    const params = { preemptionTimer: false };
    expect(dispatches([deadline], params)).toBe(dispatches([], params) + 1);
  });
  it('a HLT with an event waiting goes back at once', () => {
    const rig = vmRig([[enableApic, icr(0, 0x55), sti, hlt, { run: 10 }, shutdown]]);
    for (let i = 0; i < 200 && rig.host.step() === 'progress'; i++);
    expect(rig.guests[0]!.delivered.map(({ vector }) => vector)).toEqual([0x55]);
  });
  it('a request that comes up meanwhile ends the inner loop: nothing is executed twice', () => {
    const rig = vmRig([[enableApic, enableTimer, sti, wrmsr(MSR.TSC_DEADLINE, 1n), { run: 10 }, shutdown]]);
    for (let i = 0; i < 200 && rig.host.step() === 'progress'; i++);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
    const deadlines = [...rig.vm.vcpus[0]!.stat.msrWrites].find(([index]) => index === MSR.TSC_DEADLINE);
    expect(deadlines).toEqual([MSR.TSC_DEADLINE, 1]);
  });
});
