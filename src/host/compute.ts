// Thread code of which only the time matters.

import { SETTLE, SLICE, type Host } from './host.ts';
import type { Sleep } from './sleep.ts';
import type { Spin } from './thread.ts';

/**
 * Spins in the calling thread until `done()` or a position, whichever comes first: interrupts are taken and other CPUs get
 * on meanwhile. Asked before any time has passed, and again whenever something may have happened.
 */
export function* spinUntil(host: Host, until: number, done: () => boolean): Sleep<void> {
  const spin: Spin = { until, done, found: false, looked: -1 };
  while (!spin.found && !done()) {
    const cpu = host.thisCpu;
    if (cpu.now >= until) return;
    const interrupt = cpu.interruptsEnabled ? cpu.events.next : Infinity;
    // Never ahead of the others: what they do is seen when it happens.
    const next = Math.min(until, interrupt, Math.max(host.horizon(cpu), cpu.now + 1));
    // Cut short by the end of a run it keeps its turn, and its time: else the cut would decide who goes first.
    cpu.now = Math.max(cpu.now, Math.min(next, host.stopAt));
    const { thread } = cpu;
    thread!.spin = spin;
    yield cpu.now < next ? SLICE : SETTLE;
    thread!.spin = null;
  }
}

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
