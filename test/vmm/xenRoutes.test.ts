// Each source of events by each way: every event arrives, once, and leaves the traces of its way and of no other.

import { beforeAll, describe, expect, it } from 'vitest';
import { fileURLToPath } from 'node:url';
import { loadTestGuest, machineWishes, type Guest } from '../../src/testing/bootGuest.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { XEN_ROUTES, type XenRoute, type XenSource } from '../../src/vmm/xen/routing.ts';

const guestFile = (name: string): string => fileURLToPath(new URL(`../../guests/${name}.s`, import.meta.url));

/** What a guest makes: how many events of the source, and what it prints when each has come once. */
const CASES: readonly { source: XenSource; guest: string; events: number; says: RegExp }[] = [
  { source: 'ipi', guest: 'xenpingpong', events: 2000, says: /^1000 round trips/ },
  { source: 'timer', guest: 'xentick', events: 10, says: /^10 ticks of 100000 ns, 0 early/ },
  { source: 'pirq', guest: 'xenpirq', events: 7, says: /later: 1 events[^]*EOI: 2 events\nline low, EOI: 2 events\n$/ },
];

describe.each(CASES)('events of $source', ({ source, guest, events, says }) => {
  let loaded: Guest;
  beforeAll(async () => {
    loaded = await loadTestGuest(guestFile(guest));
  });
  const run = (route: XenRoute): Machine => {
    const { image, directives } = loaded;
    const machine = Machine.boot({ image, ...machineWishes(directives), xenRoute: { [source]: route } });
    expect(machine.run({ maxCycles: 400_000_000 }).kind).toBe('power-off');
    return machine;
  };

  it.each(XEN_ROUTES)('come once each, by %s and no other way', (route) => {
    const machine = run(route);
    expect(machine.console.text).toMatch(says);
    const { stat } = machine.vm.xen!;
    expect(stat).toMatchObject({ delivered: events, coalesced: 0, masked: 0, noTarget: 0 });
    expect(stat.deferred).toBe(route === 'workqueue' ? events : 0);
    const signalled = route === 'eventfd' || route === 'workqueue' ? events : 0;
    expect(machine.counters.charged.get('eventfd') ?? 0).toBe(signalled);
    expect(stat.eventfds).toBe(source === 'ipi' ? signalled : 0);
    expect(stat.timersSignalled).toBe(source === 'timer' ? signalled : 0);
    expect(stat.timersFast).toBe(source === 'timer' && route === 'hypervisor' ? events : 0);
  });

  it('leave for the VMM only by userspace: a send or an arming each, and none of a device', () => {
    const [here, there] = [run('hypervisor'), run('userspace')];
    const exits = ({ vm }: Machine): number => vm.xen!.stat.hypercallExits;
    expect(exits(there) - exits(here)).toBe(source === 'pirq' ? 0 : events);
    expect(there.mainLoop.thread === null).toBe(source === 'ipi');
    expect(here.mainLoop.thread).toBe(null);
  });

  it('come later the longer the way is', () => {
    const end = (route: XenRoute): number => {
      const { host } = run(route);
      return Math.max(...host.cpus.map(({ now }) => now));
    };
    const [hypervisor, eventfd, workqueue] = [end('hypervisor'), end('eventfd'), end('workqueue')];
    if (source !== 'timer') {
      expect(eventfd).toBeGreaterThan(hypervisor);
      expect(workqueue).toBeGreaterThan(eventfd);
    } else expect(workqueue).toBeGreaterThan(hypervisor);
  });
});
