import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { block, relax } from '../../src/host/sleep.ts';
import { SETTLE, SLICE, Host } from '../../src/host/host.ts';
import type { Sleep } from '../../src/host/sleep.ts';
import { callback, runHost, unitHost, worker } from './scripts.ts';

describe('the scheduler step', () => {
  it('always runs the CPU that is furthest behind, and the lower id when two are equal', () => {
    const host = unitHost(3);
    const seen: string[] = [];
    const spend = [
      [50, 50],
      [30, 100],
      [30, 10],
    ];
    spend.forEach((cycles, id) =>
      host.spawn(
        `t${id}`,
        host.cpus[id]!,
        worker(host, id, cycles, (now) => seen.push(`${id}@${now}`)),
      ),
    );
    expect(runHost(host)).toBe('idle');
    // All start at 1, after one context switch.
    expect(seen).toEqual(['1@31', '2@31', '2@41', '0@51', '0@101', '1@131']);
  });

  it('lets nobody see a time that lies before one seen earlier', () => {
    const script = fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.array(script, { minLength: 2, maxLength: 4 }), (spend) => {
        const host = unitHost(spend.length);
        const seen: number[] = [];
        spend.forEach((cycles, id) =>
          host.spawn(
            `t${id}`,
            host.cpus[id]!,
            worker(host, id, cycles, (now) => seen.push(now)),
          ),
        );
        runHost(host);
        expect(seen).toHaveLength(spend.flat().length);
        expect(seen).toEqual([...seen].sort((a, b) => a - b));
      }),
    );
  });

  it('does not change what happens when a thread only ends the step', () => {
    const run = (yields: (typeof SETTLE)[]): string[] => {
      const host = unitHost(2);
      const seen: string[] = [];
      const body = function* (id: number): Sleep<void> {
        for (let i = 0; i < 5; i++) {
          for (const request of yields) yield request;
          seen.push(`${id}@${host.cpus[id]!.now}`);
          host.cpus[id]!.now += 10 * (id + 1);
          yield SETTLE;
        }
      };
      for (const id of [0, 1]) host.spawn(`t${id}`, host.cpus[id]!, body(id));
      runHost(host);
      return seen;
    };
    expect(run([SLICE, SLICE, SLICE])).toEqual(run([]));
  });

  it('takes an event that lies in the past of a CPU at its position', () => {
    const host = unitHost(2);
    const arrived: number[] = [];
    const event = callback('late', () => arrived.push(host.thisCpu.now));
    const ahead = function* (): Sleep<void> {
      host.cpus[1]!.now = 5000;
      yield* relax('the other CPU');
    };
    const sender = function* (): Sleep<void> {
      host.cpus[0]!.now = 100;
      yield SETTLE;
      host.sendIpi(host.cpus[1]!, event);
    };
    host.spawn('ahead', host.cpus[1]!, ahead());
    host.spawn('sender', host.cpus[0]!, sender());
    runHost(host);
    // 5000, and one cycle of interrupt entry.
    expect(arrived).toEqual([5001]);
  });

  it('puts an idle CPU at its next event', () => {
    const host = unitHost(2);
    const at: number[] = [];
    host.cpus[1]!.events.insert(
      callback('tick', () => at.push(host.thisCpu.now)),
      700,
    );
    expect(host.horizon(host.cpus[0]!)).toBe(700);
    expect(runHost(host)).toBe('idle');
    expect(at).toEqual([701]);
  });

  it('says idle when nothing can ever happen again, and names what each thread waits for', () => {
    const host = unitHost(1);
    const body = function* (): Sleep<void> {
      yield* block('a message that nobody sends');
    };
    const thread = host.spawn('waiter', host.cpus[0]!, body());
    expect(runHost(host)).toBe('idle');
    expect(thread.state).toBe('blocked');
    expect(thread.waitsFor).toBe('a message that nobody sends');
  });

  it('does not go beyond stopAt, and goes on from there', () => {
    const host = unitHost(1);
    const seen: number[] = [];
    host.spawn(
      't',
      host.cpus[0]!,
      worker(host, 0, [100, 100, 100], (now) => seen.push(now)),
    );
    host.stopAt = 150;
    expect(runHost(host)).toBe('limit');
    expect(seen).toEqual([101]);
    host.stopAt = Infinity;
    expect(runHost(host)).toBe('idle');
    expect(seen).toEqual([101, 201, 301]);
  });

  it('refuses a host without CPUs and a quantum of nothing', () => {
    expect(() => new Host({ cpus: 0 })).toThrow('at least one CPU, not 0');
    expect(() => new Host({ cpus: 1, quantum: 0 })).toThrow('at least one whole cycle, not 0');
  });
});

describe('threads', () => {
  it('sleep until somebody wakes them; a CPU that idles is told by an IPI', () => {
    const host = unitHost(2);
    let woken = -1;
    const sleeper = host.spawn(
      'sleeper',
      host.cpus[1]!,
      (function* (): Sleep<void> {
        yield* block('the waker');
        woken = host.cpus[1]!.now;
      })(),
    );
    host.spawn(
      'waker',
      host.cpus[0]!,
      (function* (): Sleep<void> {
        host.cpus[0]!.now = 1000;
        yield SETTLE;
        expect(host.wakeUp(sleeper)).toBe(true);
        expect(host.wakeUp(sleeper)).toBe(false);
      })(),
    );
    expect(runHost(host)).toBe('idle');
    // Wake-up, sending and latency of the IPI, then on the other CPU the interrupt and a context switch.
    expect(woken).toBe(1000 + 1 + 1 + 1 + 1 + 1);
  });

  it('wake by themselves at the limit of a block', () => {
    const host = unitHost(1);
    let woken = -1;
    host.spawn(
      'sleeper',
      host.cpus[0]!,
      (function* (): Sleep<void> {
        yield* block('a limit', 500);
        woken = host.cpus[0]!.now;
      })(),
    );
    runHost(host);
    expect(woken).toBe(502);
  });

  it('share a CPU in turns when they relax', () => {
    const host = unitHost(1);
    const seen: string[] = [];
    const body = function* (name: string): Sleep<void> {
      for (let i = 0; i < 2; i++) {
        seen.push(name);
        yield* relax('a turn');
      }
    };
    for (const name of ['a', 'b']) host.spawn(name, host.cpus[0]!, body(name));
    runHost(host);
    expect(seen).toEqual(['a', 'b', 'a', 'b']);
  });

  it('may not sleep with interrupts or preemption off: the error names both ends', () => {
    for (const forbid of ['disableInterrupts', 'disablePreemption'] as const) {
      const host = unitHost(1);
      host.spawn(
        'culprit',
        host.cpus[0]!,
        (function* (): Sleep<void> {
          host.cpus[0]![forbid]();
          yield* block('a mutex');
        })(),
      );
      expect(() => runHost(host)).toThrow(/waiting for a mutex.*CPU 0, in culprit, (interrupts|preemption) off/);
    }
  });

  it('leave a CPU with interrupts and preemption on, even when they are killed without them', () => {
    const host = unitHost(2);
    const cpu = host.cpus[1]!;
    const victim = host.spawn(
      'victim',
      cpu,
      (function* (): Sleep<void> {
        cpu.disablePreemption();
        cpu.disableInterrupts();
        for (;;) yield SETTLE;
      })(),
    );
    host.spawn(
      'killer',
      host.cpus[0]!,
      (function* (): Sleep<void> {
        host.cpus[0]!.now += 100;
        yield SETTLE;
        host.kill(victim);
      })(),
    );
    cpu.now = 200;
    expect(runHost(host)).toBe('idle');
    expect(victim.state).toBe('finished');
    expect([cpu.interruptsEnabled, cpu.preemptCount, cpu.thread]).toEqual([true, 0, null]);
  });

  it('take interrupts where these are on, and not before', () => {
    const host = unitHost(1);
    const seen: string[] = [];
    const cpu = host.cpus[0]!;
    cpu.events.insert(
      callback('irq', () => seen.push('irq')),
      5,
    );
    host.spawn(
      't',
      cpu,
      (function* (): Sleep<void> {
        cpu.disableInterrupts();
        cpu.now = 10;
        yield SETTLE;
        seen.push('still off');
        cpu.enableInterrupts();
        seen.push('on');
      })(),
    );
    runHost(host);
    expect(seen).toEqual(['still off', 'irq', 'on']);
  });
});
