// CPUs that only spin, and one that settles: `mustSettle` brings them to where they would have come turn by turn.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { spinUntil } from '../../src/host/compute.ts';
import { Host, SETTLE } from '../../src/host/host.ts';
import { HostEvent } from '../../src/host/queue.ts';
import type { Sleep } from '../../src/host/sleep.ts';

interface Scene {
  /** Which of the CPUs settles; the others spin. */
  readonly settles: number;
  /** Where each CPU begins. */
  readonly starts: readonly number[];
  /** Cycles between two settlings. */
  readonly strides: readonly number[];
  /** How long after its start each spinner gives up, and whether (0) it finds something at once. */
  readonly patience: readonly number[];
  readonly looks: readonly number[];
  /** How long after the first thread runs an interrupt comes to each CPU. */
  readonly interrupts: readonly number[];
}

/** About what it costs to switch to a thread. */
const SWITCH = 1500;

/** Runs a scene; everything that anybody saw, with positions. */
function run(
  { settles, starts, strides, patience, looks, interrupts }: Scene,
  way: 'turns' | 'in place' | 'by itself',
): string[] {
  const host = new Host({ cpus: starts.length });
  const seen: string[] = [];
  const note = (id: number, what: string): void => void seen.push(`${id} ${what} at ${host.cpus[id]!.now}`);
  function* settler(): Sleep<void> {
    const cpu = host.cpus[settles]!;
    let until = -Infinity;
    let lead = 0;
    for (const stride of strides) {
      cpu.now += stride;
      // The thread of a vCPU does so when its guest observes time, or has left.
      if (cpu.now <= until && !cpu.interruptPending && !cpu.needResched) {
        if (host.isAhead(cpu)) {
          host.bringUp(cpu, cpu.now);
          expect(host.horizon(cpu) - cpu.now).toBe(lead);
        }
      } else {
        if (way === 'turns' ? host.isAhead(cpu) : host.mustSettle(cpu)) yield SETTLE;
        until = way === 'by itself' ? host.settlesUntil(cpu) : -Infinity;
        lead = host.leadOver(cpu);
      }
      note(settles, `settled, the others at ${host.cpus.map(({ now }) => now).join(' ')},`);
    }
  }
  function* spinner(id: number): Sleep<void> {
    const finds = looks[id] === 0;
    yield* spinUntil(host, host.thisCpu.now + patience[id]!, () => finds);
    note(id, finds ? 'found it' : 'gave up');
  }
  host.cpus.forEach((cpu, id) => {
    cpu.now = starts[id]!;
    host.spawn(`thread ${id}`, cpu, id === settles ? settler() : spinner(id));
    cpu.events.insert(
      new HostEvent({ name: 'test', onEvent: () => note(id, 'interrupted') }, 'tick'),
      SWITCH + interrupts[id]!,
    );
  });
  while (host.step() === 'progress');
  return seen;
}

const CPUS = 4;
const each = (max: number): fc.Arbitrary<number[]> => fc.array(fc.nat(max), { minLength: CPUS, maxLength: CPUS });
const scene: fc.Arbitrary<Scene> = fc.record({
  settles: fc.nat(CPUS - 1),
  starts: each(50),
  strides: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 12 }),
  patience: each(400),
  looks: each(1),
  interrupts: each(600).map((some) => some.map((n) => n + 100)),
});

describe('a CPU that settles while others spin', () => {
  it('sees the same, and so do they, as if each had its turns', () => {
    fc.assert(
      fc.property(scene, (some) => {
        expect(run(some, 'in place')).toEqual(run(some, 'turns'));
      }),
      { numRuns: 500 },
    );
  });

  it('settles by itself as far as nobody else acts, and all are where they would be', () => {
    fc.assert(
      fc.property(scene, (some) => {
        expect(run(some, 'by itself')).toEqual(run(some, 'turns'));
      }),
      { numRuns: 500 },
    );
  });
});
