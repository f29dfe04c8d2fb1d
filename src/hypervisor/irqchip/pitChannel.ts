// One counter of the 8254: what is programmed, and what it shows at a given moment (Intel 8254 data sheet; Linux
// arch/x86/kvm/i8254.c, struct kvm_kpit_channel_state). Pure but for its own fields; who knows the time is pit.ts.
//
// Theory: a counter counts down from its initial count at 1 193 182 Hz. Count and output are not stored but follow from how many
// counts have gone by since it was loaded. A count is two bytes: by the access mode a read or write means the low one, the high
// one, or both in turn. Latching keeps a count until it has been read.
//
// As KVM has it: BCD is stored and not obeyed, an even count of mode 3 is halved exactly and an odd one nearly, a gate at 0
// does not stop modes 0 and 4, and the status byte says nothing of a null count.

import type { Cell } from '../../host/cells.ts';

/** Access modes, bits 5:4 of a control word; reads and writes of both bytes go through them in turn. */
export const ACCESS = { LATCH: 0, LSB: 1, MSB: 2, WORD0: 3, WORD1: 4 } as const;
/** Operating modes; UNSET is how a counter leaves reset: it counts nothing. */
export const MODE = { TERMINAL_COUNT: 0, ONE_SHOT: 1, RATE: 2, SQUARE: 3, SOFTWARE_STROBE: 4, HARDWARE_STROBE: 5, UNSET: 0xff } as const; // prettier-ignore
/** What an initial count of 0 means. */
const FULL_COUNT = 0x10000;
const STATUS = { OUT_SHIFT: 7, ACCESS_SHIFT: 4, MODE_SHIFT: 1 } as const;

/** struct kvm_kpit_channel_state. */
export interface PitChannelState {
  readonly count: number;
  readonly latchedCount: number;
  readonly countLatched: number;
  readonly statusLatched: boolean;
  readonly status: number;
  readonly readState: number;
  readonly writeState: number;
  readonly writeLatch: number;
  readonly rwMode: number;
  readonly mode: number;
  readonly bcd: number;
  readonly gate: number;
  /** Host position, in cycles. */
  readonly countLoadTime: number;
}

export class PitChannel {
  /** Initial count, 1 to 65536. */
  count: Cell<number> = FULL_COUNT;
  latchedCount: Cell<number> = 0;
  /** The access by which the latched count is read next; 0: none is latched. */
  countLatched: Cell<number> = 0;
  statusLatched: Cell<boolean> = false;
  status: Cell<number> = 0;
  readState: Cell<number> = 0;
  writeState: Cell<number> = 0;
  writeLatch: Cell<number> = 0;
  rwMode: Cell<number> = 0;
  mode: Cell<number> = MODE.UNSET;
  bcd: Cell<number> = 0;
  gate: Cell<number>;
  countLoadTime: Cell<number> = 0;

  constructor(gate: number) {
    this.gate = gate;
  }

  /** A control word for this counter; false when it asks for a latch. */
  control(word: number): boolean {
    const access = (word >> 4) & 3;
    if (access === ACCESS.LATCH) return false;
    this.rwMode = this.readState = this.writeState = access;
    const mode = (word >> 1) & 7;
    // Bit 2 of modes 2 and 3 is not looked at.
    this.mode = mode > MODE.HARDWARE_STROBE ? mode - 4 : mode;
    this.bcd = word & 1;
    return true;
  }

  /** A byte of an initial count: the count when it is complete, else null. */
  writeByte(value: number): number | null {
    switch (this.writeState) {
      case ACCESS.MSB:
        return value << 8;
      case ACCESS.WORD0:
        this.writeLatch = value;
        this.writeState = ACCESS.WORD1;
        return null;
      case ACCESS.WORD1:
        this.writeState = ACCESS.WORD0;
        return this.writeLatch | (value << 8);
      default:
        return value;
    }
  }

  /** pit_load_count(). */
  load(count: number, now: number): void {
    this.count = count === 0 ? FULL_COUNT : count;
    this.countLoadTime = now;
  }

  /** pit_set_gate(): a rising edge starts the modes anew that it triggers. */
  setGate(gate: number, now: number): void {
    const triggered = this.mode === MODE.ONE_SHOT || this.mode === MODE.RATE || this.mode === MODE.SQUARE || this.mode === MODE.HARDWARE_STROBE; // prettier-ignore
    if (triggered && this.gate < gate) this.countLoadTime = now;
    this.gate = gate;
  }

  /** pit_get_count(), after so many counts. */
  currentCount(elapsed: number): number {
    switch (this.mode) {
      case MODE.TERMINAL_COUNT:
      case MODE.ONE_SHOT:
      case MODE.SOFTWARE_STROBE:
      case MODE.HARDWARE_STROBE:
        return (this.count - (elapsed % FULL_COUNT)) & 0xffff;
      case MODE.SQUARE:
        return this.count - ((2 * elapsed) % this.count);
      default:
        return this.count - (elapsed % this.count);
    }
  }

  /** pit_get_out(): the level of its output. */
  output(elapsed: number): number {
    return Number(this.#isHigh(elapsed));
  }

  #isHigh(elapsed: number): boolean {
    switch (this.mode) {
      case MODE.ONE_SHOT:
        return elapsed < this.count;
      case MODE.RATE:
        return elapsed !== 0 && elapsed % this.count === 0;
      case MODE.SQUARE:
        return elapsed % this.count < (this.count + 1) >> 1;
      case MODE.SOFTWARE_STROBE:
      case MODE.HARDWARE_STROBE:
        return elapsed === this.count;
      default:
        return elapsed >= this.count;
    }
  }

  latchCount(elapsed: number): void {
    if (this.countLatched !== 0) return;
    this.latchedCount = this.currentCount(elapsed);
    this.countLatched = this.rwMode;
  }

  latchStatus(elapsed: number): void {
    if (this.statusLatched) return;
    const { OUT_SHIFT, ACCESS_SHIFT, MODE_SHIFT } = STATUS;
    const modes = (this.rwMode << ACCESS_SHIFT) | (this.mode << MODE_SHIFT) | this.bcd;
    this.status = ((this.output(elapsed) << OUT_SHIFT) | modes) & 0xff;
    this.statusLatched = true;
  }

  /** A read of its port: latched status, latched count, or the count as it stands. Not cut to a byte. */
  readByte(elapsed: number): number {
    if (this.statusLatched) {
      this.statusLatched = false;
      return this.status;
    }
    if (this.countLatched !== 0) return this.#readLatched();
    const count = this.currentCount(elapsed);
    switch (this.readState) {
      case ACCESS.MSB:
        return (count >> 8) & 0xff;
      case ACCESS.WORD0:
        this.readState = ACCESS.WORD1;
        return count & 0xff;
      case ACCESS.WORD1:
        this.readState = ACCESS.WORD0;
        return (count >> 8) & 0xff;
      default:
        return count & 0xff;
    }
  }

  #readLatched(): number {
    const access = this.countLatched;
    this.countLatched = access === ACCESS.WORD0 ? ACCESS.MSB : 0;
    return access === ACCESS.MSB ? this.latchedCount >> 8 : this.latchedCount & 0xff;
  }

  save(): PitChannelState {
    return {
      count: this.count,
      latchedCount: this.latchedCount,
      countLatched: this.countLatched,
      statusLatched: this.statusLatched,
      status: this.status,
      readState: this.readState,
      writeState: this.writeState,
      writeLatch: this.writeLatch,
      rwMode: this.rwMode,
      mode: this.mode,
      bcd: this.bcd,
      gate: this.gate,
      countLoadTime: this.countLoadTime,
    };
  }

  restore(state: PitChannelState): void {
    this.count = state.count;
    this.latchedCount = state.latchedCount;
    this.countLatched = state.countLatched;
    this.statusLatched = state.statusLatched;
    this.status = state.status;
    this.readState = state.readState;
    this.writeState = state.writeState;
    this.writeLatch = state.writeLatch;
    this.rwMode = state.rwMode;
    this.mode = state.mode;
    this.bcd = state.bcd;
    this.gate = state.gate;
    this.countLoadTime = state.countLoadTime;
  }
}
