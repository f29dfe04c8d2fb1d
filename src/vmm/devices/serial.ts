// A 16550A UART (PC16550D data sheet; QEMU hw/char/serial.c where the two differ, since that is what guests were tried on).
//
// Theory: characters take no time. What is written is on the line at once, so the transmitter is always empty; what is typed
// is in the receiver as soon as there is room, and waits on the line until then, so nothing overruns. The time-out interrupt
// of a FIFO that stays below its trigger level, four characters late on a real line, comes at once. The line keeps what is
// typed until the guest listens (reads the line status or asks for the interrupt): set-up code that empties the FIFO or
// tests the loop does not meet it. As in QEMU, OUT2 of the modem control register does not gate the interrupt.

import type { GuestConsole } from '../console.ts';
import { byteRegister, type BoardDevice, type IrqLine } from './device.ts';

export const COM1 = 0x3f8;

/** Register offsets; DLL and DLM lie under DATA and IER while LCR.DLAB is set. */
const REGISTER = { DATA: 0, IER: 1, IIR: 2, LCR: 3, MCR: 4, LSR: 5, MSR: 6, SCR: 7 } as const;
const IER = { RECEIVED: 1 << 0, TRANSMITTER: 1 << 1, LINE: 1 << 2, ALL: 0x0f } as const;
const LCR_DLAB = 1 << 7;
const LSR = { DATA_READY: 1 << 0, OVERRUN: 1 << 1, BREAK: 1 << 4, TRANSMITTER_EMPTY: (1 << 5) | (1 << 6) } as const;
const LSR_ERRORS = 0x1e;
const FCR = { ENABLE: 1 << 0, CLEAR_RECEIVER: 1 << 1, CLEAR_TRANSMITTER: 1 << 2, KEPT: 0xc9 } as const;
const MCR = { LOOP: 1 << 4, ALL: 0x1f } as const;
/** Clear to send, data set ready, carrier detected. */
const MSR_CONNECTED = (1 << 4) | (1 << 5) | (1 << 7);
/** Causes of an interrupt as IIR tells them, the first having priority. */
const CAUSE = { NONE: 0x01, LINE: 0x06, RECEIVED: 0x04, TIMEOUT: 0x0c, TRANSMITTER: 0x02 } as const;
const IIR_FIFOS = 0xc0;
const FIFO_SIZE = 16;
/** Characters at which the receiver's FIFO interrupts, by bits 7:6 of FCR. */
const TRIGGER_LEVELS = [1, 4, 8, 14];

export interface SerialState {
  ier: number;
  lcr: number;
  mcr: number;
  /** Error bits only; the others follow from what is in the FIFO. */
  lsr: number;
  fcr: number;
  scr: number;
  dll: number;
  dlm: number;
  /** The transmitter became empty and nobody was told. */
  transmitterPending: boolean;
  /** Received and not read. */
  fifo: number[];
  /** Typed, on the line. */
  waiting: number[];
  /** The guest has shown that it wants to receive. */
  listens: boolean;
}

export class SerialPort implements BoardDevice<SerialState> {
  readonly name = 'serial';
  readonly registers;
  readonly state: SerialState = {
    ier: 0,
    lcr: 0,
    mcr: 0,
    lsr: 0,
    fcr: 0,
    scr: 0,
    dll: 12,
    dlm: 0,
    transmitterPending: false,
    fifo: [],
    waiting: [],
    listens: false,
  };
  readonly #console: GuestConsole;
  readonly #irq: IrqLine;
  #level = false;

  constructor(console: GuestConsole, irq: IrqLine, base: number = COM1) {
    this.#console = console;
    this.#irq = irq;
    const { state } = this;
    const latch = (): boolean => (state.lcr & LCR_DLAB) !== 0;
    this.registers = new Map([
      [base + REGISTER.DATA, byteRegister('serial DATA', {
        read: () => (latch() ? state.dll : this.#receive()),
        write: (value) => (latch() ? void (state.dll = value) : this.#transmit(value)),
      })],
      [base + REGISTER.IER, byteRegister('serial IER', {
        read: () => (latch() ? state.dlm : state.ier),
        write: (value) => (latch() ? void (state.dlm = value) : this.#enable(value)),
      })],
      [base + REGISTER.IIR, byteRegister('serial IIR', { read: () => this.#identify(), write: (v) => this.#controlFifos(v) })],
      [base + REGISTER.LCR, byteRegister('serial LCR', { read: () => state.lcr, write: (v) => void (state.lcr = v) })],
      [base + REGISTER.MCR, byteRegister('serial MCR', { read: () => state.mcr, write: (v) => this.#controlModem(v) })],
      [base + REGISTER.LSR, byteRegister('serial LSR', { read: () => this.#lineStatus() })],
      [base + REGISTER.MSR, byteRegister('serial MSR', { read: () => this.#modemStatus() })],
      [base + REGISTER.SCR, byteRegister('serial SCR', { read: () => state.scr, write: (v) => void (state.scr = v) })],
    ]); // prettier-ignore
  }

  /** Characters arrive on the line. */
  type(bytes: readonly number[]): void {
    this.state.waiting.push(...bytes);
    this.#fill();
    this.#update();
  }

  /** Whether a character that arrives would interrupt the guest. */
  get awaitsInput(): boolean {
    return (this.state.ier & IER.RECEIVED) !== 0;
  }

  get listens(): boolean {
    return this.state.listens;
  }

  get backlog(): number {
    return this.state.waiting.length;
  }

  save(): SerialState {
    return structuredClone(this.state);
  }

  restore(state: SerialState): void {
    Object.assign(this.state, structuredClone(state));
    this.#update();
  }

  get #loops(): boolean {
    return (this.state.mcr & MCR.LOOP) !== 0;
  }

  get #room(): number {
    return ((this.state.fcr & FCR.ENABLE) !== 0 ? FIFO_SIZE : 1) - this.state.fifo.length;
  }

  /** Takes from the line what there is room for. */
  #fill(): void {
    const { state } = this;
    if (state.listens && !this.#loops && this.#room > 0) state.fifo.push(...state.waiting.splice(0, this.#room));
  }

  #listen(): void {
    if (this.#loops) return;
    this.state.listens = true;
    this.#fill();
  }

  #receive(): number {
    const { state } = this;
    this.#listen();
    const byte = state.fifo.shift() ?? 0;
    this.#fill();
    this.#update();
    return byte;
  }

  #transmit(byte: number): void {
    const { state } = this;
    if (!this.#loops) this.#console.write(byte);
    else if (this.#room > 0) state.fifo.push(byte);
    else state.lsr |= LSR.OVERRUN;
    state.transmitterPending = true;
    this.#update();
  }

  #enable(value: number): void {
    const { state } = this;
    const changed = value ^ state.ier;
    state.ier = value & IER.ALL;
    // Enabling the interrupt of an empty transmitter raises it: drivers start sending so.
    if ((changed & IER.TRANSMITTER) !== 0) state.transmitterPending = (value & IER.TRANSMITTER) !== 0;
    if (this.awaitsInput) this.#listen();
    this.#update();
  }

  #controlFifos(value: number): void {
    const { state } = this;
    const switched = ((value ^ state.fcr) & FCR.ENABLE) !== 0;
    if (switched || (value & FCR.CLEAR_RECEIVER) !== 0) {
      state.fifo = [];
      state.lsr &= ~LSR.BREAK;
    }
    if (switched || (value & FCR.CLEAR_TRANSMITTER) !== 0) state.transmitterPending = true;
    state.fcr = value & FCR.KEPT;
    this.#fill();
    this.#update();
  }

  #controlModem(value: number): void {
    this.state.mcr = value & MCR.ALL;
    this.#fill();
    this.#update();
  }

  #identify(): number {
    const { state } = this;
    const cause = this.#cause();
    if (cause === CAUSE.TRANSMITTER) state.transmitterPending = false;
    this.#update();
    return cause | ((state.fcr & FCR.ENABLE) !== 0 ? IIR_FIFOS : 0);
  }

  #lineStatus(): number {
    const { state } = this;
    this.#listen();
    const status = state.lsr | LSR.TRANSMITTER_EMPTY | (state.fifo.length > 0 ? LSR.DATA_READY : 0);
    state.lsr = 0;
    this.#update();
    return status;
  }

  /** In a loop the four outputs of the modem control register are the four inputs. */
  #modemStatus(): number {
    const { mcr } = this.state;
    if (!this.#loops) return MSR_CONNECTED;
    return ((mcr & 0x0c) << 4) | ((mcr & 0x02) << 3) | ((mcr & 0x01) << 5);
  }

  #cause(): number {
    const { ier, lsr, fcr, fifo, transmitterPending } = this.state;
    if ((ier & IER.LINE) !== 0 && (lsr & LSR_ERRORS) !== 0) return CAUSE.LINE;
    if ((ier & IER.RECEIVED) !== 0 && fifo.length > 0) {
      const level = (fcr & FCR.ENABLE) !== 0 ? TRIGGER_LEVELS[fcr >>> 6]! : 1;
      return fifo.length >= level ? CAUSE.RECEIVED : CAUSE.TIMEOUT;
    }
    return (ier & IER.TRANSMITTER) !== 0 && transmitterPending ? CAUSE.TRANSMITTER : CAUSE.NONE;
  }

  #update(): void {
    const level = this.#cause() !== CAUSE.NONE;
    if (level === this.#level) return;
    this.#level = level;
    this.#irq(level);
  }
}
