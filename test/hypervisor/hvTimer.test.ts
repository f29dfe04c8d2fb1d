// The preemption timer as carrier of LAPIC deadlines: the cases of kvm_hv_timer and what moves a deadline between it and an hrtimer.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { COST } from '../../src/host/costs.ts';
import { VmxHvTimer } from '../../src/hypervisor/vmx/hvTimer.ts';
import type { KvmParams } from '../../src/hypervisor/params.ts';
import { MSR, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { hlt, sti, wrmsr, type Step } from './scriptedCpu.ts';
import { vmRig, type VmRig } from './vmRig.ts';

const VECTOR_TIMER = 0xec;
const LVTT = { ONESHOT: 0xec, PERIODIC: 0x200ec, DEADLINE: 0x400ec } as const;
/** The APIC bus at 1 GHz, divided by 2, against a TSC of 2.5 GHz. */
const CYCLES_PER_COUNT = 5;
const shutdown: Step = { exit: EXIT.TRIPLE_FAULT };
const enable = (lvtt: number): Step[] => [
  wrmsr(X2APIC_MSR.SIVR, 0x1ffn),
  wrmsr(X2APIC_MSR.LVT_TIMER, BigInt(lvtt)),
  sti,
];
const arm = (deadline: bigint): Step => wrmsr(MSR.TSC_DEADLINE, deadline);

/** Runs a script of one vCPU to its end. */
function run(script: Step[], params: Partial<KvmParams> = {}): VmRig {
  const rig = vmRig([script], { params });
  for (let i = 0; i < 300 && rig.host.step() === 'progress'; i++);
  return rig;
}

/** Names of events, exits by their reason, from the last WRMSR of the deadline on. */
function sinceArmed(rig: VmRig): string[] {
  const from = rig.events
    .map(({ name, event }) => name === 'kvm_msr' && event.index === MSR.TSC_DEADLINE)
    .lastIndexOf(true);
  return rig.events.slice(from + 1).map(({ name, event }) => {
    if (name === 'kvm_exit') return `kvm_exit(${String(event.reason)})`;
    return name === 'kvm_hv_timer_state' ? `${name}(${event.hvTimer ? 1 : 0})` : name;
  });
}
const exitsOf = (rig: VmRig, reason: number): number => rig.vm.vcpus[0]!.stat.byReason[reason]!;
const timerOf = (rig: VmRig) => rig.vm.vcpus[0]!.lapic.timer;

/** The guest TSC at which it takes its interrupt. */
function takenAt(script: (note: Step) => Step[], params: Partial<KvmParams> = {}): bigint {
  let tsc = -1n;
  const note: Step = { rdtsc: (now) => (tsc = now) };
  run(script(note), params);
  return tsc;
}

describe('a deadline of a running guest', () => {
  it('is carried by the preemption timer, whose exit needs no host interrupt', () => {
    const rig = run([...enable(LVTT.DEADLINE), arm(20_000n), { run: 60_000 }, shutdown]);
    expect([exitsOf(rig, EXIT.PREEMPTION_TIMER), exitsOf(rig, EXIT.EXTERNAL_INTERRUPT)]).toEqual([1, 0]);
    expect(sinceArmed(rig).slice(0, 7)).toEqual([
      'exit_handled',
      'kvm_entry',
      `kvm_exit(${EXIT.PREEMPTION_TIMER})`,
      'exit_handled',
      'kvm_apic_accept_irq',
      'kvm_inj_virq',
      'kvm_entry',
    ]);
    expect(rig.guests[0]!.delivered).toEqual([{ type: 'external', vector: VECTOR_TIMER, errorCode: null }]);
  });

  it('is carried by an hrtimer where the preemption timer is off', () => {
    const rig = run([...enable(LVTT.DEADLINE), arm(20_000n), { run: 60_000 }, shutdown], { preemptionTimer: false });
    expect([exitsOf(rig, EXIT.PREEMPTION_TIMER), exitsOf(rig, EXIT.EXTERNAL_INTERRUPT)]).toEqual([0, 1]);
  });

  it('is carried by an hrtimer when it is too far away for 32 bits of ticks', () => {
    const rig = run([...enable(LVTT.DEADLINE), arm(1n << 40n), { run: 100 }, shutdown]);
    expect(timerOf(rig).hvTimerInUse).toBe(false);
    expect(sinceArmed(rig)[0]).toBe('exit_handled');
  });

  it.each([20_000n, 20_001n, 20_015n, 20_031n])(
    '%i is never early, although the timer counts in ticks of 32 cycles',
    (deadline) => {
      // The guest spins until the interrupt ends its loop: the script's next step is what the handler does.
      const script = (note: Step): Step[] => [
        ...enable(LVTT.DEADLINE),
        arm(deadline),
        { run: Number(deadline) - 400 },
        hlt,
        note,
        shutdown,
      ];
      expect(takenAt(script)).toBeGreaterThanOrEqual(deadline);
      expect(takenAt(script, { preemptionTimer: false })).toBeGreaterThanOrEqual(deadline);
    },
  );

  it('that has passed is delivered at once and leaves no timer behind', () => {
    const rig = run([...enable(LVTT.DEADLINE), arm(1n), { run: 10 }, shutdown]);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
    expect(timerOf(rig).hvTimerInUse).toBe(false);
    expect(exitsOf(rig, EXIT.PREEMPTION_TIMER)).toBe(0);
  });

  it('is taken back by writing 0', () => {
    const rig = run([...enable(LVTT.DEADLINE), arm(5000n), arm(0n), { run: 20_000 }, shutdown]);
    expect(rig.guests[0]!.delivered).toEqual([]);
    expect([timerOf(rig).hvTimerInUse, timerOf(rig).tscdeadline]).toEqual([false, 0n]);
  });

  it('is replaced by the next write', () => {
    const rig = run([...enable(LVTT.DEADLINE), arm(5000n), arm(30_000n), { run: 60_000 }, shutdown]);
    expect(exitsOf(rig, EXIT.PREEMPTION_TIMER)).toBe(1);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
  });
});

describe('a deadline of a vCPU that halts', () => {
  it('moves to an hrtimer, since the preemption timer counts in guest mode only, and wakes it', () => {
    const rig = run([...enable(LVTT.DEADLINE), arm(50_000n), hlt, { run: 10 }, shutdown]);
    expect(sinceArmed(rig).slice(0, 9)).toEqual([
      'exit_handled',
      'kvm_entry',
      `kvm_exit(${EXIT.HLT})`,
      'exit_handled',
      'kvm_hv_timer_state(0)',
      'kvm_vcpu_wakeup',
      'kvm_apic_accept_irq',
      'kvm_inj_virq',
      'kvm_entry',
    ]);
    expect(exitsOf(rig, EXIT.PREEMPTION_TIMER)).toBe(0);
  });

  it('is not waited for when it has passed while it moved', () => {
    const rig = run([...enable(LVTT.DEADLINE), arm(1200n), { run: 900 }, hlt, { run: 10 }, shutdown]);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
  });
});

describe('a countdown', () => {
  it('of one shot fires once', () => {
    const rig = run([...enable(LVTT.ONESHOT), wrmsr(X2APIC_MSR.TMICT, 10_000n), { run: 100_000 }, shutdown]);
    expect(exitsOf(rig, EXIT.PREEMPTION_TIMER)).toBe(1);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
  });

  it('that repeats is armed anew by each of its exits, without drift', () => {
    const rounds = 5;
    const period = 600_000; // beyond the shortest period that KVM allows
    const script: Step[] = [...enable(LVTT.PERIODIC), wrmsr(X2APIC_MSR.TMICT, BigInt(period / CYCLES_PER_COUNT))];
    for (let i = 0; i < rounds + 1; i++) script.push(sti, { run: period });
    const rig = run([...script, shutdown]);
    expect(exitsOf(rig, EXIT.PREEMPTION_TIMER)).toBeGreaterThanOrEqual(rounds - 1);
    const times = rig.events.flatMap(({ name, event, time }) =>
      name === 'kvm_exit' && event.reason === EXIT.PREEMPTION_TIMER ? [time] : [],
    );
    const steps = times.slice(1).map((time, i) => time - times[i]!);
    expect(new Set(steps.map((step) => Math.round(step / 1000))).size).toBe(1);
  });
});

const MASKED = 1 << 16;
const lvtt = (value: number): Step => wrmsr(X2APIC_MSR.LVT_TIMER, BigInt(value));

describe.each([
  ['the preemption timer', true],
  ['an hrtimer', false],
])('LVTT written while %s carries a deadline', (_, preemptionTimer) => {
  const fires = preemptionTimer ? EXIT.PREEMPTION_TIMER : EXIT.EXTERNAL_INTERRUPT;
  const runWith = (...script: Step[]): VmRig => run([...script, shutdown], { preemptionTimer });

  it('masked: it fires, is consumed, and no vector comes, not even after the mask has gone', () => {
    const rig = runWith(
      ...[...enable(LVTT.DEADLINE), arm(5000n), lvtt(LVTT.DEADLINE | MASKED), { run: 20_000 }],
      ...[lvtt(LVTT.DEADLINE), { run: 20_000 }],
    );
    expect(exitsOf(rig, fires)).toBe(1);
    expect(rig.guests[0]!.delivered).toEqual([]);
    expect(timerOf(rig).tscdeadline).toBe(0n);
  });

  it('unmasked in time: the vector comes', () => {
    const rig = runWith(
      ...[...enable(LVTT.DEADLINE), lvtt(LVTT.DEADLINE | MASKED), arm(5000n), { run: 1000 } as Step],
      ...[lvtt(LVTT.DEADLINE), { run: 20_000 } as Step],
    );
    expect(rig.guests[0]!.delivered).toHaveLength(1);
  });

  it('with another vector: that one comes', () => {
    const rig = runWith(...enable(LVTT.DEADLINE), arm(5000n), lvtt(0x40055), { run: 20_000 });
    expect(rig.guests[0]!.delivered).toEqual([{ type: 'external', vector: 0x55, errorCode: null }]);
  });

  it.each([
    ['one-shot', LVTT.ONESHOT],
    ['periodic', LVTT.PERIODIC],
  ])('as %s: nothing is armed any more, and the deadline reads as 0 for ever', (__, mode) => {
    const rig = runWith(...enable(LVTT.DEADLINE), arm(5000n), lvtt(mode), { run: 20_000 }, lvtt(LVTT.DEADLINE), {
      run: 10,
    });
    expect(exitsOf(rig, fires)).toBe(0);
    expect([timerOf(rig).hvTimerInUse, timerOf(rig).tscdeadline]).toEqual([false, 0n]);
    expect(rig.guests[0]!.delivered).toEqual([]);
  });

  it('from one-shot to periodic and back: the countdown goes on', () => {
    const count = 600_000 / CYCLES_PER_COUNT;
    const rig = runWith(
      ...[...enable(LVTT.ONESHOT), wrmsr(X2APIC_MSR.TMICT, BigInt(count)), { run: 1000 } as Step],
      ...[lvtt(LVTT.PERIODIC), { run: 1_300_000 } as Step],
    );
    expect(exitsOf(rig, fires)).toBe(2);
  });
});

describe.each([
  ['the preemption timer', true],
  ['an hrtimer', false],
])('a vCPU that moves to another physical CPU while %s carries its deadline', (_, preemptionTimer) => {
  const DEADLINE = 40_000;

  /** Arms on CPU 0, goes on on CPU 1 from about position 10 000. */
  function moved(): VmRig {
    const move: Step = { then: () => rig.host.scheduler.setAffinity(rig.vm.vcpus[0]!.thread!, [rig.host.cpus[1]!]) };
    const script = [...enable(LVTT.DEADLINE), arm(BigInt(DEADLINE)), { run: 10_000 }, move, { run: 60_000 }, shutdown];
    const rig: VmRig = vmRig([script], { params: { preemptionTimer }, hostCpus: 2 });
    for (let i = 0; i < 300 && rig.host.step() === 'progress'; i++);
    return rig;
  }

  it('takes its interrupt there, on time', () => {
    const rig = moved();
    const [vcpu] = rig.vm.vcpus;
    expect(vcpu!.cpu.id).toBe(1);
    expect(vcpu!.stat.migrations).toBe(1);
    expect(rig.guests[0]!.delivered).toHaveLength(1);
    const fired = rig.events.find(({ name }) => name === 'kvm_inj_virq')!;
    expect(fired.time).toBeGreaterThanOrEqual(DEADLINE);
    expect(fired.time).toBeLessThan(DEADLINE + 100);
  });

  it('has its timer there: no interrupt of the CPU that it left is needed, nor an IPI at the deadline', () => {
    const rig = moved();
    const sent = rig.host.cpus.map(({ charged }) => charged[COST.ipiSend]);
    // One IPI to wake the new CPU up, and one back that asks for the VMCS.
    expect(sent).toEqual([1, 1]);
    expect(exitsOf(rig, preemptionTimer ? EXIT.PREEMPTION_TIMER : EXIT.EXTERNAL_INTERRUPT)).toBeGreaterThanOrEqual(1);
  });
});

describe('the ticks of the preemption timer', () => {
  const clock = { at: 0, now: () => clock.at, cyclesUntil: (deadline: bigint) => Number(deadline) - clock.at - 7_000 };
  const timer = new VmxHvTimer(clock);

  it('end guest mode in the last tick before the deadline', () => {
    clock.at = 100;
    expect(timer.set(7_000n + 1_000n, 0)).toEqual({ expired: false });
    const end = timer.update(100);
    expect(end).toBeLessThanOrEqual(1000);
    expect(end).toBeGreaterThan(1000 - 64);
  });
  it('are counted anew at each entry', () => expect(timer.update(900)).toBeLessThanOrEqual(1000));
  it('are none once the deadline has passed', () => expect(timer.update(2000)).toBe(2000));
  it('are for ever when nothing is armed', () => {
    timer.cancel();
    expect(timer.update(100)).toBe(Infinity);
  });
  it('say that a deadline has passed, and that one is too far away', () => {
    expect(timer.set(7_000n, 0)).toEqual({ expired: true });
    expect(timer.set(7_000n + 1_000n, 950)).toEqual({ expired: true });
    expect(timer.set(7_000n + (1n << 38n), 0)).toBeNull();
  });
});
