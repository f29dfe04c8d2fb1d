// Runstates of Xen vCPUs: xen-evtchn-timer.md, section 2.

import { describe, expect, it } from 'vitest';
import { EXIT } from '../../src/cpu/exit.ts';
import { getXenVcpuAttr, setXenVcpuAttr, setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { RUNSTATE, type Runstate } from '../../src/hypervisor/xen/names.ts';
import { run, shutdown, u32, u64 } from './pvRig.ts';
import type { Step } from './scriptedCpu.ts';
import type { RigOptions, VmRig } from './vmRig.ts';
import { errnoOf, only, removeMemory, takeAway, xenRig } from './xenRig.ts';

const SLICE = 100_000;
const AREA = 0x2100;
const anyExit: Step = { exit: EXIT.CPUID };
const rigOf = (scripts: Step[][], options: RigOptions = {}, gpa: number | null = AREA, longMode = true): VmRig => {
  const rig = xenRig(scripts, options, longMode);
  if (gpa !== null) setXenVcpuAttr(only(rig), { type: 'RUNSTATE_ADDR', gpa });
  return rig;
};
/** The guest's copy. */
const copyAt = (rig: VmRig, gpa = AREA, entry = 8) => ({
  state: u32(rig, gpa),
  entryTime: u64(rig, gpa + entry),
  times: [1, 2, 3, 4].map((index) => u64(rig, gpa + entry + 8 * index)),
});
const dataOf = (rig: VmRig) => {
  const { state, entryTime, times } = getXenVcpuAttr(only(rig), 'RUNSTATE_DATA');
  return { state, entryTime, times };
};
const sum = (times: readonly bigint[]): bigint => times.reduce((a, b) => a + b, 0n);
const setState = (rig: VmRig, state: Runstate): void => setXenVcpuAttr(only(rig), { type: 'RUNSTATE_CURRENT', state });
/** Two vCPUs that share a CPU, the first with a runstate. */
const contended = (options: RigOptions = {}, gpa?: number): VmRig =>
  rigOf([[{ run: 5 * SLICE }, anyExit, { run: 5 }, shutdown], [{ run: 20 * SLICE }, shutdown]], { slice: SLICE, hostCpus: 1, ...options }, gpa); // prettier-ignore

describe('a vCPU that nobody disturbs', () => {
  it('was offline until it ran, and runs since', () => {
    const rig = rigOf([[{ run: 1_000_000 }, shutdown]]);
    expect(dataOf(rig).state).toBe(RUNSTATE.OFFLINE);
    run(rig);
    expect(copyAt(rig)).toEqual(dataOf(rig));
    setState(rig, RUNSTATE.RUNNING);
    const { times, entryTime } = copyAt(rig);
    expect(times[RUNSTATE.RUNNING]).toBeGreaterThan(390_000n);
    expect([times[RUNSTATE.RUNNABLE], times[RUNSTATE.BLOCKED]]).toEqual([0n, 0n]);
    expect(entryTime).toBe(sum(times));
  });
});

describe('a vCPU that shares its CPU', () => {
  it('is runnable while the other has it, and the sum of its times is the entry time', () => {
    const rig = contended();
    run(rig);
    const { times, entryTime } = copyAt(rig);
    expect(times[RUNSTATE.RUNNABLE]).toBeGreaterThan(4n * BigInt(SLICE / 2.5));
    expect(times[RUNSTATE.RUNNABLE]).toBeLessThan(BigInt((6.5 * SLICE) / 2.5));
    expect(entryTime).toBe(sum(times));
  });

  it('finds each change in its copy, in both states', () => {
    const rig = contended();
    run(rig);
    const states = rig.events.filter(({ name, event }) => name === 'kvm_xen_runstate' && event.vcpu === 0);
    expect(states.every(({ event }) => event.written === true)).toBe(true);
    expect(states.map(({ event }) => event.state).slice(0, 4)).toEqual([0, 1, 0, 1]);
  });

  it('is left as it is in the scheduler when its page is away, and right again when it runs', () => {
    let rig: VmRig | null = null;
    const away: Step = { then: () => takeAway(rig!, AREA) };
    rig = rigOf([[away, { run: 5 * SLICE }, anyExit, { run: 5 }, shutdown], [{ run: 20 * SLICE }, shutdown]], { slice: SLICE, hostCpus: 1 }); // prettier-ignore
    run(rig);
    const written = rig.events
      .filter(({ name, event }) => name === 'kvm_xen_runstate' && event.vcpu === 0)
      .map(({ event }) => [event.state, event.written]);
    expect(written.slice(0, 3)).toEqual([[0, true], [1, false], [0, true]]); // prettier-ignore
    expect(copyAt(rig)).toEqual(dataOf(rig));
  });

  it('of the sleeping design is a broken contract of the host, which says where', () => {
    expect(() => run(contended({ params: { xenRunstate: 'sleeping' } }))).toThrow(
      /a thread sleeps \(waiting for the page of a runstate\) where it must not: CPU 0/,
    );
    expect(() => run(contended())).not.toThrow();
  });

  it('has its runstate without a copy, too, and without memory', () => {
    const rig = contended();
    removeMemory(rig);
    run(rig);
    const { times, entryTime } = dataOf(rig);
    expect(times[RUNSTATE.RUNNABLE]).toBeGreaterThan(0n);
    expect(entryTime).toBe(sum(times));
  });
});

describe('the copy', () => {
  it('of a 32-bit guest has no padding', () => {
    const rig = rigOf([[{ run: 1000 }, shutdown]], {}, AREA, false);
    run(rig);
    expect(copyAt(rig, AREA, 4)).toEqual(dataOf(rig));
  });

  it.each([1, 4, 12, 15, 16, 47])('goes on in the next page, %d bytes behind its start', (inFirst) => {
    const gpa = 0x3000 - inFirst;
    const rig = rigOf([[{ run: 1000 }, shutdown]], {}, gpa);
    setXenVmAttr(rig.vm, { type: 'RUNSTATE_UPDATE_FLAG', enabled: true });
    rig.host.cpus[0]!.now = 25_000;
    run(rig);
    expect(dataOf(rig).entryTime).toBeGreaterThan(0n);
    expect(copyAt(rig, gpa)).toEqual(dataOf(rig));
  });

  it('that goes on in a page that is away is left alone, first page included', () => {
    const gpa = 0x3000 - 15;
    const rig = rigOf([[]], {}, gpa);
    const before = copyAt(rig, gpa);
    takeAway(rig, 0x3000);
    only(rig).xen!.runstate.setPreempted();
    expect(copyAt(rig, gpa)).toEqual(before);
    only(rig).xen!.runstate.setRunning();
    expect(copyAt(rig, gpa)).toEqual(dataOf(rig));
  });

  it('reaches into the next page once a 32-bit guest has become a 64-bit one', () => {
    const gpa = 0x3000 - 0x2c;
    const rig = rigOf([[]], {}, gpa, false);
    rig.vm.xen!.setLongMode(true);
    setState(rig, RUNSTATE.BLOCKED);
    expect(copyAt(rig, gpa)).toEqual(dataOf(rig));
  });

  it('says in bit 63 of the entry time that it is being written, and only to a guest that asked', () => {
    const seen = (enabled: boolean, gpa: number): number[] => {
      const rig = rigOf([[]], {}, gpa);
      setXenVmAttr(rig.vm, { type: 'RUNSTATE_UPDATE_FLAG', enabled });
      const { area } = only(rig).xen!.runstate;
      const flags: number[] = [];
      const write = area.write.bind(area);
      area.write = (offset, bytes) => {
        write(offset, bytes);
        flags.push(Number(u64(rig, gpa + 8) >> 63n));
      };
      setState(rig, RUNSTATE.BLOCKED);
      return flags;
    };
    expect(seen(false, AREA)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(seen(true, AREA)).toEqual([1, 1, 1, 1, 1, 1, 1, 0]);
    expect(seen(true, 0x3000 - 15)).toEqual([1, 1, 1, 1, 1, 1, 1, 0]);
  });

  it('lies nowhere without memory, or when half of it has none', () => {
    const rig = rigOf([[]], {}, null);
    const place = (gpa: number | null) => errnoOf(() => setXenVcpuAttr(only(rig), { type: 'RUNSTATE_ADDR', gpa }));
    expect(errnoOf(() => getXenVcpuAttr(only(rig), 'RUNSTATE_ADDR'))).toBe('ENOENT');
    expect([place(0x99_0000), place(0x4000 - 15), place(0x4000 - 0x30)]).toEqual(['EFAULT', 'EFAULT', 'no error']);
    expect(getXenVcpuAttr(only(rig), 'RUNSTATE_ADDR').gpa).toBe(0x4000 - 0x30);
    expect(place(null)).toBe('no error');
    expect(errnoOf(() => getXenVcpuAttr(only(rig), 'RUNSTATE_ADDR'))).toBe('ENOENT');
  });
});

describe('the VMM', () => {
  it('says when a vCPU is blocked or offline', () => {
    const rig = rigOf([[{ run: 10_000 }, shutdown]]);
    run(rig);
    setState(rig, RUNSTATE.BLOCKED);
    rig.host.cpus[0]!.now += 25_000;
    setState(rig, RUNSTATE.OFFLINE);
    const { times, state } = copyAt(rig);
    expect([state, times[RUNSTATE.BLOCKED]]).toEqual([RUNSTATE.OFFLINE, 10_000n]);
  });

  it('reads what it has written', () => {
    const rig = rigOf([[]]);
    rig.host.cpus[0]!.now = 10_000;
    const data = { state: RUNSTATE.BLOCKED, entryTime: 1000n, times: [100n, 200n, 300n, 400n] } as const;
    setXenVcpuAttr(only(rig), { type: 'RUNSTATE_DATA', ...data });
    expect(dataOf(rig)).toEqual(data);
    expect(getXenVcpuAttr(only(rig), 'RUNSTATE_CURRENT').state).toBe(RUNSTATE.BLOCKED);
  });

  it('adjusts times, and the state only when it says one', () => {
    const rig = rigOf([[]]);
    rig.host.cpus[0]!.now = 10_000;
    setXenVcpuAttr(only(rig), { type: 'RUNSTATE_DATA', state: 2, entryTime: 10n, times: [1n, 2n, 3n, 4n] });
    setXenVcpuAttr(only(rig), { type: 'RUNSTATE_ADJUST', state: null, entryTime: 30n, times: [0n, 0n, 30n, 0n] });
    expect(copyAt(rig)).toEqual({ state: 2, entryTime: 40n, times: [1n, 2n, 33n, 4n] });
    setXenVcpuAttr(only(rig), { type: 'RUNSTATE_ADJUST', state: 3, entryTime: 0n, times: [0n, 0n, 0n, 0n] });
    expect(copyAt(rig)).toEqual({ state: 3, entryTime: 4000n, times: [1n, 2n, 33n + 3960n, 4n] });
    expect(errnoOf(() => getXenVcpuAttr(only(rig), 'RUNSTATE_ADJUST'))).toBe('EINVAL');
  });

  it.each([
    ['a state that there is not', 4, 10n, [10n, 0n, 0n, 0n]],
    ['times that do not add up', 0, 11n, [10n, 0n, 0n, 0n]],
    ['a beginning in the future', 0, 10n ** 12n, [10n ** 12n, 0n, 0n, 0n]],
  ] as const)('is refused %s', (_, state, entryTime, times) => {
    for (const type of ['RUNSTATE_DATA', 'RUNSTATE_ADJUST'] as const) {
      const rig = rigOf([[]]);
      const attr = { type, state: state as Runstate, entryTime, times };
      expect(
        errnoOf(() => setXenVcpuAttr(only(rig), attr)),
        type,
      ).toBe('EINVAL');
    }
  });
});
