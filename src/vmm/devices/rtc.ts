// The MC146818 real-time clock and its CMOS memory at ports 0x70 and 0x71 (Motorola data sheet; QEMU hw/rtc/mc146818rtc.c).
//
// Theory: time is the machine's virtual time, counted from the date at which it starts. The clock is not woken each second:
// `catchUp` finds what happened since the last access (seconds that ended, alarms among them, periods), and timers are armed
// only for interrupts that the guest has enabled and whose flag is clear, as others would change nothing.

import type { DeviceTimer, MainLoop } from '../mainLoop.ts';
import { dateOf, secondsOf } from './calendar.ts';
import { byteRegister, type BoardDevice, type IrqLine } from './device.ts';

const PORT = { INDEX: 0x70, DATA: 0x71 } as const;
const REGISTER = {
  SECOND: 0, SECOND_ALARM: 1, MINUTE: 2, MINUTE_ALARM: 3, HOUR: 4, HOUR_ALARM: 5, WEEKDAY: 6, DAY: 7, MONTH: 8, YEAR: 9,
  A: 10, B: 11, C: 12, D: 13, CENTURY: 0x32,
} as const; // prettier-ignore
const TIME = new Set<number>([0, 2, 4, 6, 7, 8, 9, REGISTER.CENTURY]);
const A = { UIP: 1 << 7, DIVIDER: 0x70, RUNNING: 0x20, RATE: 0x0f } as const;
const B = { SET: 1 << 7, PIE: 1 << 6, AIE: 1 << 5, UIE: 1 << 4, BINARY: 1 << 2, HOURS_24: 1 << 1 } as const;
const C = { IRQF: 1 << 7, PF: 1 << 6, AF: 1 << 5, UF: 1 << 4 } as const;
const D_VALID = 1 << 7;
const PM = 1 << 7;
const NMI_OFF = 1 << 7;
const INDEX_MASK = 0x7f;
/** An alarm register with these bits set matches anything. */
const ANY = 0xc0;
const DAY = 86400;
const TICKS = 32768;
/** UIP rises 244 µs before the update: 8 ticks. */
const UIP_TICKS = 8;

export interface RtcState {
  /** Register that port 0x71 reaches; NMI masked or not (nothing here sends one). */
  index: number;
  nmiOff: boolean;
  cmos: number[];
  /** Seconds since 1970 that the clock shows, unless SET or the divider holds it ... */
  second: number;
  /** ... and the position at which the next one begins. */
  nextSecond: number;
  /** Position at which the next period ends; 0: there is no rate. */
  nextPeriod: number;
}

export class Rtc implements BoardDevice<RtcState> {
  readonly name = 'real-time clock';
  readonly registers;
  readonly state: RtcState;
  readonly #loop: MainLoop;
  readonly #irq: IrqLine;
  readonly #clock: DeviceTimer;
  readonly #period: DeviceTimer;
  #level = false;

  /** `start`: seconds since 1970 that it shows at position 0; `cmos`: what is in its memory. */
  constructor(loop: MainLoop, irq: IrqLine, start: number, cmos: readonly number[]) {
    this.#loop = loop;
    this.#irq = irq;
    this.#clock = loop.timer(this, 'clock');
    this.#period = loop.timer(this, 'period');
    this.state = {
      index: 0, nmiOff: false, cmos: [...cmos], second: start, nextSecond: loop.frequency, nextPeriod: 0,
    }; // prettier-ignore
    this.state.cmos[REGISTER.A] = A.RUNNING | 6;
    this.state.cmos[REGISTER.B] = B.HOURS_24;
    this.state.cmos[REGISTER.D] = D_VALID;
    this.#restartPeriods();
    this.registers = new Map([
      [PORT.INDEX, byteRegister('RTC index', { write: (value) => this.#select(value) })],
      [PORT.DATA, byteRegister('RTC data', { read: () => this.#read(), write: (value) => this.#write(value) })],
    ]);
  }

  onTimer(): void {
    this.#catchUp();
    this.#update();
  }

  save(): RtcState {
    return structuredClone(this.state);
  }

  restore(state: RtcState): void {
    Object.assign(this.state, structuredClone(state));
    this.#update();
  }

  #select(value: number): void {
    this.state.index = value & INDEX_MASK;
    this.state.nmiOff = (value & NMI_OFF) !== 0;
  }

  #read(): number {
    const { state } = this;
    this.#catchUp();
    if (TIME.has(state.index) && this.#runs) this.#showTime();
    let value = state.cmos[state.index]!;
    if (state.index === REGISTER.A && this.#updateInProgress) value |= A.UIP;
    if (state.index === REGISTER.C) state.cmos[REGISTER.C] = 0;
    this.#update();
    return value;
  }

  #write(value: number): void {
    const { state } = this;
    const { cmos, index } = state;
    this.#catchUp();
    if (index === REGISTER.A) this.#writeA(value);
    else if (index === REGISTER.B) this.#writeB(value);
    else if (index === REGISTER.C || index === REGISTER.D) return;
    else if (TIME.has(index) && this.#runs) {
      this.#showTime();
      cmos[index] = value;
      this.#takeTime();
    } else cmos[index] = value;
    this.#update();
  }

  #writeA(value: number): void {
    const { cmos } = this.state;
    const ran = this.#runs;
    if (ran) this.#showTime();
    cmos[REGISTER.A] = value & ~A.UIP;
    // The first update comes half a second after the divider is let go.
    if (!ran && this.#runs) this.#resume(this.#loop.now + Math.floor(this.#loop.frequency / 2));
    this.#restartPeriods();
  }

  #writeB(value: number): void {
    const { state } = this;
    const ran = this.#runs;
    if (ran) this.#showTime();
    state.cmos[REGISTER.B] = (value & B.SET) !== 0 ? value & ~B.UIE : value;
    // Updates come where they would have come.
    const { frequency, now } = this.#loop;
    const missed = now < state.nextSecond ? 0 : Math.floor((now - state.nextSecond) / frequency) + 1;
    if (!ran && this.#runs) this.#resume(state.nextSecond + missed * frequency);
  }

  /** The clock runs again with what its registers say, and has its next update at a position. */
  #resume(nextSecond: number): void {
    this.#takeTime();
    this.state.nextSecond = nextSecond;
  }

  get #runs(): boolean {
    const { cmos } = this.state;
    return (cmos[REGISTER.B]! & B.SET) === 0 && (cmos[REGISTER.A]! & A.DIVIDER) === A.RUNNING;
  }

  get #updateInProgress(): boolean {
    const { now, frequency } = this.#loop;
    return this.#runs && now >= this.state.nextSecond - (UIP_TICKS * frequency) / TICKS;
  }

  /** Flags for whatever happened since the last look. */
  #catchUp(): void {
    const { state } = this;
    const { now, frequency } = this.#loop;
    if (this.#runs && now >= state.nextSecond) {
      const passed = Math.floor((now - state.nextSecond) / frequency) + 1;
      state.cmos[REGISTER.C]! |= C.UF | (this.#secondsToAlarm() <= passed ? C.AF : 0);
      state.second += passed;
      state.nextSecond += passed * frequency;
    }
    if (state.nextPeriod !== 0 && now >= state.nextPeriod) {
      state.cmos[REGISTER.C]! |= C.PF;
      this.#restartPeriods();
    }
  }

  /** Periods are counted from position 0, whatever the rate was before. */
  #restartPeriods(): void {
    const rate = this.state.cmos[REGISTER.A]! & A.RATE;
    const ticks = rate === 0 ? 0 : 1 << ((rate <= 2 ? rate + 7 : rate) - 1);
    const { now, frequency } = this.#loop;
    const end = (count: number): number => Math.ceil(((count * ticks) / TICKS) * frequency);
    const passed = ticks === 0 ? 0 : Math.floor(((now / frequency) * TICKS) / ticks);
    if (ticks === 0) this.state.nextPeriod = 0;
    else this.state.nextPeriod = end(passed + 1) > now ? end(passed + 1) : end(passed + 2);
  }

  /** How many updates until the alarm; Infinity: the registers name no time of day. */
  #secondsToAlarm(): number {
    const { cmos, second } = this.state;
    const wanted = (register: number): number | null =>
      (cmos[register]! & ANY) === ANY ? null : this.#decode(cmos[register]!);
    const [s, m] = [wanted(REGISTER.SECOND_ALARM), wanted(REGISTER.MINUTE_ALARM)];
    const h = (cmos[REGISTER.HOUR_ALARM]! & ANY) === ANY ? null : this.#decodeHour(cmos[REGISTER.HOUR_ALARM]!);
    for (let i = 1; i <= DAY; i++) {
      const time = (second + i) % DAY;
      const matches =
        (s === null || s === time % 60) &&
        (m === null || m === Math.floor(time / 60) % 60) &&
        (h === null || h === Math.floor(time / 3600));
      if (matches) return i;
    }
    return Infinity;
  }

  #encode(value: number): number {
    return (this.state.cmos[REGISTER.B]! & B.BINARY) !== 0 ? value : Math.floor(value / 10) * 16 + (value % 10);
  }

  #decode(value: number): number {
    return (this.state.cmos[REGISTER.B]! & B.BINARY) !== 0 ? value : (value >>> 4) * 10 + (value & 15);
  }

  #encodeHour(hour: number): number {
    if ((this.state.cmos[REGISTER.B]! & B.HOURS_24) !== 0) return this.#encode(hour);
    return this.#encode(hour % 12 === 0 ? 12 : hour % 12) | (hour >= 12 ? PM : 0);
  }

  #decodeHour(value: number): number {
    if ((this.state.cmos[REGISTER.B]! & B.HOURS_24) !== 0) return this.#decode(value);
    return (this.#decode(value & ~PM) % 12) + ((value & PM) !== 0 ? 12 : 0);
  }

  /** Puts the time into the registers, in their present format. */
  #showTime(): void {
    const { cmos, second } = this.state;
    const date = dateOf(second);
    cmos[REGISTER.SECOND] = this.#encode(date.second);
    cmos[REGISTER.MINUTE] = this.#encode(date.minute);
    cmos[REGISTER.HOUR] = this.#encodeHour(date.hour);
    cmos[REGISTER.WEEKDAY] = this.#encode(date.weekday);
    cmos[REGISTER.DAY] = this.#encode(date.day);
    cmos[REGISTER.MONTH] = this.#encode(date.month);
    cmos[REGISTER.YEAR] = this.#encode(date.year % 100);
    cmos[REGISTER.CENTURY] = this.#encode(Math.floor(date.year / 100));
  }

  /** Takes the time from the registers. */
  #takeTime(): void {
    const { cmos } = this.state;
    const of = (register: number): number => this.#decode(cmos[register]!);
    this.state.second = secondsOf({
      year: of(REGISTER.CENTURY) * 100 + of(REGISTER.YEAR),
      month: of(REGISTER.MONTH),
      day: of(REGISTER.DAY),
      hour: this.#decodeHour(cmos[REGISTER.HOUR]!),
      minute: of(REGISTER.MINUTE),
      second: of(REGISTER.SECOND),
    });
  }

  /** Brings IRQF, the line and the timers up to date with flags and enables. */
  #update(): void {
    const { state } = this;
    const enables = state.cmos[REGISTER.B]!;
    const flags = state.cmos[REGISTER.C]! & (C.PF | C.AF | C.UF);
    const level = (flags & enables) !== 0;
    state.cmos[REGISTER.C] = flags | (level ? C.IRQF : 0);
    const due = enables & ~flags;
    if ((due & B.PIE) !== 0 && state.nextPeriod !== 0) this.#period.start(state.nextPeriod);
    else this.#period.cancel();
    const updates = !this.#runs
      ? Infinity
      : (due & B.UIE) !== 0
        ? 1
        : (due & B.AIE) !== 0
          ? this.#secondsToAlarm()
          : Infinity;
    if (updates === Infinity) this.#clock.cancel();
    else this.#clock.start(state.nextSecond + (updates - 1) * this.#loop.frequency);
    if (level === this.#level) return;
    this.#level = level;
    this.#irq(level);
  }
}
