import { describe, expect, it } from 'vitest';
import { PVCLOCK, PVCLOCK_FLAG } from '../../src/hypervisor/pv/pvclock.ts';
import { timeScale } from '../../src/hypervisor/pv/timeScale.ts';
import { KVM_MSR } from '../../src/hypervisor/names.ts';
import { MSR } from '../../src/x86/names/msrs.ts';
import { pvRig, run, shutdown, u32, u64, u8 } from './pvRig.ts';
import { wrmsr, type Step } from './scriptedCpu.ts';
import type { VmRig } from './vmRig.ts';

const PAGE = 0x1000;
const enable = (gpa = PAGE): Step => wrmsr(KVM_MSR.SYSTEM_TIME_NEW, BigInt(gpa) | 1n);

/** What a guest computes from a page: pvclock_clocksource_read at a TSC. */
function read(rig: VmRig, tsc: bigint, gpa = PAGE): bigint {
  const shift = BigInt((u8(rig, gpa + PVCLOCK.SHIFT) << 24) >> 24);
  const delta = tsc - u64(rig, gpa + PVCLOCK.TSC_TIMESTAMP);
  const shifted = shift >= 0n ? delta << shift : delta >> -shift;
  return u64(rig, gpa + PVCLOCK.SYSTEM_TIME) + ((shifted * BigInt(u32(rig, gpa + PVCLOCK.MUL))) >> 32n);
}

describe('the scale of a clock', () => {
  it.each([
    // Figures of guests on Linux hosts, as their pages show them.
    [2_500_000_000n, { shift: -1, multiplier: 0xcccccccc }],
    [1_000_000_000n, { shift: 1, multiplier: 0x80000000 }],
    [100_000_000n, { shift: 4, multiplier: 0xa0000000 }],
  ])('%d Hz', (hz, scale) => {
    expect(timeScale(1_000_000_000n, hz)).toEqual(scale);
  });

  it('turns cycles into nanoseconds to within a part in 2^31', () => {
    for (const khz of [1000n, 999_999n, 2_100_123n, 3_999_999n, 5_200_000n]) {
      const { shift, multiplier } = timeScale(1_000_000_000n, khz * 1000n);
      const cycles = khz * 1000n; // a second
      const shifted = shift >= 0 ? cycles << BigInt(shift) : cycles >> BigInt(-shift);
      const ns = Number((shifted * BigInt(multiplier)) >> 32n);
      expect(Math.abs(ns - 1e9)).toBeLessThan(2);
    }
  });
});

describe('the page of kvmclock', () => {
  it('is written before the guest runs on, with an even version and the clock of the host', () => {
    const seen: { version: number; flags: number; ns: bigint; host: number }[] = [];
    const look: Step = {
      then: ({ state }) =>
        seen.push({
          version: u32(rig, PAGE),
          flags: u8(rig, PAGE + PVCLOCK.FLAGS),
          ns: read(rig, state.tsc),
          host: rig.vm.vcpus[0]!.cpu.now,
        }),
    };
    const rig = pvRig([[{ run: 1_000_000 }, enable(), look, shutdown]]);
    run(rig);
    expect(seen).toHaveLength(1);
    const [{ version, flags, ns, host }] = seen as [(typeof seen)[0]];
    expect(version).toBe(2);
    expect(flags).toBe(PVCLOCK_FLAG.TSC_STABLE);
    expect(Math.abs(Number(ns) - host / 2.5)).toBeLessThan(2000);
  });

  it('gives every vCPU the same time for the same TSC while there is a master clock', () => {
    const rig = pvRig([
      [enable(PAGE), { run: 50_000 }, shutdown],
      [{ run: 40_000 }, enable(PAGE + 64), { run: 500 }, shutdown],
    ]);
    run(rig);
    for (const tsc of [0n, 123_456n, 10n ** 12n]) expect(read(rig, tsc, PAGE + 64)).toBe(read(rig, tsc, PAGE));
  });

  it('follows IA32_TSC_ADJUST: time does not jump with the TSC', () => {
    const times: bigint[] = [];
    const look: Step = { then: ({ state }) => times.push(read(rig, state.tsc)) };
    const rig = pvRig([[enable(), look, wrmsr(MSR.TSC_ADJUST, 10n ** 9n), look, shutdown]]);
    run(rig);
    expect(Number(times[1]! - times[0]!)).toBeGreaterThan(0);
    expect(Number(times[1]! - times[0]!)).toBeLessThan(10_000);
  });

  it('says no longer TSC_STABLE when the guest registers by the old MSR', () => {
    const rig = pvRig([[wrmsr(KVM_MSR.SYSTEM_TIME, BigInt(PAGE) | 1n), { run: 10 }, shutdown]]);
    run(rig);
    expect(u32(rig, PAGE)).toBeGreaterThan(0);
    expect(u8(rig, PAGE + PVCLOCK.FLAGS)).toBe(0);
  });

  it('keeps GUEST_STOPPED until the guest clears it', () => {
    const rig = pvRig([[enable(), { run: 10 }, shutdown]]);
    const [vcpu] = rig.vm.vcpus;
    expect(vcpu!.pv.clock.setGuestStopped()).toBe(false);
    run(rig);
    expect(vcpu!.pv.clock.setGuestStopped()).toBe(true);
    vcpu!.pv.clock.update();
    vcpu!.pv.clock.update();
    expect(u8(rig, PAGE + PVCLOCK.FLAGS)).toBe(PVCLOCK_FLAG.TSC_STABLE | PVCLOCK_FLAG.GUEST_STOPPED);
    rig.vm.memory.write(PAGE + PVCLOCK.FLAGS, Uint8Array.of(0));
    vcpu!.pv.clock.update();
    expect(u8(rig, PAGE + PVCLOCK.FLAGS)).toBe(PVCLOCK_FLAG.TSC_STABLE);
  });

  it('is not written any more once the guest has taken it back', () => {
    const rig = pvRig([[enable(), wrmsr(KVM_MSR.SYSTEM_TIME_NEW, 0n), { run: 10 }, shutdown]]);
    run(rig);
    const version = u32(rig, PAGE);
    rig.vm.vcpus[0]!.pv.clock.update();
    expect(u32(rig, PAGE)).toBe(version);
  });

  it('reads what KVM_SET_CLOCK has set', () => {
    const rig = pvRig([[enable(), { run: 10 }, shutdown]]);
    run(rig);
    rig.vm.clock.setClock(5_000_000_000n);
    expect(rig.vm.clock.getClock()).toMatchObject({ clock: 5_000_000_000n, tscStable: true });
    rig.vm.vcpus[0]!.pv.clock.update();
    expect(read(rig, rig.vm.vcpus[0]!.guestTsc())).toBe(5_000_000_000n);
  });
});

describe('the wall clock', () => {
  it('is the date at which kvmclock was 0, with an even version whatever was there before', () => {
    const rig = pvRig([[{ run: 300_000 }, wrmsr(KVM_MSR.WALL_CLOCK_NEW, 0x2000n), shutdown]], {
      startTime: 1_700_000_000,
    });
    rig.vm.memory.write(0x2000, Uint8Array.of(7, 0, 0, 0));
    run(rig);
    expect([u32(rig, 0x2000), u32(rig, 0x2004), u32(rig, 0x2008)]).toEqual([10, 1_700_000_000, 0]);
  });

  it('moves when a VMM sets kvmclock back: the date goes on', () => {
    const rig = pvRig([[{ run: 2_500_000 }, shutdown]], { startTime: 1000 });
    run(rig);
    const before = rig.vm.clock.realtime();
    rig.vm.clock.setClock(0n);
    expect(rig.vm.clock.realtime()).toBe(before);
    rig.vm.clock.writeWallClock(0x2000);
    expect(BigInt(u32(rig, 0x2004)) * 1_000_000_000n + BigInt(u32(rig, 0x2008))).toBe(before);
  });
});
