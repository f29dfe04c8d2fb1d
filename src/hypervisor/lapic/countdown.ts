// The countdown of the APIC timer in one-shot and periodic mode: how long a round is, when it ends, and what TMCCT shows of it
// (SDM vol. 3, 11.5.4; Linux arch/x86/kvm/lapic.c: set_target_expiration, advance_periodic_target_expiration,
// limit_periodic_timer_frequency, apic_get_tmcct). Who carries its deadline is in ../timer.ts.

import type { SavedFields } from '../../cpu/savedFields.ts';
import type { Cell } from '../../host/cells.ts';
import { countToCycles, cyclesToCount, divideCount, microsecondsToCycles, type CountClock } from './busClock.ts';
import type { Lapic } from './lapic.ts';
import { APIC } from './registers.ts';

export class Countdown {
  readonly #lapic: Lapic;
  /** Length of one round in host cycles; 0: not counting. */
  period: Cell<number> = 0;
  /** target_expiration: the host position at which the present round ends; 0: it has ended. */
  end: Cell<number> = 0;
  #divide: Cell<number> = divideCount(0);

  constructor(lapic: Lapic) {
    this.#lapic = lapic;
  }

  #clock(): CountClock {
    const { tscKhz, apicBusCycleNs } = this.#lapic.owner.vm;
    return { tscKhz, busNs: apicBusCycleNs, divide: this.#divide };
  }

  transfer(fields: SavedFields): void {
    fields.own<Countdown>(this, 'period', 'end');
    this.#divide = fields.value('divide', this.#divide);
  }

  stop(): void {
    this.period = 0;
    this.end = 0;
  }

  /** TDCR was replaced, by a reset or a restored register page. */
  readDivide(): void {
    this.#divide = divideCount(this.#lapic.register(APIC.TDCR));
  }

  /** set_target_expiration(): false when there is nothing to count. From TMCCT when a saved countdown goes on. */
  start(countRegister: number, periodic: boolean): boolean {
    this.period = this.#cyclesOf(APIC.TMICT);
    this.end = 0;
    if (this.period === 0) return false;
    this.limitFrequency(periodic);
    let cycles = this.period;
    if (countRegister !== APIC.TMICT) {
      cycles = Math.min(this.#cyclesOf(countRegister), this.period);
      if (cycles === 0 && periodic) cycles = this.period;
    }
    this.end = this.#lapic.owner.now() + cycles;
    return true;
  }

  /** The next round ends one period after the previous one was due, however late this one was served: no drift. */
  nextRound(): void {
    this.end += this.period;
  }

  /** Host cycles until the round ends. */
  get remaining(): number {
    return Math.max(this.end - this.#lapic.owner.now(), 0);
  }

  /** TMCCT. */
  get currentCount(): number {
    if (this.#lapic.register(APIC.TMICT) === 0 || this.period === 0) return 0;
    return cyclesToCount(this.remaining % this.period, this.#clock());
  }

  /** TDCR was written: the counts that remain stay, at the new speed. True when a round that is under way ends elsewhere now. */
  updateDivide(periodic: boolean): boolean {
    const old = this.#divide;
    this.readDivide();
    if (this.#divide === old || this.period === 0) return false;
    this.period = this.#cyclesOf(APIC.TMICT);
    this.limitFrequency(periodic);
    // A one-shot countdown that has ended stays ended.
    if (this.end === 0) return false;
    this.end = this.#lapic.owner.now() + Math.floor((this.remaining * this.#divide) / old);
    return true;
  }

  /** kvm.min_timer_period_us, against guests that would keep the host busy with their ticks. */
  limitFrequency(periodic: boolean): void {
    if (!periodic || this.period === 0) return;
    const { tscKhz, quirks } = this.#lapic.owner.vm;
    this.period = Math.max(this.period, microsecondsToCycles(quirks.minTimerPeriodUs, tscKhz));
  }

  #cyclesOf(countRegister: number): number {
    return countToCycles(this.#lapic.register(countRegister), this.#clock());
  }
}
