// The LAPIC timer: the table of modes row by row, the countdown's arithmetic, and who is told what (SDM vol. 3, 11.5.4;
// Linux lapic.c). Host TSC 2.5 GHz, APIC bus 1 GHz: one count at divide 1 is 2.5 cycles.
import { describe, expect, it } from 'vitest';
import {
  countToCycles,
  cyclesToCount,
  divideCount,
  microsecondsToCycles,
} from '../../src/hypervisor/lapic/busClock.ts';
import { KVM_REQ } from '../../src/hypervisor/requests.ts';
import { X2APIC_MSR as MSR } from '../../src/x86/names/msrs.ts';
import { Rig, TSC_OFFSET, type RigOptions, type RigVcpu } from './lapicRig.ts';

const VECTOR = 0xec;
const ONESHOT = 0;
const PERIODIC = 1 << 17;
const DEADLINE = 2 << 17;
const MASKED = 1 << 16;
const DIVIDE_1 = 0xb;

/** A vCPU with its timer in a mode, divide 1. */
function setUp(mode: number, options: RigOptions = {}) {
  const rig = new Rig(options);
  const vcpu: RigVcpu = rig.vcpus[0]!;
  const { timer } = vcpu.lapic;
  vcpu.write(MSR.TDCR, DIVIDE_1);
  vcpu.write(MSR.LVT_TIMER, mode | VECTOR);
  const t0 = rig.time;
  return {
    rig,
    vcpu,
    timer,
    t0,
    /** WRMSR of TSC_DEADLINE, by host cycles from the start. */
    arm: (at: number) => timer.setLapicTscdeadlineMsr(BigInt(t0 + at) + TSC_OFFSET),
    /** Lets time pass with the run loop coming by after each expiry; returns when interrupts were taken. */
    run: (to: number) => {
      vcpu.taken.length = 0;
      rig.advanceTo(t0 + to, () => vcpu.runLoop());
      vcpu.runLoop();
      return vcpu.taken.map(({ tsc }) => Number(tsc - TSC_OFFSET) - t0);
    },
  };
}

describe('TSC-deadline mode', () => {
  it('fires exactly at the deadline, once, and the MSR reads 0 afterwards', () => {
    const { timer, arm, run, vcpu } = setUp(DEADLINE);
    arm(1000);
    expect(timer.getLapicTscdeadlineMsr()).toBe(TSC_OFFSET + 11_000n);
    expect(vcpu.armedAt).toBe(11_000);
    expect(run(999)).toEqual([]);
    expect(run(5000)).toEqual([1000]);
    expect(timer.getLapicTscdeadlineMsr()).toBe(0n);
    expect(run(100_000)).toEqual([]);
  });

  it('the MSR keeps its value from expiry until the interrupt is injected', () => {
    const { timer, arm, rig, t0, vcpu } = setUp(DEADLINE);
    arm(1000);
    rig.advanceTo(t0 + 2000);
    expect([timer.pending, timer.getLapicTscdeadlineMsr()]).toEqual([1, TSC_OFFSET + 11_000n]);
    expect(timer.expiredTscdeadline).toBe(TSC_OFFSET + 11_000n);
    vcpu.runLoop();
    expect([timer.pending, timer.getLapicTscdeadlineMsr(), vcpu.taken.length]).toEqual([0, 0n, 1]);
  });

  it.each([0, -1, -10_000])('a deadline %i cycles from now fires at once, without an hrtimer', (at) => {
    const { arm, vcpu, timer } = setUp(DEADLINE);
    arm(at);
    expect([vcpu.armedAt, timer.pending, vcpu.kicks]).toEqual([null, 1, 0]);
    expect(vcpu.requests.test(KVM_REQ.UNBLOCK)).toBe(true);
    vcpu.runLoop();
    expect(vcpu.taken.map(({ vector }) => vector)).toEqual([VECTOR]);
  });

  it('0 disarms, and withdraws an expiry that was not injected yet, but no vector that was', () => {
    const { arm, run, timer, rig, t0, vcpu } = setUp(DEADLINE);
    arm(1000);
    timer.setLapicTscdeadlineMsr(0n);
    expect(vcpu.armedAt).toBe(null);
    expect(run(2000)).toEqual([]);
    arm(3000);
    rig.advanceTo(t0 + 4000);
    expect(timer.pending).toBe(1);
    timer.setLapicTscdeadlineMsr(0n);
    expect(run(5000)).toEqual([]);
    arm(6000);
    rig.advanceTo(t0 + 6000);
    timer.injectApicTimerIrqs();
    timer.setLapicTscdeadlineMsr(0n);
    expect(run(7000)).toHaveLength(1);
  });

  it('a later write replaces an earlier one, in both directions', () => {
    const { arm, run } = setUp(DEADLINE);
    arm(1000);
    arm(5000);
    arm(3000);
    expect(run(10_000)).toEqual([3000]);
  });

  it('a write of TMICT is ignored; TMICT and TMCCT read 0', () => {
    const { arm, run, vcpu } = setUp(DEADLINE);
    arm(1000);
    expect(vcpu.write(MSR.TMICT, 77)).toBe(true);
    expect([vcpu.read(MSR.TMICT), vcpu.read(MSR.TMCCT)]).toEqual([0n, 0n]);
    expect(run(5000)).toEqual([1000]);
  });

  it('a deadline beyond every clock is armed as far as clocks go', () => {
    const { timer, vcpu, run } = setUp(DEADLINE);
    timer.setLapicTscdeadlineMsr(2n ** 64n - 1n);
    expect(vcpu.armedAt).toBe(Number.MAX_SAFE_INTEGER);
    expect(timer.getLapicTscdeadlineMsr()).toBe(2n ** 64n - 1n);
    expect(run(1e12)).toEqual([]);
  });

  it('a moved TSC moves the expiry', () => {
    const { arm, vcpu, timer, t0 } = setUp(DEADLINE);
    arm(1000);
    const offset = vcpu.guestTsc.bind(vcpu);
    vcpu.guestTsc = () => offset() + 300n;
    timer.tscMoved();
    expect(vcpu.armedAt).toBe(t0 + 700);
  });

  it('follows its vCPU to another physical CPU unchanged', () => {
    const { arm, run, timer, vcpu } = setUp(DEADLINE);
    timer.migrate();
    expect(vcpu.armedAt).toBe(null);
    arm(1000);
    timer.migrate();
    expect(run(2000)).toEqual([1000]);
  });
});

describe('outside TSC-deadline mode', () => {
  it.each([
    ['one-shot', setUp(ONESHOT)],
    ['periodic', setUp(PERIODIC)],
    ['the reserved mode', setUp(PERIODIC | DEADLINE)],
  ])('%s: the MSR ignores writes and reads 0', (_, { timer, arm, vcpu }) => {
    arm(1000);
    expect([timer.getLapicTscdeadlineMsr(), timer.tscdeadline, vcpu.armedAt]).toEqual([0n, 0n, null]);
  });

  it('a disabled APIC: likewise', () => {
    const { timer, arm, vcpu } = setUp(DEADLINE);
    vcpu.lapic.writeBase(0xfee00000n);
    arm(1000);
    expect([timer.getLapicTscdeadlineMsr(), vcpu.armedAt]).toEqual([0n, null]);
  });
});

describe('changes of LVTT', () => {
  it.each([
    ['one-shot', ONESHOT],
    ['periodic', PERIODIC],
  ])('deadline -> %s disarms everything', (_, mode) => {
    const { arm, run, vcpu, timer } = setUp(DEADLINE);
    arm(1000);
    vcpu.write(MSR.LVT_TIMER, mode | VECTOR);
    expect([vcpu.armedAt, timer.tscdeadline, vcpu.read(MSR.TMICT), timer.countdown.period]).toEqual([null, 0n, 0n, 0]);
    expect(run(5000)).toEqual([]);
  });

  it.each([
    ['one-shot', ONESHOT],
    ['periodic', PERIODIC],
  ])('%s -> deadline disarms everything', (_, mode) => {
    const { run, vcpu, timer } = setUp(mode);
    vcpu.write(MSR.TMICT, 1_000_000);
    vcpu.write(MSR.LVT_TIMER, DEADLINE | VECTOR);
    expect([vcpu.armedAt, timer.tscdeadline, vcpu.read(MSR.TMICT), vcpu.read(MSR.TMCCT)]).toEqual([null, 0n, 0n, 0n]);
    expect(run(10_000_000)).toEqual([]);
  });

  it('one-shot -> periodic and back: the countdown goes on', () => {
    const { run, vcpu } = setUp(ONESHOT);
    vcpu.write(MSR.TMICT, 400_000);
    expect(run(500_000)).toEqual([]);
    vcpu.write(MSR.LVT_TIMER, PERIODIC | VECTOR);
    expect(run(2_500_000)).toEqual([1_000_000, 2_000_000]);
    vcpu.write(MSR.LVT_TIMER, ONESHOT | VECTOR);
    expect(run(9_000_000)).toEqual([3_000_000]);
  });

  it('another vector or mask does not disarm; the mask counts when the expiry is injected', () => {
    const { arm, run, vcpu } = setUp(DEADLINE);
    arm(1000);
    vcpu.write(MSR.LVT_TIMER, DEADLINE | MASKED | 0x41);
    expect(run(500)).toEqual([]);
    vcpu.write(MSR.LVT_TIMER, DEADLINE | 0x41);
    expect(run(1500)).toEqual([1000]);
    expect(vcpu.taken[0]!.vector).toBe(0x41);
  });

  it('fired while masked: no vector, the deadline is consumed, unmasking does not bring it back', () => {
    const { arm, run, vcpu, timer } = setUp(DEADLINE);
    arm(1000);
    vcpu.write(MSR.LVT_TIMER, DEADLINE | MASKED | VECTOR);
    expect(run(2000)).toEqual([]);
    expect([timer.getLapicTscdeadlineMsr(), timer.pending]).toEqual([0n, 0]);
    vcpu.write(MSR.LVT_TIMER, DEADLINE | VECTOR);
    expect(run(9000)).toEqual([]);
  });

  it('software disable forgets an expiry', () => {
    const { arm, rig, t0, vcpu, timer } = setUp(DEADLINE);
    arm(1000);
    rig.advanceTo(t0 + 1000);
    vcpu.write(MSR.SIVR, 0xff);
    expect(timer.pending).toBe(0);
    expect(vcpu.read(MSR.LVT_TIMER)).toBe(BigInt(DEADLINE | MASKED | VECTOR));
  });
});

describe('one-shot mode', () => {
  it('fires once, after TMICT counts; TMCCT counts down to 0 and stays', () => {
    const { run, vcpu } = setUp(ONESHOT);
    vcpu.write(MSR.TMICT, 1000);
    expect(vcpu.armedAt).toBe(12_500);
    const counts = [1, 2, 3, 5, 2499].map((at) => (run(at), vcpu.read(MSR.TMCCT)));
    expect(counts).toEqual([999n, 999n, 998n, 998n, 0n]);
    expect(run(100_000)).toEqual([2500]);
    expect([vcpu.read(MSR.TMCCT), vcpu.read(MSR.TMICT)]).toEqual([0n, 1000n]);
  });

  it('TMICT anew restarts; TMICT 0 stops', () => {
    const { run, vcpu } = setUp(ONESHOT);
    vcpu.write(MSR.TMICT, 1000);
    expect(run(2000)).toEqual([]);
    vcpu.write(MSR.TMICT, 1000);
    expect(run(4499)).toEqual([]);
    expect(run(5000)).toEqual([4500]);
    vcpu.write(MSR.TMICT, 1000);
    vcpu.write(MSR.TMICT, 0);
    expect([vcpu.armedAt, vcpu.read(MSR.TMCCT)]).toEqual([null, 0n]);
    expect(run(100_000)).toEqual([]);
  });

  it('a slower APIC bus stretches it', () => {
    const { run, vcpu } = setUp(ONESHOT, { busNs: 10 });
    vcpu.write(MSR.TMICT, 1000);
    expect(run(100_000)).toEqual([25_000]);
  });

  it('TDCR in flight: the counts that remain stay', () => {
    const { run, vcpu, rig, t0 } = setUp(ONESHOT);
    vcpu.write(MSR.TMICT, 1000);
    rig.advanceTo(t0 + 500); // 800 counts left
    vcpu.write(MSR.TDCR, 0x1); // divide by 4
    expect(vcpu.read(MSR.TMCCT)).toBe(800n);
    expect(run(100_000)).toEqual([500 + 800 * 10]);
    vcpu.write(MSR.TDCR, 0x3);
    expect(vcpu.armedAt).toBe(null);
  });
});

describe('periodic mode', () => {
  it('fires every TMICT counts', () => {
    const { run, vcpu } = setUp(PERIODIC);
    vcpu.write(MSR.TMICT, 400_000);
    expect(run(3_500_000)).toEqual([1_000_000, 2_000_000, 3_000_000]);
    expect(vcpu.read(MSR.TMCCT)).toBe(200_000n);
  });

  it('does not drift however late each tick is served', () => {
    const { rig, t0, vcpu, timer } = setUp(PERIODIC);
    vcpu.write(MSR.TMICT, 400_000);
    for (let tick = 1; tick <= 50; tick++) {
      rig.time = t0 + tick * 1_000_000 + tick * 1000; // the callback runs late
      rig.advanceTo(rig.time);
      expect(vcpu.armedAt).toBe(t0 + (tick + 1) * 1_000_000);
      expect(timer.tscdeadline).toBe(BigInt(vcpu.armedAt!) + TSC_OFFSET);
      vcpu.runLoop();
    }
    expect(vcpu.taken.length).toBe(50);
  });

  it('ticks that nobody took coalesce to one', () => {
    const { rig, t0, vcpu, timer, run } = setUp(PERIODIC);
    vcpu.write(MSR.TMICT, 400_000);
    rig.advanceTo(t0 + 5_400_000);
    expect(timer.pending).toBe(1);
    expect(run(6_400_000)).toEqual([6_000_000]);
    expect(vcpu.taken.length).toBe(1);
  });

  it('a period below the minimum is lengthened to it, also by a change of mode or divide', () => {
    const minimum = 200 * 2500; // 200 us
    const { vcpu, timer } = setUp(PERIODIC);
    vcpu.write(MSR.TMICT, 10);
    expect(timer.countdown.period).toBe(minimum);
    vcpu.write(MSR.LVT_TIMER, ONESHOT | VECTOR);
    vcpu.write(MSR.TMICT, 10);
    expect(timer.countdown.period).toBe(25);
    vcpu.write(MSR.LVT_TIMER, PERIODIC | VECTOR);
    expect(timer.countdown.period).toBe(minimum);
    vcpu.write(MSR.TDCR, 0);
    expect(timer.countdown.period).toBe(minimum);
    expect(setUp(PERIODIC, { quirks: { minTimerPeriodUs: 0 } })).toSatisfy(
      ({ vcpu: v, timer: t }: ReturnType<typeof setUp>) => v.write(MSR.TMICT, 10) && t.countdown.period === 25,
    );
  });
});

describe('who is told of an expiry', () => {
  it('from the hrtimer: UNBLOCK, then a kick', () => {
    const { arm, rig, t0, vcpu } = setUp(DEADLINE);
    arm(1000);
    const order: string[] = [];
    vcpu.kick = () => order.push(vcpu.requests.test(KVM_REQ.UNBLOCK) ? 'kick after UNBLOCK' : 'kick before UNBLOCK');
    rig.advanceTo(t0 + 1000);
    expect(order).toEqual(['kick after UNBLOCK']);
  });

  it('an expiry while one is pending is lost', () => {
    const { timer } = setUp(DEADLINE);
    timer.apicTimerExpired(false);
    timer.apicTimerExpired(true);
    expect(timer.pending).toBe(1);
  });

  it('the software timer says that it carries the deadline', () => {
    const { rig, arm, vcpu } = setUp(DEADLINE);
    expect(rig.probesOf(() => arm(1000))).toEqual(['kvm_hv_timer_state']);
    expect(rig.probesOf(() => vcpu.runLoop())).toEqual([]);
  });

  it('an injected expiry is accepted, then taken', () => {
    const { rig, arm, t0, timer } = setUp(DEADLINE);
    arm(1000);
    rig.advanceTo(t0 + 1000);
    expect(rig.probesOf(() => timer.injectApicTimerIrqs())).toEqual(['kvm_apic_accept_irq']);
  });
});

describe('the bus clock', () => {
  it('divides by 2, 4, ... 128, and by 1 for all ones', () => {
    expect([0, 1, 2, 3, 8, 9, 0xa, 0xb].map(divideCount)).toEqual([2, 4, 8, 16, 32, 64, 128, 1]);
  });

  it('is exact for the longest countdown', () => {
    const clock = { busNs: 1000, tscKhz: 3_999_999, divide: 128 };
    const cycles = countToCycles(0xffffffff, clock);
    expect(BigInt(cycles)).toBe((0xffffffffn * 128n * 1000n * 3_999_999n + 999_999n) / 1_000_000n);
    expect(cyclesToCount(cycles, clock)).toBe(0xffffffff);
  });

  it('there and back loses no count, at any frequency', () => {
    for (const tscKhz of [1_000_000, 1_000_001, 2_499_999, 3_333_333]) {
      for (const count of [1, 2, 3, 7, 1000, 999_999]) {
        const clock = { busNs: 1, tscKhz, divide: 1 };
        expect(cyclesToCount(countToCycles(count, clock), clock)).toBe(count);
      }
    }
  });

  it('rounds a time up', () => {
    expect([microsecondsToCycles(200, 2_500_000), microsecondsToCycles(1, 2_500_001)]).toEqual([500_000, 2501]);
  });
});
