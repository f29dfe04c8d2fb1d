// In which contexts the locks of one class are taken, and whether that can ever deadlock: the part of Linux's lockdep that
// needs no second CPU (kernel/locking/lockdep.c, mark_lock).
//
// Theory: a lock that an interrupt takes must never be held with interrupts on, because the interrupt may come on top of its
// holder and then waits for itself. It need not happen to be wrong: each class remembers who took it in an interrupt and who
// with interrupts on, and the second kind of use is an error that names the first. The same holds for softirqs, which run on
// the way back from an interrupt and so are held off by the same means.

import type { PhysicalCpu } from './cpu.ts';

/** All locks of one kind, `vcpu->arch.apf lock` of every vCPU: what is learned of one holds for all. */
export class LockClass {
  readonly name: string;
  /** Who took such a lock first in a hard interrupt, in a softirq, ... */
  #inHardirq: string | null = null;
  #inSoftirq: string | null = null;
  /** ... and where such an interrupt, or a softirq after it, could have come on top. */
  #underHardirq: string | null = null;
  #underSoftirq: string | null = null;

  constructor(name: string) {
    this.name = name;
  }

  /** Notes that a lock of this class is about to be taken here. */
  use(cpu: PhysicalCpu): void {
    if (cpu.hardirq !== null) {
      this.#inHardirq ??= cpu.describe();
      if (this.#underHardirq !== null) this.#complain(cpu, 'with interrupts on', this.#underHardirq);
      return;
    }
    if (cpu.softirq !== null) {
      this.#inSoftirq ??= cpu.describe();
      if (this.#underSoftirq !== null) this.#complain(cpu, 'with interrupts on', this.#underSoftirq);
    }
    if (!cpu.interruptsEnabled) return;
    this.#underHardirq ??= cpu.describe();
    if (this.#inHardirq !== null) this.#complain(cpu, 'in a hard interrupt', this.#inHardirq);
    if (cpu.softirq !== null) return;
    this.#underSoftirq ??= cpu.describe();
    if (this.#inSoftirq !== null) this.#complain(cpu, 'in a softirq', this.#inSoftirq);
  }

  #complain(cpu: PhysicalCpu, how: string, other: string): never {
    throw new Error(
      `inconsistent use of ${this.name}: taken by ${cpu.describe()}, and before ${how} by ${other}; an interrupt on top of its holder would wait for itself: take it with lockIrqsave`,
    );
  }
}
