// What a snapshot of the host needs besides plain values: references to physical CPUs and threads, and events that wait.

import type { SavedFields } from '../cpu/savedFields.ts';
import type { PhysicalCpu } from './cpu.ts';
import type { EventQueue, HostEvent } from './queue.ts';
import type { Thread } from './thread.ts';

export interface HostFields extends SavedFields {
  cpu<T extends PhysicalCpu | null>(name: string, now: T): T;
  cpus(name: string, now: readonly PhysicalCpu[]): readonly PhysicalCpu[];
  thread<T extends Thread | null>(name: string, now: T): T;
  threads(name: string, now: readonly Thread[]): Thread[];
  /** An event with its place among those that wait. `where`: whose queue it may be in, on each CPU; default: of interrupts. */
  event(name: string, event: HostEvent, where?: (cpu: PhysicalCpu) => EventQueue): void;
}
