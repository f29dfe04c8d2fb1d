// Who took a lock, where and when: kept as fields, because most locks never meet an error, and put into words when one does.

import { inThread } from './context.ts';
import type { PhysicalCpu } from './cpu.ts';
import type { HostEvent } from './queue.ts';
import type { Thread } from './thread.ts';

export class Holder {
  /** The CPU on which it was taken; null: nobody holds it. */
  cpu: PhysicalCpu | null = null;
  /** The thread that took it; null: it was taken in an interrupt or a softirq. */
  thread: Thread | null = null;
  #callback: HostEvent | null = null;
  #since = 0;

  take(cpu: PhysicalCpu): void {
    this.cpu = cpu;
    this.thread = inThread(cpu) ? cpu.thread : null;
    this.#callback = cpu.hardirq ?? cpu.softirq;
    this.#since = cpu.now;
  }

  release(): void {
    this.cpu = null;
    this.thread = null;
    this.#callback = null;
  }

  describe(): string {
    if (this.cpu === null) return 'nobody';
    return `${this.#who()} on CPU ${this.cpu.id} since cycle ${this.#since}`;
  }

  #who(): string {
    if (this.thread !== null) return this.thread.name;
    return this.#callback === null ? 'nobody' : `the callback "${this.#callback.kind}" of ${this.#callback.owner.name}`;
  }
}
