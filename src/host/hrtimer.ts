// High-resolution timers with the contract of Linux's hrtimer: absolute expiry in hard interrupt context, on the CPU that
// started the timer. Times are host cycles.

import { COST } from './costs.ts';
import { HostEvent, type EventOwner } from './queue.ts';
import type { Cell } from './cells.ts';
import type { Host } from './host.ts';
import type { PhysicalCpu } from './cpu.ts';

/** What a callback answers: `restart` queues the timer again at `expires`, which the callback has moved forward. */
export type HrtimerRestart = 'restart' | 'norestart';

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
  readonly #event: HostEvent;
  #cpu: PhysicalCpu;

  constructor(host: Host, owner: HrtimerOwner, kind: string) {
    this.host = host;
    this.owner = owner;
    this.kind = kind;
    this.#event = new HostEvent(this, kind);
    this.#cpu = host.thisCpu;
  }

  get name(): string {
    return `${this.owner.name} ${this.kind}`;
  }

  /** Queued, or its callback is running: hrtimer_active(). */
  get active(): boolean {
    return this.#event.queued || this.running;
  }
  get queued(): boolean {
    return this.#event.queued;
  }
  /** The CPU on which it is queued or was last. */
  get cpu(): PhysicalCpu {
    return this.#cpu;
  }

  /** hrtimer_start(): queues the timer on the calling CPU, replacing an earlier start. An expiry in the past fires at once. */
  start(expires: number): void {
    this.#dequeue();
    const cpu = this.host.thisCpu;
    cpu.charge(COST.hrtimer);
    this.#cpu = cpu;
    this.expires = expires;
    this.#enqueue();
  }

  /** hrtimer_try_to_cancel(): true when it was queued, false when it was not, null when its callback is running just now. */
  tryToCancel(): boolean | null {
    if (this.running) return null;
    if (!this.#event.queued) return false;
    this.host.thisCpu.charge(COST.hrtimer);
    this.#dequeue();
    return true;
  }

  /**
   * hrtimer_cancel(): afterwards the timer is neither queued nor running. True when it was queued. A callback is atomic in
   * normal runs, so the only one that can be running is the caller's own, which would wait for itself: an error.
   */
  cancel(): boolean {
    const cancelled = this.tryToCancel();
    if (cancelled === null) {
      throw new Error(
        `hrtimer_cancel of ${this.name} from its own callback would wait for itself (${this.host.thisCpu.describe()}); answer 'norestart' instead`,
      );
    }
    return cancelled;
  }

  onEvent(): void {
    this.running = true;
    const due = this.expires;
    const answer = this.owner.onHrtimer(this);
    this.running = false;
    // A callback that started its timer anew has already queued it.
    if (answer === 'restart' && !this.#event.queued) {
      if (this.expires <= due) {
        throw new Error(`the callback of ${this.name} answered 'restart' without moving its expiry beyond ${due}`);
      }
      this.#enqueue();
    }
  }

  #enqueue(): void {
    const first = this.#cpu.events.next;
    const at = this.expires < Number.MAX_SAFE_INTEGER ? this.expires : Infinity;
    this.#cpu.events.insert(this.#event, at);
    if (at < first) this.#cpu.charge(COST.timerProgram);
  }

  #dequeue(): void {
    this.#cpu.events.remove(this.#event);
  }
}
