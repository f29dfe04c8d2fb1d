// Where a guest page that is not there may be brought back: the context in which KVM's page caches may be refreshed.

import { mightSleep } from '../../host/context.ts';
import type { PhysicalCpu } from '../../host/cpu.ts';

/** !in_atomic() && task_is_running(current). A CPU without thread runs the VMM, from outside of the machine. */
export function mayFault({ hardirq, softirq, preemptCount, interruptsEnabled, thread }: PhysicalCpu): boolean {
  if (hardirq !== null || softirq !== null || preemptCount > 0 || !interruptsEnabled) return false;
  return thread === null || !thread.aboutToBlock;
}

/** might_fault(): an error where nobody may sleep. `on`: the page that would be waited for. */
export function mightFault(cpu: PhysicalCpu, on: string): void {
  if (cpu.thread === null && cpu.hardirq === null && cpu.softirq === null) return;
  mightSleep(cpu, on);
}
