// The Xen timer experiment: what the callback saves, where it has to leave a tick to the vCPU, and who loses one.

import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { drawXenTimer } from '../../src/cli/labXenTimer.ts';
import { loadGuest, packageFolder } from '../../src/cli/load.ts';
import { XEN_TIMER_DESIGNS, type XenTimerDesign } from '../../src/hypervisor/params.ts';
import { setXenVmAttr } from '../../src/hypervisor/xen/attributes.ts';
import { distributionOf } from '../../src/lab/distribution.ts';
import { told } from '../../src/lab/guestRun.ts';
import { xenTimer, type XenTimerCase, type XenTimerComparison, type XenTimerSetting } from '../../src/lab/xenTimer.ts';
import { Machine } from '../../src/vmm/machine.ts';

const ownGuest = (name: string) => loadGuest(join(packageFolder(), 'guests', `${name}.s`));
let data: XenTimerComparison;
beforeAll(async () => {
  data = await xenTimer.run(ownGuest);
}, 60_000);
const SLEEPS = 600;
const FAST: readonly XenTimerDesign[] = ['draft-2022', 'v1', 'v3'];
const found = (design: XenTimerDesign, setting: XenTimerSetting): XenTimerCase =>
  data.runs.find((run) => run.design === design)!.cases[setting];
const median = (design: XenTimerDesign, setting: XenTimerSetting, guest: 'running' | 'halted'): number =>
  distributionOf(found(design, setting)[guest]).median;

describe('a tick that the callback raises', () => {
  it.each(FAST)(
    'comes sooner than one that is left to the vCPU, to a running guest and to a halted one: %s',
    (design) => {
      for (const setting of ['alone', 'loaded'] as const) {
        expect(median(design, setting, 'running')).toBeLessThan(median('slow', setting, 'running'));
        expect(median(design, setting, 'halted')).toBeLessThan(median('slow', setting, 'halted'));
      }
    },
  );

  it('comes in less than half the time where the vCPU need not leave its guest for it', () => {
    expect(median('v3', 'posted', 'running')).toBeLessThan(median('slow', 'posted', 'running') / 2);
    expect(found('slow', 'posted').exits - found('v3', 'posted').exits).toBeGreaterThanOrEqual(SLEEPS / 2 - 5);
  });

  it('comes no sooner to a guest that must be woken by another CPU in any case', () => {
    expect(median('v3', 'posted', 'halted')).toBe(median('slow', 'posted', 'halted'));
  });

  it('is as late in v3 as in v1: who arms a timer that has fired cancels none', () => {
    for (const setting of ['alone', 'loaded', 'posted', 'away'] as const)
      expect(found('v3', setting)).toEqual(found('v1', setting));
  });
});

describe('ticks', () => {
  it('are all raised by the callback while the pages are there, and by nobody but the vCPU in slow', () => {
    expect(found('slow', 'alone').paths).toEqual({ fast: 0, deferred: SLEEPS, shadowed: 0 });
    for (const design of FAST) expect(found(design, 'alone').paths).toEqual({ fast: SLEEPS, deferred: 0, shadowed: 0 });
  });

  it('are left to the vCPU when shared_info is away, and to the shadow when vcpu_info is', () => {
    const { fast, deferred, shadowed } = found('v3', 'away').paths;
    expect(fast).toBeGreaterThan(0);
    expect(deferred).toBeGreaterThan(0);
    expect(shadowed).toBeGreaterThan(0);
    expect(fast + deferred).toBe(SLEEPS);
  });

  it.each(XEN_TIMER_DESIGNS)('are not lost with pages that go away: %s', (design) => {
    expect(found(design, 'away').pagesTaken).toBeGreaterThan(100);
    expect(found(design, 'away').ticks).toEqual({ armed: SLEEPS, taken: SLEEPS, lost: 0 });
  });

  it.each(['slow', 'v1', 'v3'] as const)('are not lost when the timer is moved: %s', (design) => {
    expect(found(design, 'moved').moves.times).toBeGreaterThan(100);
    expect(found(design, 'moved').ticks).toEqual({ armed: SLEEPS, taken: SLEEPS, lost: 0 });
  });

  it('wait in the shadow at some moves, if the callback has raised them, and no attribute tells of it', () => {
    for (const design of ['v1', 'v3'] as const) expect(found(design, 'moved').moves.held).toBeGreaterThan(0);
  });

  it('are lost in the draft of 2022, which takes one that waits for the vCPU for none', () => {
    const { armed, taken, lost } = found('draft-2022', 'moved').ticks;
    expect(lost).toBeGreaterThan(10);
    expect([taken, armed]).toEqual([SLEEPS, SLEEPS + lost]);
  });

  it('are never early', () => {
    const all = data.runs.flatMap(({ cases }) => Object.values(cases).flatMap(({ running, halted }) => [...running, ...halted])); // prettier-ignore
    expect(all).toHaveLength(XEN_TIMER_DESIGNS.length * 5 * SLEEPS);
    // An early one would be a large number: samples are unsigned.
    expect(Math.max(...all)).toBeLessThan(100_000);
  });
});

it('is drawn with each design under each heading, on a screen of 120 columns', () => {
  const lines = drawXenTimer(data).split('\n');
  for (const design of XEN_TIMER_DESIGNS)
    expect(lines.filter((line) => new RegExp(`^ +${design} +\\d`).test(line))).toHaveLength(4 + 3);
  expect(lines.filter((line) => line.length > 120)).toEqual([]);
  const { ticks, paths, moves, exits } = found('v3', 'moved');
  const counts = [...Object.values(ticks), ...Object.values(paths), moves.times, moves.held, exits];
  expect(
    lines
      .findLast((line) => line.startsWith('    v3'))!
      .trim()
      .split(/ +/),
  ).toEqual(['v3', ...counts.map(String)]);
});

it('the guest notices a tick that a VMM without shared_info has dropped, and counts it', async () => {
  const image = await ownGuest('xenlatency');
  const machine = Machine.boot({ image, xen: 'domain' });
  const { vm } = machine;
  machine.run({ until: () => told(machine, 'handled') === 10 });
  const { gpa } = vm.xen!.sharedInfo.page;
  setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: null });
  machine.run({ until: () => vm.xen!.stat.dropped === 1 });
  setXenVmAttr(vm, { type: 'SHARED_INFO', gfn: gpa / 4096 });
  expect(machine.run().kind).toBe('power-off');
  expect([told(machine, 'armed'), told(machine, 'handled'), told(machine, 'lost')]).toEqual([SLEEPS + 1, SLEEPS, 1]);
});
