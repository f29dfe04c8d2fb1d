// One preemption by hand inside a timer start: the hrtimer's callback (apic_timer_fn) runs while the vCPU's thread stands
// between two accesses of the very functions that normal runs use. Whatever the moment, the deadline keeps exactly one
// owner of {hrtimer queued, preemption timer in use, nothing}, and its expiry is neither lost nor seen twice.

import { beforeAll, describe, expect, it } from 'vitest';
import { describeSite } from '../../src/explore/preemption.ts';
import type { ApicTimer } from '../../src/hypervisor/timer.ts';
import { X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { loadPreemptible, transformHostCode, type Mutation } from '../../transform/load.ts';
import type { VmRig } from '../hypervisor/vmRig.ts';
import type * as Scenarios from './scenarios.ts';

type Loaded = typeof Scenarios;
const DEADLINE = 20_000;

const load = (mutation?: Mutation) =>
  loadPreemptible<Loaded>('test/explore/scenarios.ts', transformHostCode(mutation === undefined ? {} : { mutation }));
let production: Loaded;
beforeAll(async () => {
  production = await load();
});

interface Scene {
  readonly rig: VmRig;
  readonly timer: ApicTimer;
  /** The host takes the timer's interrupt: the deadline has come. */
  readonly interrupt: () => void;
  /** The hrtimer is queued. */
  readonly queued: () => boolean;
}

/** A vCPU in TSC-deadline mode, its thread on CPU 0, shortly before a deadline that was armed on `armedOn`. */
function scene(code: Loaded, armedOn: number): Scene {
  const rig = code.vmRig([[], []]);
  const { host } = rig;
  const { lapic } = rig.vm.vcpus[0]!;
  const { timer } = lapic;
  lapic.writeMsr(X2APIC_MSR.SIVR, 0x1ffn);
  lapic.writeMsr(X2APIC_MSR.LVT_TIMER, BigInt(code.LVTT.DEADLINE));
  const cpu = host.cpus[armedOn]!;
  host.thisCpu = cpu;
  timer.setLapicTscdeadlineMsr(BigInt(DEADLINE));
  for (const { id } of host.cpus) host.cpus[id]!.now = DEADLINE - 100;
  host.thisCpu = host.cpus[0]!;
  return {
    rig,
    timer,
    interrupt: () => {
      code.elsewhere(host, cpu, () => {
        cpu.now = Math.max(cpu.now, DEADLINE);
        cpu.takeInterrupts();
      });
    },
    // The vCPU's thread has not run, so that nothing else waits on either CPU.
    queued: () => host.cpus.some(({ events }) => events.size > 0),
  };
}

/** The same after the vCPU blocked on `armedOn`: the deadline has moved to an hrtimer there. */
function blockedScene(code: Loaded, armedOn: number): Scene {
  const made = scene(code, armedOn);
  const { host } = made.rig;
  host.thisCpu = host.cpus[armedOn]!;
  made.timer.switchToSwTimer();
  host.thisCpu = host.cpus[0]!;
  return made;
}

const stateOf = ({ timer, queued }: Scene) => ({
  pending: timer.pending,
  hvTimerInUse: timer.hvTimerInUse,
  hrtimerQueued: queued(),
});
const EXPIRED_ONCE = { pending: 1, hvTimerInUse: false, hrtimerQueued: false };

/** What is wrong with a deadline that has passed or not, or null. */
function broken(made: Scene): string | null {
  const { pending, hvTimerInUse, hrtimerQueued } = stateOf(made);
  const owners = Number(hvTimerInUse) + Number(hrtimerQueued);
  if (owners > 1) return 'two carry the deadline';
  if (made.timer.tscdeadline === 0n) return owners > 0 ? 'somebody carries a deadline that is none' : null;
  if (owners + pending === 0) return 'the expiry is lost';
  return owners > 0 && pending > 0 ? 'the deadline has passed and will pass again' : null;
}

describe('an hrtimer that fires on the CPU from which the vCPU was moved', () => {
  it('while the preemption timer takes the deadline over: seen after the cancel, and the preemption timer lets go', () => {
    const made = blockedScene(production, 1);
    expect(stateOf(made)).toEqual({ pending: 0, hvTimerInUse: false, hrtimerQueued: true });
    let atCallback = {};
    const { result, sites, before } = production.preemptedAt(
      production.preemptible(made.timer, 'startHvTimer'),
      // hv_timer_in_use is set, the hrtimer is about to be cancelled, pending has not been read yet.
      { cell: 'Hrtimer.running', access: 'read', occurrence: 1 },
      () => {
        expect(made.timer.hvTimerInUse).toBe(true);
        made.interrupt();
        atCallback = stateOf(made);
      },
    );
    expect(atCallback).toEqual({ pending: 1, hvTimerInUse: true, hrtimerQueued: false });
    expect(result).toBe(true);
    expect(stateOf(made)).toEqual(EXPIRED_ONCE);
    const accesses = sites.map(({ access, cell, within }) => `${access} ${cell} in ${within}`);
    expect(accesses.slice(before - 1, before + 1)).toEqual([
      'write ApicTimer.hvTimerInUse in startHvTimer',
      'read Hrtimer.running in #callbackRuns',
    ]);
    expect(accesses.slice(-3)).toEqual([
      'read ApicTimer.pending in startHvTimer',
      'write ApicTimer.hvTimerInUse in #cancelHvTimer',
      'read ApicTimer.hvTimerInUse in #traceHvTimer',
    ]);
    expect(made.rig.events.at(-1)).toMatchObject({ name: 'kvm_hv_timer_state', event: { hvTimer: false } });
  });

  it('is waited for by the guest’s next write, which forgets that expiry and arms anew', () => {
    const made = blockedScene(production, 1);
    const next = BigInt(DEADLINE + 50_000);
    production.preemptedAt(
      production.preemptible(made.timer, 'setLapicTscdeadlineMsr', next, false),
      { cell: 'Hrtimer.running', access: 'read' },
      made.interrupt,
    );
    expect(made.timer.tscdeadline).toBe(next);
    expect(stateOf(made)).toEqual({ pending: 0, hvTimerInUse: true, hrtimerQueued: false });
  });
});

describe('an hrtimer that fires on its own CPU as soon as it is queued', () => {
  it('is found by the vCPU that is about to block', () => {
    const made = scene(production, 0);
    const { sites, before } = production.preemptedAt(
      production.preemptible(made.timer, 'startSwTimer'),
      { cell: 'ApicTimer.hvTimerInUse', within: '#traceHvTimer' },
      () => {
        expect(stateOf(made)).toEqual({ pending: 0, hvTimerInUse: false, hrtimerQueued: true });
        made.interrupt();
      },
    );
    expect(describeSite(sites[before - 1]!)).toContain('read Hrtimer.expires in #enqueue (src/host/hrtimer.ts:');
    expect(stateOf(made)).toEqual(EXPIRED_ONCE);
    expect(made.timer.hasPendingTimer()).toBe(true);
  });

  it('cannot fire there with interrupts off', () => {
    const made = scene(production, 0);
    made.rig.host.cpus[0]!.disableInterrupts();
    const start = () => production.preemptedAt(production.preemptible(made.timer, 'startSwTimer'), 5, made.interrupt);
    expect(start).toThrow('nothing can interrupt CPU 0, in vCPU 0, interrupts off');
  });
});

describe('a point that the code never reaches', () => {
  it('is an error that lists the accesses on the way', () => {
    const { timer } = scene(production, 0);
    const start = () =>
      production.preemptedAt(production.preemptible(timer, 'startHvTimer'), { cell: 'ApicTimer.periods' }, () => {});
    expect(start).toThrow(
      /never came to \{"cell":"ApicTimer.periods"\}[^]*read ApicTimer.pending in startHvTimer \(src/,
    );
  });
});

/** Each call flow that moves a deadline, with the moment at which it is called. */
const flows: {
  name: string;
  make: (code: Loaded) => Scene;
  start: (code: Loaded, made: Scene) => Generator<unknown, unknown, void>;
}[] = [
  {
    name: 'switch_to_hv_timer after a migration',
    make: (code) => blockedScene(code, 1),
    start: (code, { timer }) => code.preemptible(timer, 'switchToHvTimer'),
  },
  {
    name: 'WRMSR of a later deadline after a migration',
    make: (code) => blockedScene(code, 1),
    start: (code, { timer }) => code.preemptible(timer, 'setLapicTscdeadlineMsr', BigInt(DEADLINE + 50_000), false),
  },
  {
    name: 'WRMSR of 0 after a migration',
    make: (code) => blockedScene(code, 1),
    start: (code, { timer }) => code.preemptible(timer, 'setLapicTscdeadlineMsr', 0n, false),
  },
  {
    name: 'switch_to_sw_timer before blocking',
    make: (code) => scene(code, 0),
    start: (code, { timer }) => code.preemptible(timer, 'switchToSwTimer'),
  },
  {
    name: 'KVM_REQ_MIGRATE_TIMER',
    make: (code) => blockedScene(code, 1),
    start: (code, { timer }) => code.preemptible(timer, 'migrate'),
  },
];

/** Preempts a flow at each of its accesses in turn; the verdicts on those that end badly. */
function tryAll(code: Loaded, { make, start }: (typeof flows)[number]): { points: number; failures: string[] } {
  const points = code.accessesOf(start(code, make(code))).length;
  const failures = Array.from({ length: points }, (_, point) => {
    const made = make(code);
    const { sites, before } = code.preemptedAt(start(code, made), point, made.interrupt);
    const verdict = broken(made);
    return verdict === null ? [] : [`${verdict}: preempted before ${describeSite(sites[before]!)}`];
  });
  return { points, failures: failures.flat() };
}

describe.each(flows)('$name', (flow) => {
  it('keeps the deadline at every single preemption', () => {
    const { points, failures } = tryAll(production, flow);
    expect(points).toBeGreaterThan(3);
    expect(failures).toEqual([]);
  });
});

describe('without KVM’s second look at pending', () => {
  it('a deadline that fires meanwhile would be carried, and expire, twice', async () => {
    const careless = await load({
      file: 'src/hypervisor/timer.ts',
      from: /if \(this\.pending > 0\) this\.#cancelHvTimer\(\);\s*else/,
      to: '',
    });
    const { failures } = tryAll(careless, flows[0]!);
    expect(failures).toContainEqual(
      expect.stringMatching(/^the deadline has passed and will pass again: preempted before read Hrtimer.running/),
    );
  });
});
