import { describe, expect, it } from 'vitest';
import { Hrtimer, type HrtimerOwner, type HrtimerRestart } from '../../src/host/hrtimer.ts';
import { runHost, unitHost } from './scripts.ts';

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
});
