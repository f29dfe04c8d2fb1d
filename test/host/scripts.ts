// Threads for tests of the scheduler: each follows a script that spends time, wakes others and notes what it sees.

import { COST_MODELS } from '../../src/host/costs.ts';
import { Host, SETTLE, type HostOutcome } from '../../src/host/host.ts';
import { HostEvent, type EventOwner } from '../../src/host/queue.ts';
import type { Sleep } from '../../src/host/sleep.ts';
import type { Thread } from '../../src/host/thread.ts';

/** A host whose primitives cost one cycle each, so that tests can count. */
export const unitHost = (cpus: number, quantum = 1000): Host => new Host({ cpus, costs: COST_MODELS.unit, quantum });

/** Runs until nothing more happens, or at most `steps` steps. */
export function runHost(host: Host, steps = 1000): HostOutcome {
  for (let i = 0; i < steps; i++) {
    const outcome = host.step();
    if (outcome !== 'progress') return outcome;
  }
  return 'progress';
}

/** Spends cycles, settles, and calls `see` at each of the given positions. */
export function* worker(host: Host, cpu: number, spend: readonly number[], see: (now: number) => void): Sleep<void> {
  const own = host.cpus[cpu]!;
  for (const cycles of spend) {
    own.now += cycles;
    yield SETTLE;
    see(own.now);
  }
}

/** An event that calls a function: only tests may do this. */
export function callback(name: string, run: () => void): HostEvent {
  const owner: EventOwner = { name: 'test', onEvent: run };
  return new HostEvent(owner, name);
}

export type { Thread };
