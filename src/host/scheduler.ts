// Who runs on which CPU: threads are started, put to sleep, woken, preempted and moved here (Linux kernel/sched/core.c).
// The order on one CPU is in runQueue.ts; which CPU is simulated next, and when a thread can be stopped, in host.ts.
//
// Theory: a thread is switched only where it yields, as host code between two yields is one piece. So preempt_enable() and
// the return from an interrupt do not switch by themselves: they leave `needResched` set, and the next yield with
// preemption and interrupts on honours it. Load is balanced when a thread starts or wakes up, and when a CPU is about to
// idle: it pulls whoever waits longest in the longest line. There is no periodic balancing.

import type { Atomic } from './cells.ts';
import { COST } from './costs.ts';
import type { PhysicalCpu } from './cpu.ts';
import type { Host } from './host.ts';
import type { HostEvent } from './queue.ts';
import { RunQueue, type Reason } from './runQueue.ts';
import type { HostFields } from './savedFields.ts';
import type { Sleep, SleepRequest } from './sleep.ts';
import { Thread, type ThreadOptions } from './thread.ts';

export class Scheduler {
  readonly threads: Thread[] = [];
  readonly #host: Host;
  readonly #slice: number;
  readonly #queues: readonly RunQueue[];
  readonly #onTimeout = (thread: Thread): void => void this.#makeRunnable(thread);

  constructor(host: Host, slice: number) {
    this.#host = host;
    this.#slice = slice;
    this.#queues = host.cpus.map((cpu) => new RunQueue(cpu, slice));
  }

  /** kthread_create_on_cpu() and wake_up_new_task(). `running`: somebody's code runs, so that an idle CPU has to be told. */
  spawn(name: string, cpu: PhysicalCpu, body: Sleep<void>, options: ThreadOptions, running: boolean): Thread {
    const thread = new Thread(name, cpu, body, options, this.#onTimeout);
    checkAffinity(thread, thread.affinity);
    if (!thread.affinity.includes(cpu)) throw new Error(`${name} starts on CPU ${cpu.id}, where it may not run`);
    this.threads.push(thread);
    thread.queuedAt = running ? this.#host.thisCpu.now : cpu.now;
    if (running) {
      thread.notBefore = this.#host.thisCpu.now;
      // Threads that are made when they are first needed run as if they had only slept until then: all of the host's own do.
      const slept = thread.kernel || options.madeWhenNeeded === true;
      if (slept) thread.sliceLeft = this.#slice;
      this.#place(thread, cpu, slept ? 'woken' : 'turn');
    } else {
      this.#queueOf(cpu).enqueue(thread, 'turn');
      if (cpu.thread === null) this.#scheduleOn(cpu);
    }
    return thread;
  }

  /** A thread of a machine that is being restored: where it stands, `transfer` says. */
  adopt(name: string, cpu: PhysicalCpu, body: Sleep<void>, options: ThreadOptions): Thread {
    const thread = new Thread(name, cpu, body, options, this.#onTimeout);
    this.threads.push(thread);
    return thread;
  }

  transfer(fields: HostFields): void {
    for (const [index, thread] of this.threads.entries()) thread.transfer(fields.part(`thread ${index}`));
    for (const queue of this.#queues) queue.transfer(fields.part(`queue ${queue.cpu.id}`));
  }

  /**
   * try_to_wake_up(): true when the thread was blocked, or about to. One access, as p->pi_lock makes it. `running`: somebody's
   * code runs, and will come by the scheduler.
   */
  wakeUp(thread: Thread, running: boolean): Atomic<boolean> {
    if (thread.state === 'running') return thread.stopBlocking();
    if (thread.state !== 'blocked') return false;
    const { thisCpu } = this.#host;
    thisCpu.charge(COST.wakeUp);
    this.#makeRunnable(thread);
    if (!running && thread.cpu === thisCpu && thisCpu.thread === null) this.#scheduleOn(thisCpu);
    return true;
  }

  /** Ends a thread wherever it stands: its CPU goes on with the next. */
  kill(thread: Thread): void {
    if (thread.state === 'finished') return;
    const { cpu } = thread;
    thread.state = 'finished';
    cpu.events.remove(thread.timeout);
    this.#queueOf(cpu).remove(thread);
    // Its own CPU's code may still be in it; host.ts then finds it finished.
    if (cpu.thread === thread && cpu !== this.#host.thisCpu) this.exit(cpu);
  }

  /** do_exit(), last part: the thread that ran here has ended, wherever it stood. Nobody is told that it lost the CPU. */
  exit(cpu: PhysicalCpu): void {
    cpu.leaveAtomic();
    this.#queueOf(cpu).endSlice(cpu.thread!);
    cpu.thread = null;
    this.#scheduleOn(cpu);
  }

  /** The running thread sleeps until it is woken, or until a position. */
  block(cpu: PhysicalCpu, thread: Thread, { on, until }: Extract<SleepRequest, { kind: 'block' }>): void {
    thread.state = 'blocked';
    thread.waitsFor = on;
    if (until !== null) cpu.events.insert(thread.timeout, until);
    thread.watcher?.onSleep();
    this.#queueOf(cpu).endSlice(thread);
    this.schedule(cpu);
  }

  /** A preemption point: the running thread makes room when it must, or when it has asked to (`turn`). */
  preempt(cpu: PhysicalCpu, thread: Thread, turn: boolean): void {
    const queue = this.#queueOf(cpu);
    const away = !thread.affinity.includes(cpu);
    cpu.needResched = false;
    if (thread.state !== 'running' || (queue.length === 0 && !away)) return;
    thread.state = 'runnable';
    thread.queuedAt = cpu.now;
    queue.endSlice(thread);
    if (away) {
      this.schedule(cpu);
      this.#move(thread, 'preempted');
    } else {
      queue.enqueue(thread, turn ? 'turn' : 'preempted');
      this.schedule(cpu);
    }
  }

  /** schedule(): whoever is first in line gets the CPU; nobody: it idles. */
  schedule(cpu: PhysicalCpu): void {
    const queue = this.#queueOf(cpu);
    const previous = cpu.thread;
    const next = queue.take() ?? this.#newidleBalance(cpu);
    cpu.needResched = false;
    if (previous !== null) leave(cpu, previous, next);
    cpu.thread = next;
    if (next === null) return;
    next.state = 'running';
    next.waitsFor = '';
    if (cpu.now < next.notBefore) cpu.now = next.notBefore;
    next.runDelay += Math.max(0, cpu.now - next.queuedAt);
    cpu.charge(COST.contextSwitch);
    queue.startSlice(next);
    for (const notifier of next.preemptNotifiers) atomically(cpu, () => notifier.schedIn(cpu));
  }

  /**
   * set_cpus_allowed_ptr(). A thread that waits on a CPU that it must leave moves at once, a running one at its next
   * preemption point, a blocked one when it wakes up.
   */
  setAffinity(thread: Thread, affinity: readonly PhysicalCpu[]): void {
    checkAffinity(thread, affinity);
    thread.affinity = affinity;
    const { cpu } = thread;
    if (affinity.includes(cpu)) return;
    if (thread.state === 'running') this.#resched(cpu);
    else if (this.#queueOf(cpu).remove(thread)) this.#move(thread, 'preempted');
  }

  /** The reschedule IPI of a CPU, one for all who send it. */
  rescheduleOf(cpu: PhysicalCpu): HostEvent {
    return this.#queueOf(cpu).reschedule;
  }

  /** single_task_running(): nobody else wants this CPU. */
  singleTaskRunning(cpu: PhysicalCpu): boolean {
    return this.#queueOf(cpu).length === 0;
  }

  /** yield_to(): the running thread makes room for one that waits in a line. False when that one does not wait. */
  yieldTo(thread: Thread): boolean {
    if (thread.state !== 'runnable' || !this.#queueOf(thread.cpu).promote(thread)) return false;
    this.#resched(thread.cpu);
    this.#resched(this.#host.thisCpu);
    return true;
  }

  /** select_task_rq(): the last CPU when it is idle, else an idle one, else the last, or the one with the shortest line. */
  select({ affinity, cpu }: { readonly affinity: readonly PhysicalCpu[]; readonly cpu: PhysicalCpu }): PhysicalCpu {
    if (affinity.length === 1) return affinity[0]!;
    const allowed = affinity.includes(cpu);
    if (allowed && this.#queueOf(cpu).idle) return cpu;
    const idle = affinity.find((other) => this.#queueOf(other).idle);
    if (idle !== undefined) return idle;
    if (allowed) return cpu;
    return affinity.reduce((best, other) => (this.#load(other) < this.#load(best) ? other : best));
  }

  /** newidle_balance(): a thread from the line of another CPU, for one that has nothing to do; null: there is none. */
  #newidleBalance(cpu: PhysicalCpu): Thread | null {
    let found: Thread | null = null;
    let longest = 0;
    for (const queue of this.#queues) {
      if (queue.cpu === cpu || queue.length <= longest) continue;
      const first = queue.find((thread) => thread.affinity.includes(cpu));
      if (first === undefined) continue;
      found = first;
      longest = queue.length;
    }
    if (found === null) return null;
    this.#queueOf(found.cpu).remove(found);
    found.cpu = cpu;
    found.notBefore = Math.max(found.leftAt, found.wokenAt);
    return found;
  }

  #makeRunnable(thread: Thread): boolean {
    if (thread.state !== 'blocked') return false;
    thread.state = 'runnable';
    thread.aboutToBlock = false;
    thread.wokenAt = thread.queuedAt = this.#host.thisCpu.now;
    // The timeout stays with the CPU on which it was started.
    thread.cpu.events.remove(thread.timeout);
    thread.watcher?.onWakeUp();
    this.#move(thread, 'woken');
    return true;
  }

  /** Puts a runnable thread in line on the CPU that suits it best now. */
  #move(thread: Thread, reason: Reason): void {
    const target = this.select(thread);
    if (target !== thread.cpu) thread.notBefore = Math.max(thread.leftAt, this.#host.thisCpu.now);
    this.#place(thread, target, reason);
  }

  #place(thread: Thread, target: PhysicalCpu, reason: Reason): void {
    thread.cpu = target;
    const preempts = this.#queueOf(target).enqueue(thread, reason);
    if (target.thread !== null) {
      if (preempts) this.#resched(target);
    } else if (target !== this.#host.thisCpu) {
      this.#host.sendReschedule(target);
    }
  }

  /** resched_curr(): the running thread is to be preempted; another CPU is told by an IPI, once. */
  #resched(cpu: PhysicalCpu): void {
    if (cpu.needResched) return;
    cpu.needResched = true;
    if (cpu !== this.#host.thisCpu) this.#host.sendReschedule(cpu);
  }

  /** A switch on a CPU whose code is not the one that runs now. */
  #scheduleOn(cpu: PhysicalCpu): void {
    const caller = this.#host.thisCpu;
    this.#host.thisCpu = cpu;
    this.schedule(cpu);
    this.#host.thisCpu = caller;
  }

  #load(cpu: PhysicalCpu): number {
    return this.#queueOf(cpu).length + (cpu.thread === null ? 0 : 1);
  }

  #queueOf(cpu: PhysicalCpu): RunQueue {
    return this.#queues[cpu.id]!;
  }
}

/** prepare_task_switch(): with interrupts off, so that nobody wakes up between the choice of the next thread and the switch. */
function leave(cpu: PhysicalCpu, { preemptNotifiers }: Thread, next: Thread | null): void {
  const enabled = cpu.interruptsEnabled;
  cpu.interruptsEnabled = false;
  for (const notifier of preemptNotifiers) atomically(cpu, () => notifier.schedOut(next));
  cpu.interruptsEnabled = enabled;
}

function atomically(cpu: PhysicalCpu, run: () => void): void {
  cpu.disablePreemption();
  run();
  cpu.enablePreemption();
}

function checkAffinity(thread: Thread, affinity: readonly PhysicalCpu[]): void {
  if (affinity.length === 0) throw new Error(`${thread.name} must be allowed to run somewhere`);
}
