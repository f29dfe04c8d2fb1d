// struct mutex: a lock that a thread may hold while it sleeps, and that it sleeps for (Linux kernel/locking/mutex.c).
//
// Theory: the owner is a thread. Unlock wakes the first who waits but does not hand the lock over: whoever comes by first
// gets it, so a wake-up is a reason to look again. There is no optimistic spinning.

import type { Cell, Cells } from './cells.ts';
import { inThread, mightSleep } from './context.ts';
import { COST } from './costs.ts';
import { Holder } from './holder.ts';
import type { Host } from './host.ts';
import { block, type Sleep } from './sleep.ts';
import type { Thread } from './thread.ts';

export class Mutex {
  readonly name: string;
  readonly #host: Host;
  readonly #holder = new Holder();
  readonly #waiters: Cells<Thread[]> = [];
  #owner: Cell<Thread | null> = null;

  constructor(host: Host, name: string) {
    this.name = name;
    this.#host = host;
  }

  /** mutex_is_locked(), and by whom. */
  get owner(): Thread | null {
    return this.#owner;
  }

  /** mutex_lock(). */
  *lock(): Sleep<void> {
    mightSleep(this.#host.thisCpu, this.#wanted());
    const self = this.#host.thisCpu.thread!;
    if (this.#owner === self) {
      throw new Error(
        `${this.#host.thisCpu.describe()}: takes ${this.name} again, and would wait for itself: held by ${this.#holder.describe()}`,
      );
    }
    while (this.#owner !== null) {
      if (!this.#waiters.includes(self)) this.#waiters.push(self);
      yield* block(this.#wanted());
    }
    const waiting = this.#waiters.indexOf(self);
    if (waiting >= 0) this.#waiters.splice(waiting, 1);
    this.#take(self);
  }

  /** mutex_trylock(): true when it is taken. Not for interrupts, since only a thread can own it. */
  tryLock(): boolean {
    const cpu = this.#host.thisCpu;
    if (!inThread(cpu)) throw new Error(`${cpu.describe()}: only a thread can own ${this.#wanted()}`);
    if (this.#owner !== null) return false;
    this.#take(cpu.thread!);
    return true;
  }

  /** mutex_unlock(), by its owner. */
  unlock(): void {
    const cpu = this.#host.thisCpu;
    if (!inThread(cpu) || this.#owner !== cpu.thread) {
      throw new Error(`${cpu.describe()}: unlocks ${this.name}, which is held by ${this.#holder.describe()}`);
    }
    const { locksHeld } = cpu.thread!;
    locksHeld.splice(locksHeld.indexOf(this), 1);
    this.#holder.release();
    cpu.charge(COST.barrier);
    this.#owner = null;
    const next = this.#waiters.find(({ state }) => state !== 'finished');
    if (next !== undefined) this.#host.wakeUp(next);
  }

  #take(self: Thread): void {
    const cpu = this.#host.thisCpu;
    this.#owner = self;
    this.#holder.take(cpu);
    self.locksHeld.push(this);
    cpu.charge(COST.barrier);
  }

  #wanted(): string {
    return this.#owner === null ? this.name : `${this.name}, held by ${this.#holder.describe()}`;
  }
}
