// raw_spinlock_t: a lock for short pieces of host code, with preemption off and, where interrupts take it too, with these off.
//
// Theory: the piece between lock and unlock is not interrupted by other CPUs' code, but it takes time. A CPU that wants the
// lock at a position that lies before the holder's unlock spins until there. The piece must not yield: whoever wants the
// lock meanwhile could not go on.

import type { Cell } from './cells.ts';
import { COST } from './costs.ts';
import { Holder } from './holder.ts';
import type { Host } from './host.ts';
import { LockClass } from './lockUsage.ts';

export class Spinlock {
  readonly name: string;
  readonly #host: Host;
  readonly #class: LockClass;
  readonly #holder = new Holder();
  #held: Cell<boolean> = false;
  /** Position of the last unlock. */
  #freeSince: Cell<number> = 0;

  constructor(host: Host, name: string, lockClass: LockClass = new LockClass(name)) {
    this.name = name;
    this.#host = host;
    this.#class = lockClass;
  }

  get held(): boolean {
    return this.#held;
  }

  describe(): string {
    return `${this.name} (held by ${this.#holder.describe()})`;
  }

  /** raw_spin_lock(). */
  lock(): void {
    const cpu = this.#host.thisCpu;
    if (this.#held) this.#refuse();
    this.#class.use(cpu);
    cpu.disablePreemption();
    if (cpu.now < this.#freeSince) cpu.now = this.#freeSince;
    this.#take();
  }

  /** raw_spin_trylock(): true when it is taken. */
  tryLock(): boolean {
    const cpu = this.#host.thisCpu;
    if (this.#held || cpu.now < this.#freeSince) return false;
    cpu.disablePreemption();
    this.#take();
    return true;
  }

  /** raw_spin_unlock(). */
  unlock(): void {
    const cpu = this.#host.thisCpu;
    if (!this.#held) throw new Error(`${cpu.describe()}: unlocks ${this.name}, which nobody holds`);
    if (this.#holder.cpu !== cpu) {
      throw new Error(`${cpu.describe()}: unlocks ${this.name}, which is held by ${this.#holder.describe()}`);
    }
    this.#holder.release();
    cpu.locksHeld.splice(cpu.locksHeld.lastIndexOf(this), 1);
    this.#freeSince = cpu.now;
    this.#held = false;
    cpu.enablePreemption();
  }

  /** raw_spin_lock_irqsave(): returns what unlockIrqrestore has to be given. */
  lockIrqsave(): boolean {
    const cpu = this.#host.thisCpu;
    const enabled = cpu.interruptsEnabled;
    cpu.disableInterrupts();
    this.lock();
    return enabled;
  }

  /** raw_spin_unlock_irqrestore(). */
  unlockIrqrestore(enabled: boolean): void {
    this.unlock();
    if (enabled) this.#host.thisCpu.enableInterrupts();
  }

  #take(): void {
    const cpu = this.#host.thisCpu;
    this.#held = true;
    this.#holder.take(cpu);
    cpu.locksHeld.push(this);
    cpu.charge(COST.barrier);
  }

  #refuse(): never {
    const cpu = this.#host.thisCpu;
    const holder = this.#holder.describe();
    if (this.#holder.cpu === cpu) {
      throw new Error(`${cpu.describe()}: takes ${this.name} again, and would wait for itself: held by ${holder}`);
    }
    throw new Error(`${cpu.describe()}: spins for ${this.name}, whose holder yielded with it held: ${holder}`);
  }
}
