// The singleshot timer of a Xen vCPU: xen-evtchn-timer.md, section 7, with its races forced one by one in test/explore.

import { describe, expect, it } from 'vitest';
import { getXenVcpuAttr, setXenVcpuAttr, setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { PRIO_2LEVEL } from '../../src/hypervisor/xen/names.ts';
import { XEN_TIMER_DESIGNS, type XenTimerDesign } from '../../src/hypervisor/params.ts';
import { noteRax, run, shutdown } from './pvRig.ts';
import { hlt, sti, type Step } from './scriptedCpu.ts';
import type { RigOptions, VmRig } from './vmRig.ts';
import { errnoOf, infoAt, isPending, mask, only, removeMemory, SHARED, takeAway, UPCALL_VECTOR, xencall, xenRig } from './xenRig.ts'; // prettier-ignore

const VIRQ = 13;
const ARGUMENT = 0x3000;
const NR = { SET_TIMER: 15, VCPU: 24 } as const;
const SET = 8;
const STOP = 9;
/** Cycles of the rig's host in a nanosecond: 2.5. */
const cycles = (ns: number): number => ns * 2.5;
const set = xencall(NR.VCPU, SET, 0, ARGUMENT);
const stop = xencall(NR.VCPU, STOP, 0);
const arm = (rig: VmRig, ns: number | bigint, flags = 0): void => {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(ns), true);
  view.setUint32(8, flags, true);
  rig.vm.memory.write(ARGUMENT, bytes);
};
const timerRig = (script: Step[], design: XenTimerDesign = 'v3', options: RigOptions = {}, longMode = true): VmRig => {
  const rig = xenRig([script], { ...options, params: { ...options.params, xenTimer: design } }, longMode);
  setXenVcpuAttr(only(rig), { type: 'TIMER', port: VIRQ, priority: PRIO_2LEVEL, expiresNs: 0n });
  return rig;
};
const state = (rig: VmRig) => getXenVcpuAttr(only(rig), 'TIMER');
/** What the VMM reads while the machine still runs: afterwards every timer has expired. */
const read = (rig: () => VmRig, into: bigint[]): Step => ({ then: () => void into.push(state(rig()).expiresNs) });
const ops = (rig: VmRig): unknown[] => rig.events.filter(({ name }) => name === 'kvm_xen_timer').map(({ event }) => event.op); // prettier-ignore
const vectors = (rig: VmRig): number[] => rig.guests[0]!.delivered.map(({ vector }) => vector);

describe.each(XEN_TIMER_DESIGNS)('the timer (%s)', (design) => {
  it('wakes a halted guest when its time has come, and not before', () => {
    let wokenAt = 0;
    const rig: VmRig = timerRig([set, sti, hlt, { then: () => void (wokenAt = rig.host.cpus[0]!.now) }, shutdown], design); // prettier-ignore
    arm(rig, 200_000);
    run(rig);
    expect(vectors(rig)).toEqual([UPCALL_VECTOR]);
    expect(isPending(rig, VIRQ)).toBe(true);
    expect(wokenAt).toBeGreaterThanOrEqual(cycles(200_000));
    expect(wokenAt).toBeLessThan(cycles(200_000) + 5000);
  });

  it('interrupts a guest that runs', () => {
    const rig = timerRig([sti, set, { run: 400_000 }, shutdown], design);
    arm(rig, 100_000);
    run(rig);
    expect(vectors(rig)).toEqual([UPCALL_VECTOR]);
  });

  it('whose time has passed expires at once', () => {
    const rig = timerRig([{ run: 5000 }, set, sti, { run: 100 }, shutdown], design);
    arm(rig, 1);
    run(rig);
    expect(vectors(rig)).toEqual([UPCALL_VECTOR]);
    expect(rig.vm.xen!.stat).toMatchObject({ timersArmed: 1, timersPast: 1 });
  });

  it('that is stopped, or set anew, does not expire as it was', () => {
    const stopped = timerRig([sti, set, stop, { run: 400_000 }, shutdown], design);
    arm(stopped, 100_000);
    run(stopped);
    expect([vectors(stopped), isPending(stopped, VIRQ), state(stopped).expiresNs]).toEqual([[], false, 0n]);
    expect(stopped.vm.xen!.stat).toMatchObject({ timersArmed: 1, timersPast: 0, timersStopped: 1 });
    const left: bigint[] = [];
    const anew: VmRig = timerRig([sti, set, { then: () => arm(anew, 10_000_000) }, set, { run: 400_000 }, read(() => anew, left), shutdown], design); // prettier-ignore
    arm(anew, 100_000);
    run(anew);
    expect([vectors(anew), left]).toEqual([[], [10_000_000n]]);
    expect(anew.vm.xen!.stat).toMatchObject({ timersArmed: 2, timersReplaced: 1, timersStopped: 0 });
  });

  it('expires while shared_info is away: the vCPU brings it back', () => {
    const rig: VmRig = timerRig([sti, set, { then: () => takeAway(rig, SHARED) }, { run: 400_000 }, shutdown], design); // prettier-ignore
    arm(rig, 100_000);
    run(rig);
    expect(vectors(rig)).toEqual([UPCALL_VECTOR]);
    expect(ops(rig)).toContain('defer');
    expect(state(rig).expiresNs).toBe(0n);
  });

  it('is lost, and no longer armed, when it expires while shared_info lies nowhere', () => {
    const rig: VmRig = timerRig([sti, set, { then: () => setXenVmAttr(rig.vm, { type: 'SHARED_INFO', gfn: null }) }, { run: 400_000 }, shutdown], design); // prettier-ignore
    arm(rig, 100_000);
    run(rig);
    expect([vectors(rig), state(rig).expiresNs]).toEqual([[], 0n]);
    expect(ops(rig)).toContain('inject');
  });

  it('whose port is masked has expired all the same', () => {
    const rig = timerRig([sti, set, { run: 400_000 }, shutdown], design);
    mask(rig, VIRQ);
    arm(rig, 100_000);
    run(rig);
    expect([vectors(rig), isPending(rig, VIRQ), state(rig).expiresNs]).toEqual([[], true, 0n]);
  });

  it('is armed again where the VMM restores it', () => {
    const saved: ReturnType<typeof state>[] = [];
    const source: VmRig = timerRig([set, { then: () => void saved.push(state(source)) }, shutdown], design);
    arm(source, 300_000);
    run(source);
    expect(saved).toEqual([{ type: 'TIMER', port: VIRQ, priority: PRIO_2LEVEL, expiresNs: 300_000n }]);
    const target = timerRig([sti, hlt, { run: 10 }, shutdown], design);
    setXenVcpuAttr(only(target), saved[0]!);
    run(target);
    expect(vectors(target)).toEqual([UPCALL_VECTOR]);
  });
});

describe('what delivers', () => {
  it('is the callback, in v3 and v1, and the vCPU where it may sleep, before', () => {
    const delivered = (design: XenTimerDesign) => {
      const rig = timerRig([sti, set, { run: 400_000 }, shutdown], design);
      arm(rig, 100_000);
      run(rig);
      return ops(rig);
    };
    expect(delivered('v3')).toEqual(['stop', 'start', 'fire']);
    expect(delivered('v1')).toEqual(['stop', 'start', 'fire']);
    expect(delivered('slow')).toEqual(['stop', 'start', 'defer', 'inject']);
  });

  it('is faster in the callback', () => {
    const takenAt = (design: XenTimerDesign) => {
      let at = 0;
      const rig: VmRig = timerRig([sti, set, hlt, { then: () => void (at = rig.host.cpus[0]!.now) }, shutdown], design);
      arm(rig, 200_000);
      run(rig);
      return at;
    };
    expect(takenAt('v3')).toBeLessThanOrEqual(takenAt('slow'));
  });
});

describe('KVM_XEN_VCPU_ATTR_TYPE_TIMER', () => {
  it('delivers what is pending before it is read, in v3: the event is in memory or in the time', () => {
    const readWith = (design: XenTimerDesign) => {
      const rig = timerRig([], design);
      arm(rig, 1);
      takeAway(rig, SHARED);
      rig.host.cpus[0]!.now = 10_000;
      only(rig).xen!.timer.set(1n);
      expect(only(rig).xen!.timer.hasPendingTimer()).toBe(true);
      return [state(rig).expiresNs, isPending(rig, VIRQ)];
    };
    expect(readWith('v3')).toEqual([0n, true]);
    expect(readWith('v1')).toEqual([1n, false]);
    // Neither here nor there: why the fast path was given up in 2022.
    expect(readWith('draft-2022')).toEqual([0n, false]);
  });

  it('leaves the timer armed', () => {
    const rig: VmRig = timerRig([sti, set, { then: () => void state(rig) }, hlt, { run: 10 }, shutdown]);
    arm(rig, 200_000);
    run(rig);
    expect(vectors(rig)).toEqual([UPCALL_VECTOR]);
  });

  it('knows 2-level channels only, unless there is no port', () => {
    const write = (port: number, priority: number) =>
      errnoOf(() => setXenVcpuAttr(only(timerRig([])), { type: 'TIMER', port, priority, expiresNs: 0n }));
    expect([write(VIRQ, 0), write(VIRQ, PRIO_2LEVEL), write(0, 0)]).toEqual(['EINVAL', 'no error', 'no error']);
  });

  it('with port 0 leaves timers to the VMM', () => {
    const rig = timerRig([set, shutdown]);
    setXenVcpuAttr(only(rig), { type: 'TIMER', port: 0, priority: PRIO_2LEVEL, expiresNs: 5n });
    run(rig);
    expect(rig.userspace[0]!.exit.reason).toBe('XEN');
  });
});

describe('the calls', () => {
  const answer = (call: Step, prepare: (rig: VmRig) => void = () => undefined, longMode = true): bigint[] => {
    const found: bigint[] = [];
    const rig: VmRig = timerRig([call, noteRax(found), read(() => rig, found), shutdown], 'v3', {}, longMode);
    arm(rig, 10_000_000);
    prepare(rig);
    run(rig);
    return [BigInt.asIntN(32, found[0]!), found[1]!];
  };

  it.each([true, false])('set and stop the timer of the caller, and of nobody else (64-bit: %s)', (longMode) => {
    expect(answer(set, undefined, longMode)).toEqual([0n, 10_000_000n]);
    expect(answer(stop, undefined, longMode)).toEqual([0n, 0n]);
    const renumber = (rig: VmRig) => setXenVcpuAttr(only(rig), { type: 'VCPU_ID', vcpuId: 3 });
    expect(answer(set, renumber, longMode)).toEqual([-22n, 0n]);
    expect(answer(stop, renumber, longMode)).toEqual([-22n, 0n]);
    expect(answer(xencall(NR.VCPU, SET, 3, ARGUMENT), renumber, longMode)).toEqual([0n, 10_000_000n]);
  });

  it('read the padding of a 64-bit argument, which may be missing, and none of a 32-bit one', () => {
    const end = xencall(NR.VCPU, SET, 0, 0x3ff4);
    const put = ({ vm }: VmRig) => void vm.memory.writeU64(0x3ff4, 10_000_000n);
    expect(answer(end, put)).toEqual([-14n, 0n]);
    expect(answer(end, put, false)).toEqual([0n, 10_000_000n]);
  });

  it('ignore that a time should be in the future', () => {
    const rig = timerRig([{ run: 5000 }, set, sti, { run: 100 }, shutdown]);
    arm(rig, 1, 1);
    run(rig);
    expect(vectors(rig)).toEqual([UPCALL_VECTOR]);
  });

  it('take a time that is 2^63 ns and more away for the past, as a signed difference has it', () => {
    expect(answer(set, (rig) => arm(rig, 2n ** 63n + 10n ** 9n))).toEqual([0n, 0n]);
    expect(answer(set, (rig) => arm(rig, 2n ** 62n))).toEqual([0n, 2n ** 62n]);
  });

  it('set_timer_op has the time in one argument, or in two of 32 bits, and 0 stops', () => {
    const time = 0x1_0000_0001n;
    expect(answer(xencall(NR.SET_TIMER, time))).toEqual([0n, time]);
    expect(answer(xencall(NR.SET_TIMER, 1, 1), undefined, false)).toEqual([0n, time]);
    expect(answer(xencall(NR.SET_TIMER, 0), (rig) => only(rig).xen!.timer.set(9_000_000n))).toEqual([0n, 0n]);
  });

  it.each([
    ['below 0', -1n],
    ['2^50 ns and more away', 2n ** 51n],
  ])('set_timer_op takes a time that is %s as 100 ms', (_, time) => {
    const [result, expires] = answer(xencall(NR.SET_TIMER, BigInt.asUintN(64, time)));
    expect(result).toBe(0n);
    expect(expires).toBeGreaterThanOrEqual(100_000_000n);
    expect(expires).toBeLessThan(100_010_000n);
  });

  it('take a time just below 2^50 ns as it is', () => {
    expect(answer(xencall(NR.SET_TIMER, 2n ** 50n))).toEqual([0n, 2n ** 50n]);
  });
});

describe('a machine without memory', () => {
  it('drops the expiry and goes on', () => {
    const rig: VmRig = timerRig([sti, set, { then: () => void removeMemory(rig) }, { run: 400_000 }, shutdown]);
    arm(rig, 100_000);
    run(rig);
    expect(rig.userspace[0]!.exit.reason).toBe('SHUTDOWN');
    expect(state(rig).expiresNs).toBe(0n);
    expect(() => infoAt(rig, 0)).toThrow();
  });
});
