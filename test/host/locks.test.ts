import { describe, expect, it } from 'vitest';
import { LockClass } from '../../src/host/lockUsage.ts';
import { Mutex } from '../../src/host/mutex.ts';
import { SETTLE, type Host } from '../../src/host/host.ts';
import { compute } from '../../src/host/compute.ts';
import { block, type Sleep } from '../../src/host/sleep.ts';
import { Spinlock } from '../../src/host/spinlock.ts';
import { Hrtimer } from '../../src/host/hrtimer.ts';
import { callback, runHost, unitHost } from './scripts.ts';

/** A thread on CPU `id` that does one thing once its position is `at`. */
function at(host: Host, id: number, position: number, act: () => void): void {
  const body = function* (): Sleep<void> {
    const cpu = host.cpus[id]!;
    cpu.now = Math.max(cpu.now, position);
    yield SETTLE;
    act();
  };
  host.spawn(`thread ${id}@${position}`, host.cpus[id]!, body());
}

const interrupt = (host: Host, id: number, position: number, act: () => void) =>
  host.cpus[id]!.events.insert(callback('irq', act), position);

describe('spinlocks', () => {
  it('keep preemption off, and make another CPU spin until the position of the unlock', () => {
    const host = unitHost(2);
    const lock = new Spinlock(host, 'lock');
    const seen: number[] = [];
    at(host, 0, 10, () => {
      lock.lock();
      expect(host.thisCpu.preemptCount).toBe(1);
      host.thisCpu.now = 200;
      lock.unlock();
      expect(host.thisCpu.preemptCount).toBe(0);
    });
    at(host, 1, 20, () => {
      expect(lock.tryLock()).toBe(false);
      lock.lock();
      seen.push(host.thisCpu.now);
      lock.unlock();
    });
    runHost(host);
    expect(seen).toEqual([201]);
  });

  it('may not be taken twice: the error names the holder and who wants it', () => {
    const host = unitHost(1);
    const lock = new Spinlock(host, 'lock');
    at(host, 0, 10, () => {
      lock.lock();
      lock.lock();
    });
    expect(() => runHost(host)).toThrow(
      /CPU 0, in thread 0@10, preemption off, holding lock .*: takes lock again.*held by thread 0@10 on CPU 0 since cycle 10/,
    );
  });

  it('may not be unlocked by another CPU, or when nobody holds them', () => {
    const host = unitHost(2);
    const lock = new Spinlock(host, 'lock');
    at(host, 0, 10, () => lock.lock());
    at(host, 1, 20, () => lock.unlock());
    expect(() => runHost(host)).toThrow(
      'CPU 1, in thread 1@20: unlocks lock, which is held by thread 0@10 on CPU 0 since cycle 10',
    );
    expect(() => new Spinlock(host, 'other').unlock()).toThrow('unlocks other, which nobody holds');
  });

  it('may not be held over a yield when another CPU wants them', () => {
    const host = unitHost(2);
    const lock = new Spinlock(host, 'lock');
    const holder = function* (): Sleep<void> {
      lock.lock();
      yield* compute(host, 500);
      lock.unlock();
    };
    host.spawn('holder', host.cpus[0]!, holder());
    at(host, 1, 100, () => lock.lock());
    expect(() => runHost(host)).toThrow(
      /CPU 1, in thread 1@100: spins for lock, whose holder yielded with it held: holder on CPU 0/,
    );
  });

  it('may not be taken in a hard interrupt and with interrupts on, in whichever order, on whichever CPU', () => {
    for (const [threadAt, interruptAt] of [
      [10, 500],
      [500, 10],
    ] as const) {
      const host = unitHost(2);
      const lockClass = new LockClass('the class');
      const locks = [0, 1].map((id) => new Spinlock(host, `lock ${id}`, lockClass));
      const use = (lock: Spinlock) => {
        lock.lock();
        lock.unlock();
      };
      at(host, 0, threadAt, () => use(locks[0]!));
      interrupt(host, 1, interruptAt, () => use(locks[1]!));
      expect(() => runHost(host)).toThrow(/inconsistent use of the class: .*take it with lockIrqsave/);
      expect(() => use(locks[0]!)).toThrow(/in the hard interrupt "irq" of test/);
    }
  });

  it('may not be taken in a softirq and with interrupts on', () => {
    const host = unitHost(1);
    const lock = new Spinlock(host, 'lock');
    const use = () => {
      lock.lock();
      lock.unlock();
      return 'norestart' as const;
    };
    new Hrtimer(host, { name: 'owner', onHrtimer: use }, 'soft one', 'soft').start(20);
    at(host, 0, 10, use);
    expect(() => runHost(host)).toThrow(
      'inconsistent use of lock: taken by CPU 0, in the softirq callback "soft one" of owner soft one, and before with interrupts on by CPU 0, in thread 0@10;',
    );
  });

  it('may be shared with interrupts by lockIrqsave, which takes what is due afterwards', () => {
    const host = unitHost(1);
    const lock = new Spinlock(host, 'lock');
    const seen: string[] = [];
    interrupt(host, 0, 50, () => {
      const flags = lock.lockIrqsave();
      seen.push('interrupt');
      lock.unlockIrqrestore(flags);
    });
    at(host, 0, 10, () => {
      const flags = lock.lockIrqsave();
      host.thisCpu.now = 100;
      seen.push('thread');
      lock.unlockIrqrestore(flags);
    });
    expect(runHost(host)).toBe('idle');
    expect(seen).toEqual(['thread', 'interrupt']);
  });

  it('forbid to sleep: the error names what is held since where', () => {
    const host = unitHost(1);
    const lock = new Spinlock(host, 'lock');
    const body = function* (): Sleep<void> {
      lock.lock();
      yield* new Mutex(host, 'mutex').lock();
    };
    host.spawn('culprit', host.cpus[0]!, body());
    expect(() => runHost(host)).toThrow(
      'a thread sleeps (waiting for mutex) where it must not: CPU 0, in culprit, preemption off, holding lock (held by culprit on CPU 0 since cycle 1)',
    );
  });
});

describe('mutexes', () => {
  const user = function* (host: Host, mutex: Mutex, name: string, log: string[]): Sleep<void> {
    yield* mutex.lock();
    log.push(`${name} has it`);
    yield* block('something else', host.thisCpu.now + 100);
    log.push(`${name} is done`);
    mutex.unlock();
  };

  it('are held over a sleep, one thread after the other, in the order in which these came', () => {
    const host = unitHost(3);
    const mutex = new Mutex(host, 'mutex');
    const log: string[] = [];
    for (const { id } of host.cpus) host.spawn(`t${id}`, host.cpus[id]!, user(host, mutex, `t${id}`, log));
    expect(runHost(host)).toBe('idle');
    expect(log).toEqual([0, 1, 2].flatMap((id) => [`t${id} has it`, `t${id} is done`]));
    expect(mutex.owner).toBeNull();
  });

  it('tell who waits for whom when nothing can happen any more', () => {
    const host = unitHost(2);
    const [a, b] = [new Mutex(host, 'a'), new Mutex(host, 'b')];
    const both = function* (first: Mutex, second: Mutex): Sleep<void> {
      yield* first.lock();
      yield* compute(host, 10);
      yield* second.lock();
    };
    host.spawn('x', host.cpus[0]!, both(a, b));
    host.spawn('y', host.cpus[1]!, both(b, a));
    expect(runHost(host)).toBe('idle');
    expect(host.threads.map(({ waitsFor }) => waitsFor)).toEqual([
      'b, held by y on CPU 1 since cycle 1',
      'a, held by x on CPU 0 since cycle 1',
    ]);
  });

  it.each([
    ['taken twice', (m: Mutex) => m.lock(), /in culprit: takes mutex again.*held by culprit on CPU 0/],
    ['kept at the end of a thread', function* (): Sleep<void> {}, /culprit ended and still holds mutex/],
  ])('may not be %s', (_, then, message) => {
    const host = unitHost(1);
    const mutex = new Mutex(host, 'mutex');
    const body = function* (): Sleep<void> {
      yield* mutex.lock();
      yield* then(mutex);
    };
    host.spawn('culprit', host.cpus[0]!, body());
    expect(() => runHost(host)).toThrow(message);
  });

  it('may not be unlocked by another thread, nor tried in an interrupt', () => {
    const host = unitHost(2);
    const mutex = new Mutex(host, 'mutex');
    const owner = function* (): Sleep<void> {
      yield* mutex.lock();
      yield* block('ever');
    };
    host.spawn('owner', host.cpus[0]!, owner());
    at(host, 1, 20, () => mutex.unlock());
    expect(() => runHost(host)).toThrow(
      'CPU 1, in thread 1@20: unlocks mutex, which is held by owner on CPU 0 since cycle 1',
    );
    interrupt(host, 0, 50, () => mutex.tryLock());
    expect(() => runHost(host)).toThrow(
      /in the hard interrupt "irq" of test: only a thread can own mutex, held by owner/,
    );
  });

  it('may not be taken in an interrupt, by whatever trick', () => {
    const host = unitHost(1);
    const mutex = new Mutex(host, 'mutex');
    interrupt(host, 0, 5, () => void mutex.lock().next());
    expect(() => runHost(host)).toThrow(
      /waiting for mutex\) where it must not: CPU 0, in the hard interrupt "irq" of test/,
    );
  });
});
