// Thread code of which only the time matters.

import { SETTLE, type Host } from './host.ts';
import type { Sleep } from './sleep.ts';

/** Spends cycles of CPU time in the calling thread: it is interrupted, preempted and moved while it does. */
export function* compute(host: Host, cycles: number): Sleep<void> {
  let left = cycles;
  while (left > 0) {
    const cpu = host.thisCpu;
    const horizon = host.horizon(cpu);
    const interrupt = cpu.interruptsEnabled ? cpu.events.next : Infinity;
    // What an interrupt does is seen by others, so it is not reached by running ahead of them.
    const ahead = interrupt > horizon + host.quantum ? horizon + host.quantum : Math.max(horizon, cpu.now + 1);
    const until = Math.min(cpu.now + left, interrupt, ahead, host.stopAt);
    if (until > cpu.now) {
      left -= until - cpu.now;
      cpu.now = until;
    }
    yield SETTLE;
  }
}
