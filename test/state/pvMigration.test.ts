// A guest that uses kvmclock, paravirtual EOIs and IPIs is moved while it does: its time goes on, and nothing is lost.

import { expect, it } from 'vitest';
import { DEFAULT_START_TIME } from '../../src/hypervisor/vm.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { corpus, MEMORY } from '../vmm/guest.ts';
import { restore, save } from './migrate.ts';

const LINES = `kvmclock: the date at 0 is 1577836800, 2000 readings, 0 went back
PV EOI: 100 interrupts, 0 of them ended by the MSR
PV IPI: 1 vCPU interrupted, it has counted 1
PV unhalt: vCPU 1 is awake
`;

it('goes on in a new machine, wherever it was stopped', async () => {
  const image = await corpus('pv');
  const boot = (startTime = DEFAULT_START_TIME): Machine =>
    Machine.boot({ image, vcpus: 2, memory: MEMORY, startTime });
  for (const stop of [60_000, 300_000, 500_000, 700_000]) {
    const source = boot();
    expect(source.run({ maxCycles: stop }).kind, `at ${stop}`).toBe('budget');
    source.pause();
    const { clock } = source.vm.clock.getClock();
    const target = boot(DEFAULT_START_TIME + 1); // a second later
    target.pause();
    restore(target, save(source));
    target.vm.clock.setClock(clock);
    expect(target.vm.clock.nanoseconds()).toBeGreaterThanOrEqual(clock);
    expect(target.vm.clock.nanoseconds()).toBeLessThan(clock + 100n);
    target.resume();
    expect(target.run({ maxCycles: 200_000_000 }).kind).toBe('power-off');
    expect(source.console.text + target.console.text, `stopped at ${stop}`).toBe(LINES);
  }
});
