// Work items and what waits for them (Linux kernel/workqueue.c, the part that its users see). The threads that run them are
// in workerPool.ts.
//
// Theory: a work item is data, {owner, kind, arguments}, and is queued, running, both or neither. Queueing one that is queued
// already does nothing. An item never runs twice at once: queued while it runs, it waits for the pool that runs it.

import type { Cell } from './cells.ts';
import { mightSleep } from './context.ts';
import { COST } from './costs.ts';
import type { PhysicalCpu } from './cpu.ts';
import type { Host } from './host.ts';
import type { HostFields } from './savedFields.ts';
import { block, type Sleep } from './sleep.ts';
import type { Thread } from './thread.ts';
import { WorkerPool } from './workerPool.ts';

/** Whoever owns work; told by the item's `kind` and `args` what to do, in a thread that may sleep. */
export interface WorkOwner {
  readonly name: string;
  onWork(item: WorkItem): Sleep<void>;
}

/** struct work_struct. */
export class WorkItem {
  readonly owner: WorkOwner;
  readonly kind: string;
  readonly args: readonly number[];
  /** The pool in whose line it stands; null: it is not queued. */
  queuedIn: Cell<WorkerPool | null> = null;
  /** The pool and the worker that run it; null: it does not run. */
  runsIn: Cell<WorkerPool | null> = null;
  worker: Cell<Thread | null> = null;
  /** How many queueings have been run to their end or cancelled. */
  settled: Cell<number> = 0;
  /** Somebody cancels it and waits: it cannot be queued meanwhile. */
  cancelling: Cell<number> = 0;
  readonly waiters: Thread[] = [];

  constructor(owner: WorkOwner, kind: string, args: readonly number[] = []) {
    this.owner = owner;
    this.kind = kind;
    this.args = args;
  }

  /** work_pending(). */
  get pending(): boolean {
    return this.queuedIn !== null;
  }
  get name(): string {
    return `the work "${this.kind}" of ${this.owner.name}`;
  }
}

/** A host's workers, those of each CPU and those that may run anywhere: system_wq and system_unbound_wq. */
export class Workqueue {
  readonly #host: Host;
  readonly #pools: readonly WorkerPool[];
  readonly #unbound: WorkerPool;
  /** Items that live as long as their owners: a snapshot knows them by name. */
  readonly #lasting = new Set<WorkItem>();

  constructor(host: Host) {
    this.#host = host;
    this.#pools = host.cpus.map((cpu) => new WorkerPool(host, `${cpu.id}`, [cpu], false));
    this.#unbound = new WorkerPool(host, 'u0', host.cpus, true);
    host.workqueues.push(this);
  }

  /** Every pool, the one that may run anywhere last. */
  get pools(): readonly WorkerPool[] {
    return [...this.#pools, this.#unbound];
  }

  /** An item that its owner queues again and again. */
  lasting(owner: WorkOwner, kind: string): WorkItem {
    const item = new WorkItem(owner, kind);
    this.#lasting.add(item);
    return item;
  }

  /** queue_work(): on the calling CPU. False when it is queued already, or being cancelled. */
  queue(item: WorkItem): boolean {
    return this.queueOn(this.#host.thisCpu, item);
  }

  /** queue_work_on(). */
  queueOn(cpu: PhysicalCpu, item: WorkItem): boolean {
    return this.#insert(this.#pools[cpu.id]!, item);
  }

  /** queue_work() of an unbound queue: on whichever CPU has time. */
  queueUnbound(item: WorkItem): boolean {
    return this.#insert(this.#unbound, item);
  }

  /** flush_work(): waits until the last queueing has been run to its end. False when there was none. */
  *flush(item: WorkItem): Sleep<boolean> {
    this.#mayWait('flush_work', item);
    const outstanding = (item.runsIn === null ? 0 : 1) + (item.queuedIn === null ? 0 : 1);
    const last = item.settled + outstanding;
    yield* this.#waitUntilSettled(item, last);
    return outstanding > 0;
  }

  /** cancel_work_sync(): afterwards the item is neither queued nor running. True when it was queued. */
  *cancelSync(item: WorkItem): Sleep<boolean> {
    this.#mayWait('cancel_work_sync', item);
    const waited = this.#dequeue(item);
    item.cancelling++;
    if (item.runsIn !== null) yield* this.#waitUntilSettled(item, item.settled + 1);
    item.cancelling--;
    return waited;
  }

  /** The owner of a lasting item goes away: where it waits, it is not run any more. */
  release(item: WorkItem): void {
    this.#dequeue(item);
    this.#lasting.delete(item);
  }

  /** True when it was queued. */
  #dequeue(item: WorkItem): boolean {
    const pool = item.queuedIn;
    if (pool === null) return false;
    pool.remove(item);
    item.queuedIn = null;
    this.settle(item);
    return true;
  }

  /** One queueing of the item is over. */
  settle(item: WorkItem): void {
    item.settled++;
    for (const thread of item.waiters.splice(0)) this.#host.wakeUp(thread);
  }

  /** What waits to be run, and who runs it: each worker stands between two items, or the snapshot is refused. */
  transfer(fields: HostFields): void {
    for (const [index, pool] of this.pools.entries()) {
      const part = fields.part(`pool ${index}`);
      pool.transfer(part);
      const waiting = part.data('waiting', pool.waiting.map((item) => this.#nameOf(item, part))); // prettier-ignore
      if (!fields.restoring) continue;
      for (const name of waiting) pool.restore(this.#named(name, part), this);
    }
  }

  #nameOf(item: WorkItem, fields: HostFields): string {
    if (!this.#lasting.has(item)) fields.refuse(`${item.name} waits for a worker`, 'let the machine go on for a step');
    return item.name;
  }

  #named(name: string, fields: HostFields): WorkItem {
    const item = [...this.#lasting].find((each) => each.name === name);
    return item ?? fields.refuse(`${name} waits for a worker in the snapshot, and nobody has it here`, 'connect its owner (option connect)'); // prettier-ignore
  }

  #insert(pool: WorkerPool, item: WorkItem): boolean {
    if (item.queuedIn !== null || item.cancelling > 0) return false;
    const where = item.runsIn ?? pool;
    item.queuedIn = where;
    this.#host.thisCpu.charge(COST.barrier);
    where.add(item, this);
    return true;
  }

  *#waitUntilSettled(item: WorkItem, count: number): Sleep<void> {
    while (item.settled < count) {
      item.waiters.push(this.#host.thisCpu.thread!);
      yield* block(item.name);
    }
  }

  #mayWait(what: string, item: WorkItem): void {
    const cpu = this.#host.thisCpu;
    mightSleep(cpu, item.name);
    if (item.worker !== cpu.thread) return;
    throw new Error(`${what} of ${item.name} from that work itself would wait for itself (${cpu.describe()})`);
  }
}
