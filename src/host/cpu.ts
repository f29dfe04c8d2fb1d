// A physical CPU of the modelled host: its position in virtual time, its interrupt and preemption state, and the events that
// wait for it. Which CPU runs next is decided in host.ts, which thread runs on it in scheduler.ts.
//
// Theory: code runs on a CPU in one of three contexts, each of which interrupts those before it: in a thread, in a softirq
// (on the way back from hard interrupts, with these on again), in a hard interrupt. Only a thread may sleep.

import { EventQueue, type HostEvent } from './queue.ts';
import { COST, PRIMITIVE_COUNT, type CostModel } from './costs.ts';
import { GenericTimer } from './genericTimer.ts';
import { Gic } from './gic.ts';
import { LocalTimer } from './localTimer.ts';
import type { HostFields } from './savedFields.ts';
import type { Thread } from './thread.ts';

/** `guestHalt` of a CPU whose guest has not halted. */
export const RUNS = -1;

export class PhysicalCpu {
  readonly id: number;
  /** Position in time, in cycles: the host TSC of this CPU. An idle CPU's stays where it went idle; see `position`. */
  now = 0;
  /** Interrupts and timers that will arrive here. */
  readonly events = new EventQueue();
  /** The thread that runs here; null: idle. */
  thread: Thread | null = null;
  /** The current-VMCS pointer: whose guest this processor would enter; whose it is, is the hypervisor's business. */
  currentVmcs: object | null = null;
  /**
   * The guest that runs here has halted without leaving guest mode: until its next event, or this position if that is
   * earlier. RUNS: it has not.
   */
  guestHalt = RUNS;
  /** TIF_NEED_RESCHED: the running thread makes room at its next preemption point. */
  needResched = false;
  /** EFLAGS.IF of the host: hard interrupts are taken only while it is set. */
  interruptsEnabled = true;
  /** preempt_count(): above 0 the running thread keeps the CPU. */
  preemptCount = 0;
  /** The event whose hard interrupt handler runs right now; null outside interrupt context. */
  hardirq: HostEvent | null = null;
  /** The softirq, or the timer in it, whose callback runs or was interrupted; null outside. */
  softirq: HostEvent | null = null;
  /** The local APIC's timer, and the hrtimers that were started here. */
  readonly localTimer: LocalTimer;
  /** The timer that a guest may own, and the interrupt controller behind it: hardware of seed 003. */
  readonly vtimer = new GenericTimer(this);
  readonly gic = new Gic(this, this.vtimer);
  /** Spinning locks that are held here, the last one last. */
  readonly locksHeld: { describe(): string }[] = [];
  readonly #softirqs: HostEvent[] = [];
  /** How often each primitive was charged here, by number (costs.ts). */
  readonly charged = new Float64Array(PRIMITIVE_COUNT);
  /** Cycles that one charge of each costs. */
  readonly costs: Float64Array;

  constructor(id: number, costs: CostModel) {
    this.id = id;
    this.costs = costs.cycles;
    this.localTimer = new LocalTimer(this);
  }

  /** Where this CPU stands for the rule that the one furthest behind runs: an idle or halted one stands at its next event. */
  get position(): number {
    if (this.thread === null) return Math.max(this.now, this.events.next);
    return this.guestHalt === RUNS ? this.now : Math.max(this.now, Math.min(this.events.next, this.guestHalt));
  }

  /** Spends the time of one primitive (a number of COST). */
  charge(primitive: number): void {
    this.now += this.costs[primitive]!;
    this.charged[primitive]++;
  }

  /** Cycles that one charge of a primitive costs. */
  costOf(primitive: number): number {
    return this.costs[primitive]!;
  }

  /** local_irq_disable(): what became due before is taken first. */
  disableInterrupts(): void {
    if (this.interruptsEnabled && this.events.next <= this.now) this.takeInterrupts();
    this.interruptsEnabled = false;
  }

  /** local_irq_enable(): what became due meanwhile is taken at once. */
  enableInterrupts(): void {
    this.interruptsEnabled = true;
    if (this.events.next <= this.now) this.takeInterrupts();
  }

  /** local_irq_save(): whether interrupts were on, for `localIrqRestore`. */
  localIrqSave(): boolean {
    const enabled = this.interruptsEnabled;
    this.disableInterrupts();
    return enabled;
  }
  localIrqRestore(enabled: boolean): void {
    if (enabled) this.enableInterrupts();
  }

  disablePreemption(): void {
    this.preemptCount++;
  }
  enablePreemption(): void {
    this.preemptCount--;
  }

  /** The thread that ran here ended, wherever it stood: interrupts and preemption are on for the next. */
  leaveAtomic(): void {
    this.interruptsEnabled = true;
    this.preemptCount = 0;
    this.guestHalt = RUNS;
  }

  /** Whether an interrupt waits to be taken. */
  get interruptPending(): boolean {
    return this.events.next <= this.now;
  }

  /**
   * Takes every event that is due, each as one hard interrupt; then, as irq_exit() does, what these left for softirqs. An
   * event that lies in the past is taken at this position.
   */
  takeInterrupts(): void {
    if (this.hardirq !== null) return;
    const enabled = this.interruptsEnabled;
    this.interruptsEnabled = false;
    for (let event = this.events.take(this.now); event !== undefined; event = this.events.take(this.now)) {
      this.hardirq = event;
      this.charge(COST.hardirq);
      event.owner.onEvent(event);
      this.hardirq = null;
    }
    if (this.#softirqs.length > 0 && this.softirq === null) this.#runSoftirqs();
    this.interruptsEnabled = enabled;
  }

  /** What a snapshot keeps; it is taken between two pieces of host code, when no interrupt is handled and no lock held. */
  transfer(fields: HostFields): void {
    this.events.transfer(fields.part('events'));
    fields.own<PhysicalCpu>(this, 'now', 'guestHalt', 'needResched', 'interruptsEnabled', 'preemptCount');
    this.thread = fields.thread('thread', this.thread);
    this.localTimer.transfer(fields.part('localTimer'));
    fields.elements('charged', this.charged);
  }

  /** What stands half way here, which no snapshot can hold; null: nothing. */
  get halfway(): string | null {
    if (this.hardirq !== null || this.softirq !== null || this.#softirqs.length > 0) return this.describe();
    return this.locksHeld.length > 0 ? this.describe() : null;
  }

  /** raise_softirq(): runs on the way back from the present hard interrupt. */
  raiseSoftirq(event: HostEvent): void {
    if (!this.#softirqs.includes(event)) this.#softirqs.push(event);
  }

  /** __do_softirq(): with interrupts on, whatever was interrupted. There is no ksoftirqd that would take over from it. */
  #runSoftirqs(): void {
    this.preemptCount++;
    for (let event = this.#softirqs.shift(); event !== undefined; event = this.#softirqs.shift()) {
      this.softirq = event;
      this.charge(COST.softirq);
      this.enableInterrupts();
      event.owner.onEvent(event);
      this.disableInterrupts();
      this.softirq = null;
    }
    this.preemptCount--;
  }

  /** What this CPU is doing, for an error that names both ends of a broken contract. */
  describe(): string {
    if (this.hardirq !== null)
      return `CPU ${this.id}, in the hard interrupt "${this.hardirq.kind}" of ${this.hardirq.owner.name}`;
    if (this.softirq !== null)
      return `CPU ${this.id}, in the softirq callback "${this.softirq.kind}" of ${this.softirq.owner.name}`;
    const running = this.thread === null ? 'idle' : `in ${this.thread.name}`;
    const interrupts = this.interruptsEnabled ? '' : ', interrupts off';
    const locks = this.locksHeld.map((lock) => `, holding ${lock.describe()}`).join('');
    return `CPU ${this.id}, ${running}${interrupts}${this.preemptCount > 0 ? ', preemption off' : ''}${locks}`;
  }
}
