// High-resolution timers with the contract of Linux's hrtimer: absolute expiry, on the CPU that started the timer, in hard
// interrupt context or in a softirq. Times are host cycles. What drives them is in localTimer.ts.
//
// Theory: a callback is one piece of host code, but it takes time: from the position of its start until that of its end
// another CPU finds it running. Whoever cancels the timer from there waits until that end. So cancel from the callback
// itself, or from an interrupt on top of it, would wait for ever.

import { COST } from './costs.ts';
import { HostEvent, type EventOwner } from './queue.ts';
import type { Cell } from './cells.ts';
import { mightSleep } from './context.ts';
import { SETTLE, type Host } from './host.ts';
import type { PhysicalCpu } from './cpu.ts';
import type { HostFields } from './savedFields.ts';
import type { Sleep } from './sleep.ts';

/** What a callback answers: `restart` queues the timer again at `expires`, which the callback has moved forward. */
export type HrtimerRestart = 'restart' | 'norestart';

/** HRTIMER_MODE_ABS_HARD, or _SOFT: the context of the callback. */
export type HrtimerMode = 'hard' | 'soft';

/** Whoever owns a timer; told by the timer's `kind` which one fired. The callback is atomic: it must not sleep. */
export interface HrtimerOwner {
  readonly name: string;
  onHrtimer(timer: Hrtimer): HrtimerRestart;
}

export class Hrtimer implements EventOwner {
  readonly host: Host;
  readonly owner: HrtimerOwner;
  readonly kind: string;
  /** Absolute expiry in cycles; at or beyond Number.MAX_SAFE_INTEGER: never. */
  expires: Cell<number> = 0;
  /** The callback is running. */
  running: Cell<boolean> = false;
  /** Position on its CPU at which the last callback ended: until then others find it running. */
  runsUntil: Cell<number> = 0;
  readonly #soft: boolean;
  readonly #pinned: boolean;
  readonly #event: HostEvent;
  #cpu: PhysicalCpu;

  constructor(host: Host, owner: HrtimerOwner, kind: string, mode: HrtimerMode = 'hard', pinned = true) {
    this.host = host;
    this.owner = owner;
    this.kind = kind;
    this.#soft = mode === 'soft';
    this.#pinned = pinned;
    this.#event = new HostEvent(this, kind);
    this.#cpu = host.thisCpu;
    host.hrtimers.push(this);
  }

  transfer(fields: HostFields): void {
    this.#cpu = fields.cpu('cpu', this.#cpu);
    fields.own<Hrtimer>(this, 'expires', 'running', 'runsUntil');
    fields.event('event', this.#event, ({ localTimer }) => localTimer.queue(this.#soft));
  }

  get name(): string {
    return `${this.owner.name} ${this.kind}`;
  }

  /** Queued, or its callback is running: hrtimer_active(). */
  get active(): boolean {
    return this.#event.queued || this.#callbackRuns();
  }
  get queued(): boolean {
    return this.#event.queued;
  }
  /** The CPU on which it is queued or was last. */
  get cpu(): PhysicalCpu {
    return this.#cpu;
  }

  /** hrtimer_start(): queues the timer on the calling CPU, an unpinned one on a housekeeping CPU, replacing an earlier start. An expiry in the past fires at once. */
  start(expires: number): void {
    this.#dequeue();
    const cpu = this.host.thisCpu;
    cpu.charge(COST.hrtimer);
    this.#cpu = this.#pinned ? cpu : this.host.timerTarget(cpu);
    this.expires = expires;
    this.#enqueue();
  }

  /** hrtimer_try_to_cancel(): true when it was queued, false when it was not, null when its callback is running just now. */
  tryToCancel(): boolean | null {
    if (this.#callbackRuns()) return null;
    if (!this.#event.queued) return false;
    this.host.thisCpu.charge(COST.hrtimer);
    this.#dequeue();
    return true;
  }

  /**
   * hrtimer_cancel(): afterwards the timer is neither queued nor running; true when it was queued. Waits for a callback on
   * another CPU by spinning, so it may be called with interrupts off, but not from that callback.
   */
  cancel(): boolean {
    for (;;) {
      const cancelled = this.tryToCancel();
      if (cancelled !== null) return cancelled;
      this.#spin();
    }
  }

  /** hrtimer_cancel() of a thread that lets others run while it waits for the callback. */
  *cancelAndWait(): Sleep<boolean> {
    mightSleep(this.host.thisCpu, `the callback of ${this.name}`);
    for (;;) {
      const cancelled = this.tryToCancel();
      if (cancelled !== null) return cancelled;
      this.#spin();
      yield SETTLE;
    }
  }

  onEvent(): void {
    this.running = true;
    const due = this.expires;
    const answer = this.owner.onHrtimer(this);
    this.running = false;
    this.runsUntil = this.host.thisCpu.now;
    // A callback that started its timer anew has already queued it.
    if (answer === 'restart' && !this.#event.queued) {
      if (this.expires <= due) {
        throw new Error(`the callback of ${this.name} answered 'restart' without moving its expiry beyond ${due}`);
      }
      this.#enqueue();
    }
  }

  #callbackRuns(): boolean {
    if (this.running) return true;
    const { thisCpu } = this.host;
    return thisCpu !== this.#cpu && thisCpu.now < this.runsUntil;
  }

  /** cpu_relax() until the callback has ended. */
  #spin(): void {
    const { thisCpu } = this.host;
    if (this.running && thisCpu === this.#cpu) {
      throw new Error(
        `hrtimer_cancel of ${this.name} from its own callback would wait for itself (${thisCpu.describe()}); answer 'norestart' instead`,
      );
    }
    thisCpu.now = Math.max(thisCpu.now, this.runsUntil);
  }

  #enqueue(): void {
    const at = this.expires < Number.MAX_SAFE_INTEGER ? this.expires : Infinity;
    this.#cpu.localTimer.add(this.#event, at, this.#soft);
  }

  #dequeue(): void {
    if (this.#event.queued) this.#cpu.localTimer.remove(this.#event, this.#soft);
  }
}
