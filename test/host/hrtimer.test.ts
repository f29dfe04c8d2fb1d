import { describe, expect, it } from 'vitest';
import { COST } from '../../src/host/costs.ts';
import { SETTLE } from '../../src/host/host.ts';
import { Hrtimer, type HrtimerMode, type HrtimerOwner, type HrtimerRestart } from '../../src/host/hrtimer.ts';
import type { Sleep } from '../../src/host/sleep.ts';
import { callback, runHost, unitHost } from './scripts.ts';

/** An owner that notes when its timer fired, and answers what the test says. */
class Owner implements HrtimerOwner {
  readonly name = 'owner';
  readonly fired: number[] = [];
  answer: (timer: Hrtimer) => HrtimerRestart = () => 'norestart';
  onHrtimer(timer: Hrtimer): HrtimerRestart {
    this.fired.push(timer.host.thisCpu.now);
    return this.answer(timer);
  }
}

const rig = () => {
  const host = unitHost(2);
  const owner = new Owner();
  return { host, owner, timer: new Hrtimer(host, owner, 'tick') };
};

describe('hrtimers', () => {
  it('fire once, in hard interrupt context, on the CPU that started them', () => {
    const { host, owner, timer } = rig();
    host.thisCpu = host.cpus[1]!;
    owner.answer = () => {
      expect(host.thisCpu.id).toBe(1);
      expect(host.thisCpu.hardirq?.kind).toBe('tick');
      return 'norestart';
    };
    timer.start(100);
    expect(timer.active).toBe(true);
    expect(runHost(host)).toBe('idle');
    expect(owner.fired).toEqual([101]);
    expect(timer.active).toBe(false);
  });

  it('fire at once when the expiry has passed', () => {
    const { host, owner, timer } = rig();
    host.cpus[0]!.now = 500;
    timer.start(100);
    runHost(host);
    expect(owner.fired[0]).toBeGreaterThan(500);
    expect(owner.fired).toHaveLength(1);
  });

  it('never fire at an expiry beyond all positions, however late', () => {
    const { host, owner, timer } = rig();
    timer.start(2 ** 63);
    expect(timer.active).toBe(true);
    expect(runHost(host)).toBe('idle');
    expect(owner.fired).toEqual([]);
  });

  it('replace an earlier start', () => {
    const { host, owner, timer } = rig();
    timer.start(100);
    timer.start(300);
    runHost(host);
    expect(owner.fired).toEqual([301]);
  });

  it('tell whether a cancel found them queued', () => {
    const { host, owner, timer } = rig();
    expect(timer.cancel()).toBe(false);
    timer.start(100);
    expect(timer.cancel()).toBe(true);
    expect(runHost(host)).toBe('idle');
    expect(owner.fired).toEqual([]);
  });

  it('go on when their callback moves the expiry and answers restart', () => {
    const { host, owner, timer } = rig();
    owner.answer = (t) => {
      t.expires += 100;
      return owner.fired.length < 3 ? 'restart' : 'norestart';
    };
    timer.start(100);
    runHost(host);
    expect(owner.fired).toEqual([101, 201, 301]);
  });

  it('go on when their callback starts them anew', () => {
    const { host, owner, timer } = rig();
    owner.answer = (t) => {
      if (owner.fired.length === 1) t.start(250);
      return 'norestart';
    };
    timer.start(100);
    runHost(host);
    expect(owner.fired).toEqual([101, 251]);
  });

  it('may not restart at an expiry that has passed', () => {
    const { host, owner, timer } = rig();
    owner.answer = () => 'restart';
    timer.start(100);
    expect(() => runHost(host)).toThrow("owner tick answered 'restart' without moving its expiry beyond 100");
  });

  it('may not be cancelled by their own callback, which would wait for itself', () => {
    const { host, owner, timer } = rig();
    owner.answer = (t) => {
      expect(t.tryToCancel()).toBeNull();
      t.cancel();
      return 'norestart';
    };
    timer.start(100);
    expect(() => runHost(host)).toThrow(
      /hrtimer_cancel of owner tick from its own callback.*CPU 0, in the hard interrupt "tick"/,
    );
  });

  it('are found running by another CPU until the position at which their callback ends, and cancel waits until then', () => {
    for (const sleeps of [false, true]) {
      const { host, owner, timer } = rig();
      const seen: unknown[] = [];
      owner.answer = (t) => {
        host.thisCpu.now += 300;
        t.expires += 5000;
        return 'restart';
      };
      timer.start(100);
      const canceller = function* (): Sleep<void> {
        const cpu = host.cpus[1]!;
        cpu.now = 200;
        yield SETTLE;
        seen.push(timer.tryToCancel());
        seen.push(sleeps ? yield* timer.cancelAndWait() : timer.cancel());
        seen.push(cpu.now);
      };
      host.spawn('canceller', host.cpus[1]!, canceller());
      expect(runHost(host)).toBe('idle');
      // The callback began at 101; programming of the next expiry is not part of it.
      expect(seen).toEqual([null, true, 402]);
      expect(owner.fired).toEqual([101]);
    }
  });

  it('share one interrupt when several are due, and the hardware is programmed for the first', () => {
    const { host, owner } = rig();
    const cpu = host.cpus[0]!;
    for (const expires of [300, 100, 100, 200]) new Hrtimer(host, owner, `at ${expires}`).start(expires);
    // 300 first, then 100, which comes earlier; the others come behind.
    expect(cpu.charged[COST.timerProgram]).toBe(2);
    runHost(host);
    expect(cpu.charged[COST.hardirq]).toBe(3);
    expect(owner.fired).toHaveLength(4);
  });
});

describe('soft hrtimers', () => {
  it('run their callbacks after the hard ones, with interrupts on, and these can come on top', () => {
    const { host, owner } = rig();
    const cpu = host.cpus[0]!;
    const log: string[] = [];
    const timer = (name: string, mode: HrtimerMode, expires: number) =>
      new Hrtimer(
        host,
        {
          name,
          onHrtimer: () => {
            log.push(`${name}: ${cpu.describe()}`);
            if (mode === 'soft') cpu.now = 200;
            return owner.answer(undefined!);
          },
        },
        'timer',
        mode,
      ).start(expires);
    timer('s1', 'soft', 100);
    timer('s2', 'soft', 100);
    timer('h1', 'hard', 100);
    timer('h2', 'hard', 150);
    expect(runHost(host)).toBe('idle');
    expect(log).toEqual([
      'h1: CPU 0, in the hard interrupt "timer" of h1 timer',
      's1: CPU 0, in the softirq callback "timer" of s1 timer',
      'h2: CPU 0, in the hard interrupt "timer" of h2 timer',
      's2: CPU 0, in the softirq callback "timer" of s2 timer',
    ]);
    expect(cpu.charged[COST.softirq]).toBe(1);
    expect([cpu.softirq, cpu.preemptCount, cpu.interruptsEnabled]).toEqual([null, 0, true]);
  });

  it('restart, and can be cancelled while they wait', () => {
    const { host, owner } = rig();
    const timer = new Hrtimer(host, owner, 'soft', 'soft');
    owner.answer = (t) => {
      t.expires += 100;
      return owner.fired.length < 2 ? 'restart' : 'norestart';
    };
    timer.start(100);
    runHost(host);
    expect(owner.fired.map((at) => Math.floor(at / 100))).toEqual([1, 2]);
    timer.start(1000);
    expect(timer.cancel()).toBe(true);
    expect(runHost(host)).toBe('idle');
    expect(owner.fired).toHaveLength(2);
  });

  it('may not be cancelled by an interrupt on top of their callback', () => {
    const { host, owner } = rig();
    const timer = new Hrtimer(host, owner, 'soft', 'soft');
    owner.answer = () => {
      host.thisCpu.events.insert(
        callback('irq', () => timer.cancel()),
        0,
      );
      host.thisCpu.enableInterrupts();
      return 'norestart';
    };
    timer.start(100);
    expect(() => runHost(host)).toThrow(
      /cancel of owner soft from its own callback.*CPU 0, in the hard interrupt "irq"/,
    );
  });
});
