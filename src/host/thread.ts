// Host threads: a generator of the sleeping colour, and what the scheduler (scheduler.ts) knows about it.

import { HostEvent, type EventOwner } from './queue.ts';
import type { Atomic, Cell } from './cells.ts';
import type { PhysicalCpu } from './cpu.ts';
import type { HostFields } from './savedFields.ts';
import type { Sleep } from './sleep.ts';

export type ThreadState = 'runnable' | 'running' | 'blocked' | 'finished';

/** What a thread waits for that spins; who is ahead of its CPU looks for it (`mustSettle`). */
export interface Spin {
  /** Position at which it gives up. */
  readonly until: number;
  /** Whether what it waits for has come; may take it away, so `found` keeps that it did. */
  readonly done: () => boolean;
  found: boolean;
  /** Which `Host.mustSettle` has looked for it last. */
  looked: number;
}

/**
 * struct preempt_ops: told whenever its thread loses or gets a CPU, with preemption off. `schedOut` comes first, at the
 * position of the CPU that is left; a thread that was preempted is still `runnable` then, one that sleeps is not.
 */
export interface PreemptNotifier {
  /** `cpu` is where the thread goes on: not always where it left. */
  schedIn(cpu: PhysicalCpu): void;
  /** `next`: who gets the CPU; null: it idles. */
  schedOut(next: Thread | null): void;
}

/** A thread whose sleeps and wake-ups are somebody's business: PF_WQ_WORKER. */
export interface SleepWatcher {
  onSleep(): void;
  onWakeUp(): void;
}

export interface ThreadOptions {
  /** Where it may run; default: only on the CPU that it starts on. */
  readonly affinity?: readonly PhysicalCpu[];
  /** PF_KTHREAD: belongs to the host itself and not to anybody who uses it. */
  readonly kernel?: boolean;
  readonly watcher?: SleepWatcher;
  /** Stands for a thread that has been there and slept: it goes before those that run, as a woken one does. */
  readonly madeWhenNeeded?: boolean;
}

export class Thread implements EventOwner {
  readonly name: string;
  readonly body: Sleep<void>;
  readonly kernel: boolean;
  readonly watcher: SleepWatcher | null;
  affinity: readonly PhysicalCpu[];
  /** Where it runs or waits; of a blocked one, where it ran last. */
  cpu: PhysicalCpu;
  state: ThreadState = 'runnable';
  /**
   * TASK_INTERRUPTIBLE: set before the condition is looked at for the last time; a wake-up that comes between that look and
   * the block clears it, and the thread does not block. Only code that is preempted there (src/explore) ever sees that.
   */
  aboutToBlock: Cell<boolean> = false;
  /** What a blocked thread waits for, as it said itself. */
  waitsFor = '';
  /** Cycles of its slice that it has not used yet. */
  sliceLeft = 0;
  /** sched_info.run_delay: cycles that it has waited for a CPU, runnable, since it was made. */
  runDelay = 0;
  /** Position since which it waits; set whenever it gets in line. */
  queuedAt = 0;
  /** Position at which it left its last CPU. */
  leftAt = 0;
  /** Position at which it was woken up last. */
  wokenAt = 0;
  /** A thread that changes its CPU does not go back in time: it goes on at this position or later. */
  notBefore = 0;
  readonly preemptNotifiers: PreemptNotifier[] = [];
  /** Sleeping locks that it holds, by what they say of themselves. */
  readonly locksHeld: { readonly name: string }[] = [];
  /** While it spins (spinUntil) and others get on. */
  spin: Spin | null = null;
  /** schedule_timeout(): ends a block that has a limit. */
  readonly timeout: HostEvent;
  readonly #onTimeout: (thread: Thread) => void;

  constructor(
    name: string,
    cpu: PhysicalCpu,
    body: Sleep<void>,
    { affinity = [cpu], kernel = false, watcher }: ThreadOptions,
    onTimeout: (thread: Thread) => void,
  ) {
    this.name = name;
    this.cpu = cpu;
    this.body = body;
    this.kernel = kernel;
    this.watcher = watcher ?? null;
    this.affinity = affinity;
    this.timeout = new HostEvent(this, 'timeout');
    this.#onTimeout = onTimeout;
  }

  /** preempt_notifier_register(). */
  registerPreemptNotifier(notifier: PreemptNotifier): void {
    this.preemptNotifiers.push(notifier);
  }

  /** preempt_notifier_unregister(). */
  unregisterPreemptNotifier(notifier: PreemptNotifier): void {
    const index = this.preemptNotifiers.indexOf(notifier);
    if (index >= 0) this.preemptNotifiers.splice(index, 1);
  }

  /** A wake-up before the block: true when there would have been one. */
  stopBlocking(): Atomic<boolean> {
    const stopped = this.aboutToBlock;
    this.aboutToBlock = false;
    return stopped;
  }

  /** What a snapshot keeps. Locks are held, and notifiers registered, by what a thread is in the middle of. */
  transfer(fields: HostFields): void {
    this.cpu = fields.cpu('cpu', this.cpu);
    this.affinity = fields.cpus('affinity', this.affinity);
    this.state = fields.value('state', this.state);
    fields.own<Thread>(
      this,
      'aboutToBlock',
      'waitsFor',
      'sliceLeft',
      'leftAt',
      'wokenAt',
      'notBefore',
      'runDelay',
      'queuedAt',
    );
    fields.event('timeout', this.timeout);
  }

  onEvent(): void {
    this.#onTimeout(this);
  }
}
