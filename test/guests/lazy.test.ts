// Guests of the lazy TSC deadline under the versions that its series had, where they show what the fixed protocol does not.

import { describe, expect, it } from 'vitest';
import type { LazyVersion } from '../../src/hypervisor/params.ts';
import { runGuest } from '../../src/testing/index.ts';

const run = (guest: string, lazyTscdeadline: LazyVersion) =>
  runGuest(`guests/${guest}.s`, { params: { lazyTscdeadline } });

describe.each(['v2', 'v3'] as const)('%s', (version) => {
  it('interrupts early at each tick that was put off, and none is lost', async () => {
    const vm = await run('lazyswitch', version);
    expect(vm).toEndWith('power-off');
    expect(vm).toPrint('on: 20 ticks, 20 MSR writes, 20 early, 0 unasked');
  });

  it('raises an interrupt that nobody asked for, when the switch went off with a far deadline pending', async () => {
    expect(await run('lazyswitch', version)).toPrint('off: 20 ticks, 100 MSR writes, 0 early, 1 unasked');
  });

  it('lets go of the memory of a vCPU that is offline, or was reset', async () => {
    const vm = await run('lazyoffline', version);
    expect(vm).toPrint('INIT: the memory is untouched');
    expect(vm.console.text.match(/offline: the memory is untouched/g)).toHaveLength(3);
  });
});

describe('a vCPU that comes online again', () => {
  it('shares its structure before the first write of its deadline, and takes it back after the last', async () => {
    const vm = await runGuest('guests/lazyoffline.s');
    expect(vm).toWriteMsr('kvm-lazy-tscdeadline', 7); // four times on, three times off; INIT does the rest
    expect(vm.lazyDeadlines.map(({ state }) => state)).toEqual(['not open in guest', 'not open in guest']);
  });
});
