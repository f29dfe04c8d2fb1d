// Probes in, lines and reports out: which events make a line, and the exact text of the reports.

import { describe, expect, it } from 'vitest';
import type { Exit } from '../../src/cpu/exit.ts';
import { ExitLines, type ExitLine } from '../../src/trace/exitLines.ts';
import { ExitStatistics, Times } from '../../src/trace/exitStatistics.ts';
import { msrReport, perfReport, shortMsrName, wholePercent } from '../../src/trace/perfReport.ts';
import { KVM_ISA, Probes } from '../../src/trace/probes.ts';

const HLT: Exit = { reason: 'HLT', rip: 0x1000n, length: 1 };
const REASON = { HLT: 12, MSR_WRITE: 32 };

/** Probes with what a vCPU fires around an exit. */
const CODE = { linear: 0x1000n, bits: 64 } as const;

class Rig {
  readonly probes = new Probes();
  readonly lines: ExitLine[] = [];
  readonly collector = new ExitLines((line) => this.lines.push(line));

  constructor() {
    this.probes.subscribe(this.collector.sink);
  }
  exit(time: number, vcpu = 0, reason = REASON.HLT): void {
    const rest = { rip: 0x1000n, length: 1, info1: 0n, info2: 0n, intrInfo: 0, errorCode: 0, requests: 0 };
    this.probes.fire('kvm_exit', { vcpu, isa: KVM_ISA.VMX, reason, ...rest }, time);
  }
  handled(time: number, vcpu = 0, action = 'halts'): void {
    this.probes.fire('exit_handled', { vcpu, tsc: 7n, exit: HLT, code: CODE, action }, time);
  }
  entry(time: number, vcpu = 0): void {
    const event = { vcpu, rip: 0x1001n, intrInfo: 0, errorCode: 0, immediateExit: false };
    this.probes.fire('kvm_entry', event, time);
  }
}

describe('a trace line', () => {
  it('costs the time to the next entry, without the wait, and says what is injected', () => {
    const rig = new Rig();
    rig.exit(1000);
    rig.handled(1100);
    rig.probes.fire('kvm_vcpu_wakeup', { vcpu: 0, cycles: 5000, waited: true, valid: true }, 6100);
    rig.probes.fire('kvm_inj_virq', { vcpu: 0, vector: 0xec, soft: false, reinjected: false }, 6150);
    rig.entry(6200);
    expect(rig.lines).toEqual([
      {
        vcpu: 0,
        tsc: 7n,
        exit: HLT,
        code: CODE,
        action: 'halts',
        injects: 0xec,
        rearmed: null,
        cost: 200,
        waited: 5000,
      },
    ]);
  });

  it('belongs to one vCPU, whatever the others do meanwhile', () => {
    const rig = new Rig();
    rig.exit(0, 0);
    rig.handled(10, 0, 'first');
    rig.exit(20, 1);
    rig.handled(30, 1, 'second');
    rig.probes.fire('kvm_inj_virq', { vcpu: 1, vector: 1, soft: false, reinjected: false }, 35);
    rig.entry(40, 1);
    rig.entry(100, 0);
    expect(rig.lines.map(({ vcpu, action, cost, injects }) => [vcpu, action, cost, injects])).toEqual([
      [1, 'second', 20, 1],
      [0, 'first', 100, null],
    ]);
  });

  it('tells a lazy deadline that was put off', () => {
    const rig = new Rig();
    rig.exit(0);
    rig.handled(10);
    rig.probes.fire('kvm_lazy_tsc', { vcpu: 0, op: 'kick', armed: 50n, pending: 90n }, 20);
    rig.probes.fire('kvm_lazy_tsc', { vcpu: 0, op: 'rearm', armed: 90n, pending: 90n }, 30);
    rig.entry(40);
    expect(rig.lines[0]!.rearmed).toBe(90n);
  });

  it('of an exit that ends the machine is told by `finish`; one that nobody handled is none', () => {
    const rig = new Rig();
    rig.exit(0);
    rig.handled(10);
    rig.exit(5, 1);
    rig.collector.finish(60);
    expect(rig.lines.map(({ vcpu, cost }) => [vcpu, cost])).toEqual([[0, 60]]);
  });
});

describe('statistics', () => {
  it('have the mean and its standard error', () => {
    const times = new Times();
    for (const cycles of [2, 4, 4, 4, 5, 5, 7, 9]) times.add(cycles);
    expect([times.count, times.min, times.max, times.mean]).toEqual([8, 2, 9, 5]);
    // Sample variance 32 / 7, of the mean 32 / 56.
    expect(times.relativeError).toBeCloseTo((100 * Math.sqrt(32 / 56)) / 5, 10);
    expect(new Times().mean).toBe(0);
  });

  it('print as perf kvm stat report does, most frequent first', () => {
    const rig = new Rig();
    const statistics = new ExitStatistics();
    rig.probes.subscribe(statistics.sink);
    for (const [at, reason] of [
      [0, REASON.MSR_WRITE],
      [1000, REASON.MSR_WRITE],
      [2000, REASON.HLT],
    ] as const) {
      rig.exit(at, 0, reason);
      rig.entry(at + (reason === REASON.HLT ? 800 : 100));
    }
    expect(perfReport(statistics, { tscKhz: 1_000_000 }).split('\n')).toEqual([
      'Analyze events for all VMs, all VCPUs:',
      '',
      '             VM-EXIT    Samples  Samples%     Time%    Min Time    Max Time         Avg time',
      '',
      '           MSR_WRITE          2    66.67%    20.00%      0.10us      0.10us      0.10us ( +-   0.00% )',
      '                 HLT          1    33.33%    80.00%      0.80us      0.80us      0.80us ( +-   0.00% )',
      '',
      'Total Samples:3, Total events handled time:1.00us (modelled).',
      '',
    ]);
  });

  it('name MSRs as the lazy TSC deadline series does, and round shares down', () => {
    expect(['MSR_TSC_DEADLINE', 'X2APIC_ICR', 'MSR_KVM_LAZY_TSCDEADLINE', '0x123'].map(shortMsrName)).toEqual([
      'tsc-deadline',
      'apic-icr',
      'kvm-lazy-tscdeadline',
      '0x123',
    ]);
    expect([wholePercent(7_512_945, 10_046_455), wholePercent(2_533_498, 10_046_455), wholePercent(1, 0)]).toEqual([
      '74%',
      '25%',
      '0%',
    ]);
    expect(msrReport(new Map())).toBe('');
  });
});

describe('probes', () => {
  it('are active while somebody listens', () => {
    const probes = new Probes();
    const [first, second] = [probes.subscribe(() => undefined), probes.subscribe(() => undefined)];
    first();
    expect(probes.active).toBe(true);
    second();
    expect(probes.active).toBe(false);
  });
});
