// What may be done where: the checks that Linux spells might_sleep() and lockdep_assert_*(), as errors that say where the
// caller stands.

import type { PhysicalCpu } from './cpu.ts';

/** in_task(): neither in a hard interrupt nor in a softirq. */
export function inThread({ hardirq, softirq, thread }: PhysicalCpu): boolean {
  return hardirq === null && softirq === null && thread !== null;
}

/** might_sleep(): an error unless a thread runs here with interrupts and preemption on. `on`: what it would wait for. */
export function mightSleep(cpu: PhysicalCpu, on: string): void {
  if (cpu.interruptsEnabled && cpu.preemptCount === 0 && inThread(cpu)) return;
  throw new Error(`a thread sleeps (waiting for ${on}) where it must not: ${cpu.describe()}`);
}
