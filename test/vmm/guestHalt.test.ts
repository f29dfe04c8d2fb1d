// Guests that halt their physical CPU by themselves, and timer interrupts that a housekeeping CPU posts to them: nobody can
// tell but by the exits that are missing.

import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageFolder } from '../../src/cli/load.ts';
import { COST } from '../../src/host/costs.ts';
import { Host } from '../../src/host/host.ts';
import { samplesOf } from '../../src/lab/guestRun.ts';
import type { KvmParams } from '../../src/hypervisor/params.ts';
import { recordEvents, namesOf } from '../../src/testing/index.ts';
import { bootCase, brokenPromises, casesOfFile, imageOfFile, runCase } from '../../src/testing/guestCases.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import type { Machine } from '../../src/vmm/machine.ts';

const file = (guest: string): string => join(packageFolder(), 'guests', guest);
const MEMORY = 4 * 2 ** 20;
const SLICE = 7919;
const HALTS: Partial<KvmParams> = { hltInGuest: true };
const POSTED: Partial<KvmParams> = { ...HALTS, apicv: true, piInjectTimer: true };

/** The first case of a guest, with a CPU more than it has vCPUs. */
async function boot(guest: string, params: Partial<KvmParams>, options: Partial<BootOptions> = {}): Promise<Machine> {
  const [first] = casesOfFile(file(guest));
  const vcpus = first!.directives.vcpus ?? 1;
  return bootCase(await imageOfFile(file(guest)), first!, {
    memory: MEMORY,
    hostCpus: vcpus + 1,
    housekeeping: vcpus,
    params,
    ...options,
  });
}
const exitsOf = ({ counters }: Machine, reason: 'HLT' | 'EXTERNAL_INTERRUPT' | 'PREEMPTION_TIMER'): number =>
  counters.byReason.get(reason) ?? 0;

describe.each(['tick.s', 'ipi.s', 'timerlatency.s', 'lazy.s', 'lostwakeup.s'])('%s', (guest) => {
  it.each([
    ['halting in guest mode', HALTS],
    ['with posted timer interrupts', POSTED],
  ])('keeps its promises %s, in one state however it is cut', async (_, params) => {
    const [first] = casesOfFile(file(guest));
    const whole = await boot(guest, params);
    const result = runCase(whole, first!);
    expect(brokenPromises(whole, result, first!)).toEqual([]);
    expect(exitsOf(whole, 'HLT')).toBe(0);

    const cut = await boot(guest, params);
    for (let at = SLICE; ; at += SLICE) if (cut.run({ maxCycles: at }).kind !== 'budget') break;
    expect([cut.digest(), cut.counters.exits]).toEqual([whole.digest(), whole.counters.exits]);
  });
});

describe('a vCPU that has halted in guest mode', () => {
  it('is woken by the preemption timer, where no interrupts are posted', async () => {
    const machine = await boot('timerlatency.s', HALTS);
    machine.run();
    expect(exitsOf(machine, 'PREEMPTION_TIMER')).toBe(2000);
    expect(machine.counters.vcpus[0]).toMatchObject({ haltExits: 0, haltWakeup: 0 });
  });

  it('is woken by a kick, and by a posted interrupt without an exit', async () => {
    const kicked = await boot('ipilatency.s', HALTS);
    const posted = await boot('ipilatency.s', { ...HALTS, apicv: true });
    for (const machine of [kicked, posted]) machine.run();
    expect(kicked.counters.vcpus[1]!.irqExits).toBeGreaterThanOrEqual(2000);
    expect(posted.counters.vcpus[1]!.irqExits).toBe(0);
    expect(posted.counters.vcpus[1]!.exits).toBeLessThan(100);
  });

  it.each([
    ['halted', HALTS],
    ['with posted timer interrupts', POSTED],
  ])('can be stopped and go on, %s', async (_, params) => {
    const [first] = casesOfFile(file('ipi.s'));
    const machine = await boot('ipi.s', params);
    for (let at = 100_003; at < 1_000_000; at += 100_003) {
      machine.run({ maxCycles: at });
      expect(machine.pause()).toBe(null);
      machine.resume();
    }
    expect(brokenPromises(machine, runCase(machine, first!), first!)).toEqual([]);
  });

  it('is told of as halted, when nothing will ever wake it', async () => {
    const machine = await boot('lostwakeup.s', HALTS);
    const result = machine.run();
    expect(result).toMatchObject({
      kind: 'deadlock',
      vcpus: [
        { state: 'halted', waitsFor: 'vCPU 0 is halted, no timer is armed' },
        { state: 'halted', waitsFor: 'vCPU 1 is halted with interrupts disabled' },
      ],
    });
  });
});

describe('posted timer interrupts', () => {
  it('leave the guest nothing but the exits that arm them', async () => {
    const machine = await boot('timerlatency.s', POSTED);
    machine.run();
    const { msrWrites } = machine.counters;
    expect(msrWrites.get('MSR_TSC_DEADLINE')).toBe(2000);
    expect((['HLT', 'EXTERNAL_INTERRUPT', 'PREEMPTION_TIMER'] as const).map((r) => exitsOf(machine, r))).toEqual([0, 0, 0]); // prettier-ignore
    const [own, housekeeping] = machine.host.cpus;
    expect([own!.charged[COST.hardirq], housekeeping!.charged[COST.hardirq]]).toEqual([0, 2000]);
  });

  it('arrive as acceptance on the housekeeping CPU, between an entry and an exit of the vCPU', async () => {
    const machine = await boot('tick.s', POSTED);
    const all = recordEvents(machine);
    const own = recordEvents(machine, { vcpu: 0 });
    machine.run();
    const at = all.lines.findIndex((line) => line.startsWith('kvm_apicv_accept_irq'));
    const around = namesOf(all.lines.slice(at - 3, at + 2));
    expect(around).toEqual([
      'kvm_entry',
      'kvm_wait_lapic_expire',
      'kvm_apic_accept_irq',
      'kvm_apicv_accept_irq',
      'kvm_exit',
    ]);
    expect(namesOf(own.lines)).not.toContain('kvm_apicv_accept_irq');
    expect(own.lines.filter((line) => line.startsWith('kvm_hv_timer_state'))).not.toContain(
      'kvm_hv_timer_state: vcpu_id 0 hv_timer 1',
    );
  });

  it('are never early: who posts one that was armed in advance waits for the deadline', async () => {
    const machine = await boot('timerlatency.s', { ...POSTED, lapicTimerAdvance: true });
    machine.run();
    // An early one would be a large number: samples are unsigned.
    const samples = [...samplesOf(machine, 'running', 1000), ...samplesOf(machine, 'halted', 1000)];
    expect(Math.max(...samples)).toBeLessThan(10_000);
    expect(exitsOf(machine, 'EXTERNAL_INTERRUPT')).toBe(0);
  });

  it.each([
    ['without APIC virtualisation', { apicv: false }],
    ['while HLT exits', { hltInGuest: false }],
    ['while the parameter is off', { piInjectTimer: false }],
  ])('are not used %s: the preemption timer carries the deadlines', async (_, but) => {
    const machine = await boot('timerlatency.s', { ...POSTED, ...but });
    machine.run();
    expect(exitsOf(machine, 'PREEMPTION_TIMER')).toBeGreaterThanOrEqual(1000);
  });

  it('are not used by a timer on the vCPU’s own CPU, which has ended guest mode: it kicks, and nothing is lost', async () => {
    const machine = await boot('timerlatency.s', POSTED, { hostCpus: 1, housekeeping: 0 });
    machine.run();
    expect(machine.result).toMatchObject({ kind: 'power-off' });
    expect(exitsOf(machine, 'EXTERNAL_INTERRUPT')).toBe(2000);
  });
});

it('a housekeeping CPU that does not exist is refused', () => {
  expect(() => new Host({ cpus: 2, housekeeping: 2 })).toThrow('CPU 2 cannot keep house: the host has CPUs 0 to 1');
});
