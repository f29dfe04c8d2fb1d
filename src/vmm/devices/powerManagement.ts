// ACPI power management of QEMU's machines (ACPI 6.5, 4.8.3; Intel 290562, PIIX4): the PM1a event and control registers, and
// the timer, from port 0x600 on. There is no power button and no general-purpose event.
//
// Theory: the timer counts at 3.579545 MHz in 24 bits. Its status bit is set when bit 23 changes, which is every 2.3 s; the
// bit is found when somebody looks, and a timer of the main loop is armed only while its interrupt is enabled.

import type { DeviceTimer, MainLoop } from '../mainLoop.ts';
import { CountingClock } from '../../hypervisor/bus/countingClock.ts';
import type { PortRegister } from '../../hypervisor/bus/ports.ts';
import type { BoardDevice, IrqLine } from './device.ts';

export const PM_BASE = 0x600;
const OFFSET = { STATUS: 0, ENABLE: 2, CONTROL: 4, TIMER: 8 } as const;
/** The timer's bit in status and enable registers. */
const TIMER = 1 << 0;
/** Status bits that writing a one clears; beside the timer's, none is ever set. */
const CLEARED_BY_ONE = 0x8f31;
const SCI_ENABLE = 1 << 0;
const SLEEP_ENABLE = 1 << 13;
const SLEEP_TYPE = 0x1c00;
const SLEEP_TYPE_SHIFT = 10;
/** The types of sleep as QEMU's machines, and trapline's DSDT, number them. */
export const SLEEP = { S5: 0, S3: 1 } as const;
const PM_TIMER_HZ = 3_579_545;
const COUNT = 2 ** 24;
const HALF = COUNT / 2;

export interface PowerManagementState {
  status: number;
  enable: number;
  control: number;
  /** How often bit 23 had changed when somebody looked last. */
  halves: number;
}

export class PowerManagement implements BoardDevice<PowerManagementState> {
  readonly name = 'power management';
  readonly registers;
  readonly state: PowerManagementState = { status: 0, enable: 0, control: SCI_ENABLE, halves: 0 };
  readonly #loop: MainLoop;
  readonly #irq: IrqLine;
  readonly #sleep: (type: number) => void;
  readonly #overflow: DeviceTimer;
  readonly #clock: CountingClock;
  #level = false;

  /** `sleep` is called with the type when the guest goes to sleep (SLEEP), in the middle of its instruction. */
  constructor(loop: MainLoop, irq: IrqLine, sleep: (type: number) => void) {
    this.#loop = loop;
    this.#irq = irq;
    this.#sleep = sleep;
    this.#overflow = loop.timer(this, 'overflow');
    this.#clock = new CountingClock(PM_TIMER_HZ, loop.frequency, COUNT - 1);
    const { state } = this;
    const word = (name: string, access: Pick<PortRegister, 'read' | 'write'>): PortRegister => ({
      name,
      sizes: [2],
      ...access,
    });
    this.registers = new Map<number, PortRegister>([
      [PM_BASE + OFFSET.STATUS, word('PM1a status', { read: () => this.#status(), write: (v) => this.#clear(v) })],
      [PM_BASE + OFFSET.ENABLE, word('PM1a enable', { read: () => state.enable, write: (v) => this.#enable(v) })],
      [PM_BASE + OFFSET.CONTROL, { name: 'PM1a control', sizes: [2, 4], read: () => state.control, write: (v) => this.#control(v) }],
      [PM_BASE + OFFSET.TIMER, { name: 'PM timer', sizes: [4], clock: this.#clock, read: () => this.#ticks() % COUNT }],
    ]); // prettier-ignore
  }

  onTimer(): void {
    this.#update();
  }

  save(): PowerManagementState {
    return { ...this.state };
  }

  restore(state: PowerManagementState): void {
    Object.assign(this.state, state);
    this.#update();
  }

  #ticks(): number {
    return this.#clock.count(this.#loop.now);
  }

  #status(): number {
    this.#update();
    return this.state.status;
  }

  #clear(value: number): void {
    this.#update();
    this.state.status &= ~(value & CLEARED_BY_ONE);
    this.#update();
  }

  #enable(value: number): void {
    this.state.enable = value;
    this.#update();
  }

  #control(value: number): void {
    this.state.control = (value & ~(SLEEP_TYPE | SLEEP_ENABLE) & 0xffff) | SCI_ENABLE;
    if ((value & SLEEP_ENABLE) !== 0) this.#sleep((value & SLEEP_TYPE) >>> SLEEP_TYPE_SHIFT);
  }

  #update(): void {
    const { state } = this;
    const halves = Math.floor(this.#ticks() / HALF);
    if (halves !== state.halves) state.status |= TIMER;
    state.halves = halves;
    const { frequency, now } = this.#loop;
    const waits = (state.enable & ~state.status & TIMER) !== 0;
    if (waits) this.#overflow.start(Math.max(Math.ceil((((halves + 1) * HALF) / PM_TIMER_HZ) * frequency), now + 1));
    else this.#overflow.cancel();
    const level = (state.status & state.enable) !== 0;
    if (level === this.#level) return;
    this.#level = level;
    this.#irq(level);
  }
}
