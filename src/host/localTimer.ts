// The timer of a physical CPU's local APIC, and the hrtimers that it drives (Linux kernel/time/hrtimer.c, one
// hrtimer_cpu_base). What a timer is to its owner is in hrtimer.ts.
//
// Theory: the hardware knows one deadline, that of the first timer, and is programmed only when that becomes earlier. Its
// interrupt runs the callbacks of all hard timers that are due, in order, and raises a softirq when a soft one is due; the
// softirq runs those callbacks after all hard interrupts, with interrupts on. A later deadline, after the first timer was
// taken out, costs nothing here, though Linux programs that too.

import { COST } from './costs.ts';
import type { PhysicalCpu } from './cpu.ts';
import type { HostFields } from './savedFields.ts';
import { EventQueue, HostEvent, type EventOwner } from './queue.ts';

export class LocalTimer implements EventOwner {
  readonly name: string;
  readonly #cpu: PhysicalCpu;
  readonly #hard = new EventQueue();
  readonly #soft = new EventQueue();
  readonly #interrupt = new HostEvent(this, 'local timer');
  readonly #softirq = new HostEvent(this, 'hrtimer softirq');
  /** The softirq will look at the soft timers: the hardware need not wait for them. */
  #softRaised = false;
  /** hrtimer_interrupt() runs: it programs the hardware once, at its end. */
  #inInterrupt = false;

  constructor(cpu: PhysicalCpu) {
    this.name = `CPU ${cpu.id}`;
    this.#cpu = cpu;
  }

  /** The queue of hard or soft timers. */
  queue(soft: boolean): EventQueue {
    return soft ? this.#soft : this.#hard;
  }

  transfer(fields: HostFields): void {
    this.#hard.transfer(fields.part('hard'));
    this.#soft.transfer(fields.part('soft'));
    fields.event('interrupt', this.#interrupt);
    fields.event('softirq', this.#softirq);
    this.#softRaised = fields.value('softRaised', this.#softRaised);
    this.#inInterrupt = fields.value('inInterrupt', this.#inInterrupt);
  }

  add(timer: HostEvent, at: number, soft: boolean): void {
    (soft ? this.#soft : this.#hard).insert(timer, at);
    this.#program();
  }

  remove(timer: HostEvent, soft: boolean): void {
    (soft ? this.#soft : this.#hard).remove(timer);
    this.#program();
  }

  onEvent(event: HostEvent): void {
    if (event === this.#softirq) this.#runSoft();
    else this.#runHard();
  }

  /** hrtimer_interrupt(). */
  #runHard(): void {
    const cpu = this.#cpu;
    this.#inInterrupt = true;
    if (this.#soft.next <= cpu.now && !this.#softRaised) {
      this.#softRaised = true;
      cpu.raiseSoftirq(this.#softirq);
    }
    for (let timer = this.#hard.take(cpu.now); timer !== undefined; timer = this.#hard.take(cpu.now)) {
      cpu.hardirq = timer;
      timer.owner.onEvent(timer);
    }
    cpu.hardirq = this.#interrupt;
    this.#inInterrupt = false;
    this.#program();
  }

  /** hrtimer_run_softirq(). */
  #runSoft(): void {
    const cpu = this.#cpu;
    for (let timer = this.#soft.take(cpu.now); timer !== undefined; timer = this.#soft.take(cpu.now)) {
      cpu.softirq = timer;
      timer.owner.onEvent(timer);
      if (cpu.interruptPending) cpu.takeInterrupts();
    }
    cpu.softirq = this.#softirq;
    this.#softRaised = false;
    this.#program();
  }

  /** hrtimer_reprogram(). */
  #program(): void {
    if (this.#inInterrupt) return;
    const { events } = this.#cpu;
    const programmed = this.#interrupt.queued ? this.#interrupt.at : Infinity;
    const first = Math.min(this.#hard.next, this.#softRaised ? Infinity : this.#soft.next);
    if (first === programmed) return;
    // The model's simplification: behind an interrupt that arrives earlier anyway, programming is not charged.
    const earliest = first < Math.min(programmed, events.next);
    if (first === Infinity) events.remove(this.#interrupt);
    else events.insert(this.#interrupt, first);
    if (earliest) this.#cpu.charge(COST.timerProgram);
  }
}
