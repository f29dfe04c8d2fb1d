import { describe, expect, it } from 'vitest';
import { compute } from '../../src/host/compute.ts';
import type { PhysicalCpu } from '../../src/host/cpu.ts';
import { Host, RESCHED } from '../../src/host/host.ts';
import { block, relax, type Sleep } from '../../src/host/sleep.ts';
import type { PreemptNotifier, Thread } from '../../src/host/thread.ts';
import { COST_MODELS } from '../../src/host/costs.ts';
import { callback, runHost } from './scripts.ts';

const SLICE = 100;

const slicedHost = (cpus: number): Host => new Host({ cpus, costs: COST_MODELS.unit, slice: SLICE });

/** Notes each of its thread's switches, with the position. */
function notifier(host: Host, name: string, log: string[]): PreemptNotifier {
  return {
    schedIn: (cpu: PhysicalCpu) => log.push(`${name} in ${cpu.id}@${cpu.now}`),
    schedOut: (next: Thread | null) => log.push(`${name} out @${host.thisCpu.now} next ${next?.name ?? 'nobody'}`),
  };
}

describe('threads that share a CPU', () => {
  it('take turns of a slice', () => {
    const host = slicedHost(1);
    const log: string[] = [];
    for (const name of ['a', 'b']) {
      const thread = host.spawn(name, host.cpus[0]!, compute(host, 150));
      thread.registerPreemptNotifier(notifier(host, name, log));
    }
    expect(runHost(host)).toBe('idle');
    // One cycle each for the tick and for the switch. `a` was switched in before it had a notifier; its second turn ends early.
    expect(log).toEqual(['a out @102 next b', 'b in 0@103', 'b out @204 next a', 'a in 0@205', 'b in 0@256']);
  });

  it('are not disturbed by a tick while nobody waits', () => {
    const host = slicedHost(2);
    for (const cpu of host.cpus) host.spawn(`t${cpu.id}`, cpu, compute(host, 1000));
    runHost(host);
    expect(host.cpus.map(({ now }) => now)).toEqual([1001, 1001]);
  });

  it('keep the CPU while preemption is off, and lose it where it is on again', () => {
    const host = slicedHost(1);
    const cpu = host.cpus[0]!;
    const log: string[] = [];
    const stubborn = function* (): Sleep<void> {
      cpu.disablePreemption();
      yield* compute(host, 250);
      log.push(`stubborn until ${cpu.now}, need_resched ${cpu.needResched}`);
      cpu.enablePreemption();
      if (cpu.needResched) yield RESCHED;
      log.push('stubborn again');
    };
    const other = function* (): Sleep<void> {
      log.push('other');
      yield* compute(host, 1);
    };
    host.spawn('stubborn', cpu, stubborn());
    host.spawn('other', cpu, other());
    runHost(host);
    expect(log).toEqual(['stubborn until 252, need_resched true', 'other', 'stubborn again']);
  });

  it('let a woken thread preempt at the next preemption point, and then go on with their slice', () => {
    const host = slicedHost(1);
    const cpu = host.cpus[0]!;
    const log: string[] = [];
    const sleeper = function* (): Sleep<void> {
      yield* block('the interrupt');
      log.push(`sleeper @${cpu.now}`);
    };
    const busy = function* (name: string): Sleep<void> {
      yield* compute(host, 60);
      log.push(`${name} @${cpu.now}`);
    };
    const thread = host.spawn('sleeper', cpu, sleeper());
    for (const name of ['a', 'b']) host.spawn(name, cpu, busy(name));
    cpu.events.insert(
      callback('wake', () => host.wakeUp(thread)),
      30,
    );
    runHost(host);
    // Interrupt, wake-up, switch.
    expect(log).toEqual(['sleeper @33', 'a @66', 'b @127']);
  });

  it('cannot be starved by threads that wake each other', () => {
    const host = slicedHost(1);
    const cpu = host.cpus[0]!;
    const pair: Thread[] = [];
    let rounds = 0;
    let roundsBefore = -1;
    const ping = function* (other: number): Sleep<void> {
      while (roundsBefore < 0) {
        rounds++;
        host.wakeUp(pair[other]!);
        yield* compute(host, 5);
        yield* block('the other');
      }
    };
    const modest = function* (): Sleep<void> {
      yield* compute(host, 50);
      roundsBefore = rounds;
    };
    for (const id of [0, 1]) pair.push(host.spawn(`ping ${id}`, cpu, ping(1 - id)));
    host.spawn('modest', cpu, modest());
    runHost(host);
    expect(roundsBefore).toBeGreaterThan(0);
    expect(roundsBefore).toBeLessThan(50);
  });
});

describe('preempt notifiers', () => {
  it('are called out, then in, and only when the thread really changes', () => {
    const host = slicedHost(1);
    const log: string[] = [];
    const body = function* (): Sleep<void> {
      yield* relax('nobody else is there');
      yield* block('a limit', 50);
    };
    const thread = host.spawn('t', host.cpus[0]!, body());
    const notes = notifier(host, 't', log);
    thread.registerPreemptNotifier(notes);
    runHost(host);
    expect(log).toEqual(['t out @1 next nobody', 't in 0@52']);
    thread.unregisterPreemptNotifier(notes);
    expect(thread.preemptNotifiers).toEqual([]);
  });

  it('can tell a preempted thread from one that sleeps', () => {
    const host = slicedHost(1);
    const states: string[] = [];
    const body = function* (): Sleep<void> {
      yield* compute(host, 150);
      yield* block('ever');
    };
    const thread = host.spawn('t', host.cpus[0]!, body());
    host.spawn('other', host.cpus[0]!, compute(host, 10));
    thread.registerPreemptNotifier({ schedIn: () => {}, schedOut: () => states.push(thread.state) });
    runHost(host);
    expect(states).toEqual(['runnable', 'blocked']);
  });
});

describe('placement', () => {
  const sleeper = function* (host: Host, log: string[]): Sleep<void> {
    yield* block('the waker', 500);
    log.push(`on CPU ${host.thisCpu.id} @${host.thisCpu.now}`);
  };

  it('wakes a thread on an idle CPU of its affinity, on the last one when all are busy', () => {
    for (const [busy, where] of [
      [[0], 1],
      [[0, 1], 0],
    ] as const) {
      const host = slicedHost(2);
      const log: string[] = [];
      host.spawn('sleeper', host.cpus[0]!, sleeper(host, log), { affinity: host.cpus });
      for (const id of busy) host.spawn(`busy ${id}`, host.cpus[id]!, compute(host, 5000));
      runHost(host);
      expect(log).toEqual([expect.stringContaining(`on CPU ${where} @`)]);
    }
  });

  it('lets no thread that moves go back in time', () => {
    const host = slicedHost(2);
    const seen: number[] = [];
    const body = function* (): Sleep<void> {
      for (let i = 0; i < 4; i++) {
        yield* compute(host, 70);
        seen.push(host.thisCpu.now);
        host.scheduler.setAffinity(thread, [host.cpus[(i + 1) % 2]!]);
        yield RESCHED;
        expect(host.thisCpu.id).toBe((i + 1) % 2);
      }
    };
    const thread = host.spawn('nomad', host.cpus[0]!, body());
    runHost(host);
    expect(seen).toHaveLength(4);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it('moves a waiting thread at once, and a blocked one when it wakes', () => {
    const host = slicedHost(2);
    const log: string[] = [];
    host.spawn('busy', host.cpus[0]!, compute(host, 1000));
    const waiting = host.spawn('waiting', host.cpus[0]!, compute(host, 10));
    const blocked = host.spawn('blocked', host.cpus[1]!, sleeper(host, log));
    host.stopAt = 50;
    expect(runHost(host)).toBe('limit');
    host.stopAt = Infinity;
    host.scheduler.setAffinity(waiting, [host.cpus[1]!]);
    host.scheduler.setAffinity(blocked, [host.cpus[0]!]);
    runHost(host);
    expect(waiting.cpu.id).toBe(1);
    expect(waiting.state).toBe('finished');
    expect(log).toEqual([expect.stringContaining('on CPU 0 @')]);
  });

  it('runs more threads than there are CPUs, all to their end', () => {
    const host = slicedHost(2);
    const threads = [0, 1, 2, 3, 4].map((id) =>
      host.spawn(`t${id}`, host.cpus[id % 2]!, compute(host, 777), { affinity: host.cpus }),
    );
    expect(runHost(host)).toBe('idle');
    expect(threads.map(({ state }) => state)).toEqual(threads.map(() => 'finished'));
  });

  it('refuses a thread that may run nowhere, or not where it starts', () => {
    const host = slicedHost(2);
    const [first, second] = host.cpus;
    expect(() => host.spawn('t', first!, compute(host, 1), { affinity: [] })).toThrow(
      't must be allowed to run somewhere',
    );
    expect(() => host.spawn('t', first!, compute(host, 1), { affinity: [second!] })).toThrow(
      't starts on CPU 0, where it may not run',
    );
  });
});

it('a run does not depend on how it is cut', () => {
  const run = (step: number): string[] => {
    const host = slicedHost(2);
    const log: string[] = [];
    for (let id = 0; id < 5; id++) {
      const name = `t${id}`;
      const thread = host.spawn(name, host.cpus[id % 2]!, compute(host, 321), { affinity: host.cpus });
      thread.registerPreemptNotifier(notifier(host, name, log));
    }
    for (host.stopAt = step; runHost(host) === 'limit'; host.stopAt += step);
    return log;
  };
  expect(run(7)).toEqual(run(Infinity));
});
