// The virtual timer of an ARM generic timer, one for each physical CPU (Arm ARM, D11.2): a comparator that raises a line. What
// becomes of the line is the interrupt controller's affair (gic.ts).
//
// Theory: the timer compares a count, that of the host's clock less an offset, with a value. Its output is a level: high while
// ENABLE and ISTATUS are set and IMASK is not, and ISTATUS only says whether the count has reached the value. So nothing is
// ever lost or latched here: whoever looks later still sees that it fired, until somebody moves the value or disables it. A
// line that falls is noticed by the interrupt controller only when the write that lowered it has taken effect (ISB), and
// perhaps `retireDelay` later: what it had signalled before may still arrive.

import type { PhysicalCpu } from './cpu.ts';

/** CNTV_CTL_EL0. */
export const CNTV_CTL = { ENABLE: 1, IMASK: 2, ISTATUS: 4 } as const;

const MASK = 0xffff_ffff_ffff_ffffn;

/** Where the output goes. */
export interface TimerLine {
  /** The output, or when it will rise, may have changed. */
  lineChanged(): void;
}

export class GenericTimer {
  /** Cycles from the end of an interrupt's cause until the interrupt controller has forgotten it. */
  retireDelay = 0;
  /** CNTHCTL_EL2: which of the counters and timers EL1 may use. Nothing here depends on it. */
  cnthctl = 0;
  line: TimerLine = { lineChanged: () => {} };
  readonly #cpu: PhysicalCpu;
  #control = 0;
  #cval = 0n;
  #cntvoff = 0n;
  /** The output has fallen, and no barrier since has made that known. */
  #fallUnseen = false;
  /** Position of the barrier that made the last fall known. */
  #fellAt = -Infinity;

  constructor(cpu: PhysicalCpu) {
    this.#cpu = cpu;
  }

  /** CNTVCT_EL0 at this CPU's position: 64 bits, modulo 2^64. */
  get count(): bigint {
    return (BigInt(this.#cpu.now) - this.#cntvoff) & MASK;
  }

  /** CNTV_CTL_EL0. ISTATUS is computed, and 0 while the timer is disabled. */
  get ctl(): number {
    return this.#control | (this.#enabled() && this.count >= this.#cval ? CNTV_CTL.ISTATUS : 0);
  }
  set ctl(value: number) {
    const before = this.output;
    this.#control = value & (CNTV_CTL.ENABLE | CNTV_CTL.IMASK);
    this.#changed(before);
  }

  /** CNTV_CVAL_EL0. */
  get cval(): bigint {
    return this.#cval;
  }
  set cval(value: bigint) {
    const before = this.output;
    this.#cval = value & MASK;
    this.#changed(before);
  }

  /** CNTVOFF_EL2: host count less guest count. */
  get cntvoff(): bigint {
    return this.#cntvoff;
  }
  set cntvoff(value: bigint) {
    const before = this.output;
    this.#cntvoff = value & MASK;
    this.#changed(before);
  }

  /** The level of the timer's line at this CPU's position. */
  get output(): boolean {
    return this.#unmasked() && this.count >= this.#cval;
  }

  /** Position at which the output rises, or has risen (not beyond the present one then); Infinity: not as things stand. */
  get risesAt(): number {
    if (!this.#unmasked()) return Infinity;
    const { now } = this.#cpu;
    const { count } = this;
    const position = count >= this.#cval ? now : now + Number(this.#cval - count);
    return position <= Number.MAX_SAFE_INTEGER ? position : Infinity;
  }

  /** What the interrupt controller sees of the line: high, or low and not yet retired. */
  get signalled(): boolean {
    return this.output || this.#fallUnseen || this.#cpu.now < this.#fellAt + this.retireDelay;
  }

  /** ISB, or whatever else synchronises the context: an exception return, a write of the guest that takes effect at once. */
  synchronise(): void {
    if (!this.#fallUnseen) return;
    this.#fallUnseen = false;
    this.#fellAt = this.#cpu.now;
    this.line.lineChanged();
  }

  #enabled(): boolean {
    return (this.#control & CNTV_CTL.ENABLE) !== 0;
  }
  #unmasked(): boolean {
    return (this.#control & (CNTV_CTL.ENABLE | CNTV_CTL.IMASK)) === CNTV_CTL.ENABLE;
  }

  #changed(before: boolean): void {
    const { output } = this;
    if (output) this.#fallUnseen = false;
    else if (before) this.#fallUnseen = true;
    this.line.lineChanged();
  }
}
