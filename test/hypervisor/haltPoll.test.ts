// How long a halted vCPU polls before its thread sleeps: the window follows the guest's halts.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { COST } from '../../src/host/costs.ts';
import { compute } from '../../src/host/compute.ts';
import { MSR, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { hlt, sti, wrmsr, type Step } from './scriptedCpu.ts';
import { vmRig, type RigOptions, type VmRig } from './vmRig.ts';

/** Of the rig's host: 2.5 GHz. */
const CYCLES_PER_US = 2500;
const us = (n: number): number => n * CYCLES_PER_US;
const LVTT_DEADLINE = 0x400ecn;
const shutdown: Step = { exit: EXIT.TRIPLE_FAULT };

/** A guest that halts for these times, one after the other, each ended by its timer. */
function halting(...cycles: number[]): Step[] {
  const steps: Step[] = [wrmsr(X2APIC_MSR.SIVR, 0x1ffn), wrmsr(X2APIC_MSR.LVT_TIMER, LVTT_DEADLINE)];
  let at = 10_000;
  for (const length of cycles) {
    steps.push(
      { rdtsc: (tsc) => void expect(Number(tsc)).toBeLessThan(at) },
      wrmsr(MSR.TSC_DEADLINE, BigInt(at + length)),
    );
    steps.push(sti, hlt, { run: 10 }, wrmsr(X2APIC_MSR.EOI, 0n));
    at += length + 10_000;
  }
  return [...steps, shutdown];
}

function ran(script: Step[], options: RigOptions = {}): VmRig {
  const rig = vmRig([script], options);
  while (rig.host.step() === 'progress');
  return rig;
}

/** Of each halt: `poll` when polling found the event, else `wait`. */
const ends = (rig: VmRig): string[] =>
  rig.events.filter(({ name }) => name === 'kvm_vcpu_wakeup').map(({ event }) => (event.waited ? 'wait' : 'poll'));

/** The window in µs after each halt, as many as there are. */
function windows(...cycles: number[]): number[] {
  return cycles.map((_, i) => ran(halting(...cycles.slice(0, i + 1))).vm.vcpus[0]!.haltPollNs / 1000);
}

describe('the window of a vCPU', () => {
  it('is closed at first, opens to 10 µs after a short halt, and doubles while halts outlast it', () => {
    const halt = us(100);
    expect(windows(halt, halt, halt, halt, halt, halt)).toEqual([10, 20, 40, 80, 160, 160]);
  });

  it('does not open further than the parameter says', () => {
    const rig = ran(halting(us(15), us(15), us(15), us(18)), { params: { haltPollNs: 25_000 } });
    expect(rig.vm.vcpus[0]!.haltPollNs).toBe(25_000);
  });

  it('closes by halves when halts outlast the largest one', () => {
    expect(windows(us(100), us(100), us(100), us(900), us(900), us(900))).toEqual([10, 20, 40, 20, 10, 0]);
  });

  it('stays as it is while halts end within it', () => {
    expect(windows(us(15), us(15), us(5), us(5))).toEqual([10, 20, 20, 20]);
  });

  it('never opens when the parameter is 0', () => {
    const rig = ran(halting(us(5), us(5), us(5)), { params: { haltPollNs: 0 } });
    expect(ends(rig)).toEqual(['wait', 'wait', 'wait']);
    expect(rig.vm.vcpus[0]!.stat.haltAttemptedPoll).toBe(0);
  });
});

describe('a halt that ends within the window', () => {
  it('costs no sleep: the thread is neither switched away nor woken', () => {
    const rig = ran(halting(us(4), us(4), us(4)));
    const { stat } = rig.vm.vcpus[0]!;
    expect(ends(rig)).toEqual(['wait', 'poll', 'poll']);
    expect([stat.haltAttemptedPoll, stat.haltSuccessfulPoll, stat.haltWakeup]).toEqual([2, 2, 1]);
    // To its first instruction, and back from its only sleep.
    expect(rig.host.cpus[0]!.charged[COST.contextSwitch]).toBe(2);
  });

  it('ends when its timer fires, and not at the end of the window', () => {
    const rig = ran(halting(us(8), us(8)));
    const last = rig.events.findLast(({ name }) => name === 'kvm_vcpu_wakeup')!;
    expect(last.event.cycles).toBeGreaterThan(us(8));
    expect(last.event.cycles).toBeLessThan(us(8) + 10_100);
  });

  it('is found by another vCPU that sends an IPI', () => {
    const target: Step[] = [...halting(us(8)).slice(0, -1), sti, hlt, { run: 10 }, shutdown];
    const sender: Step[] = [
      wrmsr(X2APIC_MSR.SIVR, 0x1ffn),
      { run: 10_000 + us(8) + 15_000 },
      wrmsr(X2APIC_MSR.ICR, 0xfbn),
      { run: us(200) },
    ];
    const rig = vmRig([target, sender]);
    while (rig.host.step() === 'progress' && rig.userspace.length === 0);
    expect(ends(rig)).toEqual(['wait', 'poll']);
  });
});

describe('a thread that wants the CPU of a vCPU that polls', () => {
  it('gets it at once', () => {
    const rig = vmRig([halting(us(100), us(100), us(100), us(100), us(100), us(100))]);
    const [cpu] = rig.host.cpus;
    const { host } = rig;
    let latest = 0;
    host.spawn(
      'other',
      cpu!,
      (function* () {
        for (let i = 0; i < 40; i++) {
          const due = cpu!.now + us(9);
          yield { kind: 'block', on: 'its turn', until: due };
          latest = Math.max(latest, cpu!.now - due);
          yield* compute(host, 1000);
        }
      })(),
    );
    while (host.step() === 'progress');
    expect(latest).toBeLessThan(100);
    const { stat } = rig.vm.vcpus[0]!;
    expect(stat.haltAttemptedPoll).toBeGreaterThan(1);
    expect(stat.haltSuccessfulPoll).toBeLessThan(stat.haltAttemptedPoll);
  });
});
