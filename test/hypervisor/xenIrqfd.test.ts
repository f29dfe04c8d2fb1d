// Events from devices: routes from GSIs to event channels, and eventfds that try on the spot.

import { describe, expect, it } from 'vitest';
import { Hrtimer, type HrtimerOwner } from '../../src/host/hrtimer.ts';
import { XenIrqfd } from '../../src/hypervisor/xen/irqfd.ts';
import { PRIO_2LEVEL } from '../../src/hypervisor/xen/names.ts';
import { run, shutdown } from './pvRig.ts';
import { hlt, sti, type Step } from './scriptedCpu.ts';
import type { VmRig } from './vmRig.ts';
import { errnoOf, infoAt, isPending, mask, SHARED, takeAway, UPCALL_VECTOR, xenRig } from './xenRig.ts';

const GSI = 40;
const PIRQ = { port: 9, vcpu: 0, priority: PRIO_2LEVEL };
const routed = (script: Step[] = []): VmRig => {
  const rig = xenRig([script]);
  rig.vm.xen!.routes.route(GSI, PIRQ);
  return rig;
};
/** A device of the host whose interrupt comes at a position, and signals the eventfd. */
const device = (rig: VmRig, irqfd: XenIrqfd, at: number): void => {
  const owner: HrtimerOwner = {
    name: 'a device',
    onHrtimer: () => {
      irqfd.signal();
      return 'norestart';
    },
  };
  new Hrtimer(rig.host, owner, 'interrupt').start(at);
};
const results = (rig: VmRig): unknown[] => rig.events.filter(({ name }) => name === 'kvm_xen_evtchn').map(({ event }) => event.result); // prettier-ignore

describe('a GSI that leads to an event channel', () => {
  it('raises its event when it goes high, and answers as any interrupt line', () => {
    const rig = routed();
    mask(rig, 10);
    expect([rig.vm.irqLine(GSI, true), rig.vm.irqLine(GSI, true), rig.vm.irqLine(GSI, false)]).toEqual([1, 0, -22]);
    expect(isPending(rig, 9)).toBe(true);
    rig.vm.xen!.routes.route(GSI, { ...PIRQ, port: 10 });
    expect(rig.vm.irqLine(GSI, true)).toBe(-107);
  });

  it('leads to a 2-level channel that there can be, or is EINVAL', () => {
    const route = (port: number, priority = PRIO_2LEVEL) =>
      errnoOf(() => xenRig([[]]).vm.xen!.routes.route(GSI, { port, vcpu: 0, priority }));
    expect([route(4095), route(4096), route(5, 1)]).toEqual(['no error', 'EINVAL', 'EINVAL']);
  });

  it('leads nowhere once the route is taken back', () => {
    const rig = routed();
    rig.vm.xen!.routes.route(GSI, null);
    expect(rig.vm.xen!.routes.setInAtomic(GSI)).toBe(-22);
  });
});

describe('an eventfd on such a GSI', () => {
  it('raises the event in the hard interrupt of its device', () => {
    const rig = routed([sti, hlt, { run: 10 }, shutdown]);
    device(rig, new XenIrqfd(rig.vm.xen!.routes, GSI), 50_000);
    run(rig);
    expect(rig.guests[0]!.delivered.map(({ vector }) => vector)).toEqual([UPCALL_VECTOR]);
    expect(results(rig)).toEqual([1]);
    expect(rig.host.threads).toHaveLength(1);
  });

  it('leaves it to a worker when shared_info is away, and the event comes all the same', () => {
    const rig: VmRig = routed([sti, { then: () => takeAway(rig, SHARED) }, { run: 400_000 }, shutdown]);
    device(rig, new XenIrqfd(rig.vm.xen!.routes, GSI), 50_000);
    run(rig);
    expect(results(rig)).toEqual([-11, -11, 1]);
    expect(infoAt(rig, 0)).toEqual({ upcall: 1, sel: 1n });
    expect(rig.host.threads.length).toBeGreaterThan(1);
  });

  it('waits there for a page that the host has paged out', () => {
    const delay = 30_000;
    const rig: VmRig = xenRig([[sti, { run: 400_000 }, shutdown]], { swap: { delay } });
    rig.vm.xen!.routes.route(GSI, PIRQ);
    rig.vm.swap!.pageOut(SHARED / 4096, 1);
    device(rig, new XenIrqfd(rig.vm.xen!.routes, GSI), 50_000);
    run(rig);
    const times = rig.events.filter(({ name }) => name === 'kvm_xen_evtchn').map(({ time }) => time);
    expect(results(rig)).toEqual([-11, -11, 1]);
    expect(times[2]! - times[0]!).toBeGreaterThanOrEqual(delay);
  });

  it('that never tries takes the way through the worker each time', () => {
    const rig: VmRig = routed([sti, { run: 400_000 }, shutdown]);
    device(rig, new XenIrqfd(rig.vm.xen!.routes, GSI, true), 50_000);
    run(rig);
    expect(results(rig)).toEqual([1]);
    expect(rig.host.threads.length).toBeGreaterThan(1);
  });
});
