// The experiment of event channels: which exits, returns and switches each way of an event takes, and how soon it comes.

import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { drawXenEvtchn } from '../../src/cli/labXenEvtchn.ts';
import { loadGuest, packageFolder } from '../../src/cli/load.ts';
import {
  EVENT_WAYS,
  UPCALLS,
  xenEvtchn,
  type EventComparison,
  type EventCost,
  type EventWay,
  type Upcall,
} from '../../src/lab/xenEvtchn.ts';
import { XEN_SOURCES, type XenSource } from '../../src/vmm/xen/routing.ts';

let data: EventComparison;
let costOf: (source: XenSource, upcall: Upcall, way: EventWay, guest?: 'running' | 'halted') => EventCost;
beforeAll(async () => {
  data = await xenEvtchn.run((name) => loadGuest(join(packageFolder(), 'guests', `${name}.s`)));
  costOf = (source, upcall, way, guest = 'running') =>
    data.cases.find((each) => each.source === source && each.upcall === upcall && each.way === way)![guest];
}, 60_000);
const GUESTS = ['running', 'halted'] as const;
const each = XEN_SOURCES.flatMap((source) => GUESTS.map((guest) => ({ source, guest })));

describe.each(each)('an event of $source to a $guest guest', ({ source, guest }) => {
  const median = (upcall: Upcall, way: EventWay): number => costOf(source, upcall, way, guest).latency.median;

  it.each(UPCALLS)(
    'comes soonest where it is raised on the spot, next by an eventfd, then by a thread: %s',
    (upcall) => {
      expect(median(upcall, 'hypervisor')).toBeLessThan(median(upcall, 'eventfd'));
      for (const way of ['workqueue', 'userspace'] as const)
        expect(median(upcall, 'eventfd')).toBeLessThan(median(upcall, way));
    },
  );

  it.each(UPCALLS)(
    'takes no more exits of any kind by the one way than by the other, but by the shadow: %s',
    (upcall) => {
      const kinds = (way: EventWay) =>
        Object.entries(costOf(source, upcall, way, guest).exits).flatMap(([kind, count]) =>
          count > 0.1 ? [kind] : [],
        );
      for (const way of ['eventfd', 'workqueue', 'userspace'] as const)
        expect(new Set(kinds(way))).toEqual(new Set(kinds('hypervisor')));
    },
  );

  it('is the same by the shadow where the vCPU leaves the guest, or wakes up, in any case', () => {
    const { latency } = costOf(source, 'callback', 'hypervisor', guest);
    expect(costOf(source, 'callback', 'shadow', guest).latency).toEqual(latency);
    expect(median('posted', 'shadow') > median('posted', 'hypervisor')).toBe(guest === 'running');
  });

  it('switches to a worker by the work queue, and to no other thread where it is raised on the spot', () => {
    const switches = (way: EventWay) => costOf(source, 'callback', way, guest).switches;
    const wakes = guest === 'halted' ? 1 : 0;
    expect(switches('hypervisor')).toBeCloseTo(wakes, 1);
    expect(switches('workqueue')).toBeGreaterThan(wakes + 0.9);
  });
});

describe('an event that is posted to a running guest', () => {
  it.each(XEN_SOURCES)('ends no guest mode for its delivery, unless the vCPU must move a shadow: %s', (source) => {
    const forced = (way: EventWay): number => costOf(source, 'posted', way).exits.EXTERNAL_INTERRUPT ?? 0;
    expect([forced('hypervisor'), forced('eventfd'), forced('workqueue')]).toEqual([0, 0, 0]);
    expect(forced('shadow')).toBeCloseTo(1, 1);
  });
});

describe('the callback vector', () => {
  it.each(XEN_SOURCES)(
    'costs an exit for a window each time, as it is still requested when it is injected: %s',
    (source) => {
      expect(costOf(source, 'callback', 'hypervisor').exits.INTERRUPT_WINDOW).toBeCloseTo(1, 1);
      expect(costOf(source, 'posted', 'hypervisor').exits.INTERRUPT_WINDOW).toBeUndefined();
    },
  );
});

describe('userspace', () => {
  it('is returned to for each send and each timer that is armed, and only woken by a device', () => {
    const returns = (source: XenSource, way: EventWay): number => costOf(source, 'callback', way).userspace;
    expect(XEN_SOURCES.map((source) => Math.round(returns(source, 'userspace')))).toEqual([1, 1, 0]);
    expect(XEN_SOURCES.map((source) => returns(source, 'hypervisor'))).toEqual([0, 0, 0]);
    expect(costOf('pirq', 'callback', 'userspace').switches).toBeCloseTo(1, 1);
  });
});

it('is drawn with each way for each source, upcall and guest, on a screen of 120 columns', () => {
  const lines = drawXenEvtchn(data).split('\n');
  for (const way of Object.keys(EVENT_WAYS))
    expect(lines.filter((line) => new RegExp(`^ +${way} +\\d`).test(line))).toHaveLength(3 * 2 * 2);
  expect(lines.filter((line) => line.length > 120)).toEqual([]);
});
