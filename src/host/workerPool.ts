// The kworker threads that run the work queued to one CPU, or to all (Linux kernel/workqueue.c, struct worker_pool).
//
// Theory: a pool bound to a CPU keeps one worker running while there is work: when that one sleeps in the middle of an item,
// another goes on with the next, so that items may wait for each other. An unbound pool leaves that to the scheduler and has
// one worker for each item, up to one for each CPU. Workers are made when they are needed first, and stay.

import { RESCHED, type Host } from './host.ts';
import type { PhysicalCpu } from './cpu.ts';
import { block, type Sleep } from './sleep.ts';
import type { HostFields } from './savedFields.ts';
import type { SleepWatcher, Thread, ThreadOptions } from './thread.ts';
import type { WorkItem, Workqueue } from './workqueue.ts';

interface Waiting {
  readonly item: WorkItem;
  readonly queue: Workqueue;
}

export class WorkerPool implements SleepWatcher {
  readonly #host: Host;
  readonly #name: string;
  readonly #cpus: readonly PhysicalCpu[];
  readonly #unbound: boolean;
  readonly #waiting: Waiting[] = [];
  readonly #idle: Thread[] = [];
  readonly #workers: Thread[] = [];
  /** Those in the middle of an item. */
  readonly #busy = new Set<Thread>();
  /** nr_running: workers that are not asleep. */
  #running = 0;

  constructor(host: Host, name: string, cpus: readonly PhysicalCpu[], unbound: boolean) {
    this.#host = host;
    this.#name = name;
    this.#cpus = cpus;
    this.#unbound = unbound;
  }

  add(item: WorkItem, queue: Workqueue): void {
    this.#waiting.push({ item, queue });
    this.#kick();
  }

  remove(item: WorkItem): void {
    const index = this.#waiting.findIndex((waiting) => waiting.item === item);
    this.#waiting.splice(index, 1);
  }

  /** What waits in its line. */
  get waiting(): readonly WorkItem[] {
    return this.#waiting.map(({ item }) => item);
  }

  /** Whether the thread is a worker of this pool that stands between two items: one made anew goes on as it would. */
  hasBetweenItems(thread: Thread): boolean {
    return this.#workers.includes(thread) && !this.#busy.has(thread);
  }

  /** The next worker of a pool that is being restored. */
  adopt(): void {
    this.#workers.push(this.#host.scheduler.adopt(this.#nextName, this.#cpus[0]!, this.#work(), this.#options));
  }

  /** What a snapshot keeps beside the line. */
  transfer(fields: HostFields): void {
    this.#running = fields.value('running', this.#running);
    this.#idle.splice(0, Infinity, ...fields.threads('idle', this.#idle));
  }

  /** An item of a pool that is being restored, last in its line. */
  restore(item: WorkItem, queue: Workqueue): void {
    item.queuedIn = this;
    this.#waiting.push({ item, queue });
  }

  /** wq_worker_sleeping(). */
  onSleep(): void {
    this.#running--;
    this.#kick();
  }

  /** wq_worker_running(). */
  onWakeUp(): void {
    this.#running++;
  }

  /** kick_pool(): gets another worker going when there is work and nobody who would come to it. */
  #kick(): void {
    const most = this.#unbound ? this.#cpus.length : 1;
    if (this.#running >= most || !this.#waiting.some(({ item }) => item.runsIn === null)) return;
    const worker = this.#idle.pop();
    if (worker !== undefined) this.#host.wakeUp(worker);
    else this.#create();
  }

  #create(): void {
    const cpu = this.#host.scheduler.select({ affinity: this.#cpus, cpu: this.#cpus[0]! });
    this.#running++;
    this.#workers.push(this.#host.spawn(this.#nextName, cpu, this.#work(), this.#options));
  }

  get #nextName(): string {
    return `kworker/${this.#name}:${this.#workers.length}`;
  }
  get #options(): ThreadOptions {
    return { affinity: this.#cpus, kernel: true, watcher: this };
  }

  /** worker_thread(). */
  *#work(): Sleep<void> {
    for (;;) {
      const next = this.#take();
      if (next === undefined) {
        const self = this.#host.thisCpu.thread!;
        if (!this.#idle.includes(self)) this.#idle.push(self);
        yield* block('work');
      } else {
        yield* this.#process(next);
        if (this.#host.thisCpu.needResched) yield RESCHED;
      }
    }
  }

  /** process_one_work(). */
  *#process({ item, queue }: Waiting): Sleep<void> {
    const self = this.#host.thisCpu.thread!;
    item.queuedIn = null;
    item.runsIn = this;
    item.worker = self;
    this.#busy.add(self);
    yield* item.owner.onWork(item);
    this.#busy.delete(self);
    if (self.locksHeld.length > 0) {
      throw new Error(`${item.name} returned and still holds ${self.locksHeld.map(({ name }) => name).join(', ')}`);
    }
    item.runsIn = null;
    item.worker = null;
    queue.settle(item);
  }

  /** The first item that does not run already. */
  #take(): Waiting | undefined {
    const index = this.#waiting.findIndex(({ item }) => item.runsIn === null);
    return index < 0 ? undefined : this.#waiting.splice(index, 1)[0];
  }
}
