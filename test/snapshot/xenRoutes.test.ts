// A Xen guest that is moved while its events take another way than the hypervisor's goes on as it would have: eventfds and
// timers of the VMM are made again, and what waits for a worker or the main loop comes.

import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadTestGuest, machineWishes } from '../../src/testing/bootGuest.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { snapshotFromBytes, snapshotToBytes } from '../../src/vmm/snapshot/file.ts';
import { XEN_ROUTES, type XenSource } from '../../src/vmm/xen/routing.ts';
import { endOf } from './endOf.ts';

const guestFile = (name: string): string => fileURLToPath(new URL(`../../guests/${name}.s`, import.meta.url));
/** How often a guest is moved. */
const MOVES = 7;
const SMALL = 4 * 2 ** 20;

const GUESTS: readonly { source: XenSource; guest: string }[] = [
  { source: 'ipi', guest: 'xenpingpong' },
  { source: 'timer', guest: 'xentick' },
  { source: 'pirq', guest: 'xenpirq' },
];

describe.each(GUESTS)('a guest with events of $source', ({ source, guest }) => {
  it.each(XEN_ROUTES)('ends by %s as without snapshots', async (route) => {
    const { image, directives } = await loadTestGuest(guestFile(guest));
    const options = { image, memory: SMALL, ...machineWishes(directives), xenRoute: { [source]: route } };
    const whole = Machine.boot(options);
    whole.run({ maxCycles: 10 ** 9 });
    const cycles = Math.min(...whole.host.cpus.map(({ now }) => now));
    let machine = Machine.boot(options);
    for (let move = 1; move <= MOVES; move++) {
      machine.run({ maxCycles: Math.floor((cycles * move) / (MOVES + 1)) + 13 * move });
      machine = Machine.restore(snapshotFromBytes(snapshotToBytes(machine.snapshot())));
    }
    machine.run({ maxCycles: 10 ** 9 });
    expect(endOf(machine)).toEqual(endOf(whole));
  });
});
