// The threads that share one physical CPU: who is next in line, and when the running one's slice ends.
//
// Theory: a thread has a slice of CPU time. While it lasts, waking up puts the thread first in line and it preempts whoever
// runs; a preempted thread goes behind those. A thread whose slice is used up gets a new one at the end of the line. So
// threads that only compute take turns, threads that mostly sleep get the CPU at once, and threads that wake each other all
// the time cannot starve the rest. The tick that ends a slice is queued only while somebody waits.

import { HostEvent, type EventOwner } from './queue.ts';
import type { PhysicalCpu } from './cpu.ts';
import type { HostFields } from './savedFields.ts';
import type { Thread } from './thread.ts';

/** Why a thread gets in line: it woke up, it was preempted, or it starts or has had its turn. */
export type Reason = 'woken' | 'preempted' | 'turn';

export class RunQueue implements EventOwner {
  readonly name: string;
  readonly cpu: PhysicalCpu;
  /** The resched IPI: returning from it, the CPU looks whether it needs to reschedule. */
  readonly reschedule = new HostEvent(this, 'reschedule');
  readonly #tick = new HostEvent(this, 'tick');
  readonly #slice: number;
  readonly #waiting: Thread[] = [];
  /** How many of the waiting have woken up and stand before the others. */
  #woken = 0;
  /** Position since which the running thread uses its slice. */
  #since = 0;

  constructor(cpu: PhysicalCpu, slice: number) {
    this.name = `the scheduler of CPU ${cpu.id}`;
    this.cpu = cpu;
    this.#slice = slice;
  }

  get length(): number {
    return this.#waiting.length;
  }

  /** Neither runs a thread nor has one in line: available_idle_cpu(). */
  get idle(): boolean {
    return this.cpu.thread === null && this.#waiting.length === 0;
  }

  /** enqueue_task(); true when the thread should preempt whoever runs. */
  enqueue(thread: Thread, reason: Reason): boolean {
    const inSlice = reason !== 'turn' && thread.sliceLeft > 0;
    if (!inSlice) {
      thread.sliceLeft = this.#slice;
      this.#waiting.push(thread);
    } else {
      this.#waiting.splice(this.#woken, 0, thread);
      if (reason === 'woken') this.#woken++;
    }
    if (this.cpu.thread !== null) this.#armTick(this.cpu.thread);
    return inSlice && reason === 'woken';
  }

  /** dequeue_task() of one that waits; false when it does not. */
  remove(thread: Thread): boolean {
    const index = this.#waiting.indexOf(thread);
    if (index < 0) return false;
    this.#waiting.splice(index, 1);
    if (index < this.#woken) this.#woken--;
    if (this.#waiting.length === 0) this.cpu.events.remove(this.#tick);
    return true;
  }

  /** set_next_buddy(): a thread that waits is to be the next; false when it does not wait. */
  promote(thread: Thread): boolean {
    const index = this.#waiting.indexOf(thread);
    if (index < 0) return false;
    this.#waiting.splice(index, 1);
    this.#waiting.unshift(thread);
    if (index >= this.#woken) this.#woken++;
    return true;
  }

  /** The first in line that is as asked. */
  find(wanted: (thread: Thread) => boolean): Thread | undefined {
    return this.#waiting.find(wanted);
  }

  /** pick_next_task(). */
  take(): Thread | null {
    const next = this.#waiting.shift();
    if (next === undefined) return null;
    if (this.#woken > 0) this.#woken--;
    return next;
  }

  /** A thread got the CPU: its time counts from here. */
  startSlice(thread: Thread): void {
    this.#since = this.cpu.now;
    this.cpu.events.remove(this.#tick);
    if (this.#waiting.length > 0) this.#armTick(thread);
  }

  /** update_curr(): the thread is about to leave the CPU. */
  endSlice(thread: Thread): void {
    thread.sliceLeft -= this.cpu.now - this.#since;
    thread.leftAt = this.cpu.now;
    this.cpu.events.remove(this.#tick);
  }

  transfer(fields: HostFields): void {
    fields.event('reschedule', this.reschedule);
    fields.event('tick', this.#tick);
    this.#waiting.splice(0, Infinity, ...fields.threads('waiting', this.#waiting));
    this.#woken = fields.value('woken', this.#woken);
    this.#since = fields.value('since', this.#since);
  }

  onEvent(event: HostEvent): void {
    if (event === this.#tick && this.#waiting.length > 0) this.cpu.needResched = true;
  }

  #armTick(running: Thread): void {
    if (!this.#tick.queued) this.cpu.events.insert(this.#tick, Math.max(this.#since + running.sliceLeft, this.cpu.now));
  }
}
