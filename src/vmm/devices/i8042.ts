// The keyboard controller at ports 0x60 and 0x64, with a keyboard and without a mouse: it is one of the controllers that have
// no second port (Intel 8042 firmware as in the PS/2; QEMU hw/input/pckbd.c, Linux drivers/input/serio/i8042.c).
//
// Theory: one byte at a time stands in the output buffer, and holds the interrupt line while it does, if the command byte
// allows. The controller starts as firmware leaves it: tested, translating to set 1, interrupts on. Its output port drives
// A20 and the processor's reset. Address line 20 is always on here: what was written is read back, and turning it off is
// noted, since a guest that relies on addresses that wrap at 1 MiB will not find them.

import { byteRegister, type BoardDevice, type IrqLine } from './device.ts';
import { Keyboard, type KeyboardState } from './keyboard.ts';
import { translate } from './keys.ts';

const PORT = { DATA: 0x60, COMMAND: 0x64 } as const;
const STATUS = { OUTPUT_FULL: 1 << 0, TESTED: 1 << 2, COMMAND: 1 << 3, UNLOCKED: 1 << 4 } as const;
const MODE = { INTERRUPT: 1 << 0, TESTED: 1 << 2, KEYBOARD_OFF: 1 << 4, MOUSE_OFF: 1 << 5, TRANSLATE: 1 << 6 } as const;
const COMMAND = {
  READ_RAM: 0x20, WRITE_RAM: 0x60, TEST_MOUSE: 0xa9, SELF_TEST: 0xaa, TEST_KEYBOARD: 0xab, KEYBOARD_OFF: 0xad, KEYBOARD_ON: 0xae,
  READ_INPUT_PORT: 0xc0, READ_OUTPUT_PORT: 0xd0, WRITE_OUTPUT_PORT: 0xd1, WRITE_OUTPUT_BUFFER: 0xd2, WRITE_MOUSE_BUFFER: 0xd3,
  WRITE_MOUSE: 0xd4, A20_OFF: 0xdd, A20_ON: 0xdf, PULSE: 0xf0,
} as const; // prettier-ignore
/** Commands whose parameter comes by the data port. */
const WITH_PARAMETER = new Set<number>([
  COMMAND.WRITE_OUTPUT_PORT,
  COMMAND.WRITE_OUTPUT_BUFFER,
  COMMAND.WRITE_MOUSE_BUFFER,
  COMMAND.WRITE_MOUSE,
]);
const RAM_SIZE = 32;
const SELF_TEST_PASSED = 0x55;
const KEYBOARD_WORKS = 0x00;
/** The clock line of the second port is stuck low: nothing is there. */
const NO_MOUSE = 0x01;
const INPUT_PORT = 0x80;
/** Bits of the output port. RESET is the processor's reset line, active low. */
const OUTPUT = { RESET: 1 << 0, A20: 1 << 1, FULL: 1 << 4 } as const;

/** Told when a guest turns A20 off by a port, which has no effect. */
export type A20Off = (port: number) => void;

export interface I8042State {
  mode: number;
  outputPort: number;
  /** Whether the last byte written went to the command port. */
  commandLast: boolean;
  /** A command whose parameter comes next; 0: none. */
  command: number;
  /** What the output buffer holds; null: it is empty. */
  output: number | null;
  /** The controller's own answers that wait for it. */
  answers: number[];
  /** Translation has seen the prefix of a release. */
  released: boolean;
  keyboard: KeyboardState;
}

export class I8042 implements BoardDevice<I8042State> {
  readonly name = 'keyboard controller';
  readonly registers;
  readonly keyboard = new Keyboard();
  readonly state: Omit<I8042State, 'keyboard'> = {
    mode: MODE.INTERRUPT | MODE.TESTED | MODE.MOUSE_OFF | MODE.TRANSLATE,
    outputPort: OUTPUT.RESET | OUTPUT.A20,
    commandLast: true,
    command: 0,
    output: null,
    answers: [],
    released: false,
  };
  readonly #irq: IrqLine;
  readonly #reset: () => void;
  readonly #a20Off: A20Off;
  #level = false;

  constructor(irq: IrqLine, reset: () => void, a20Off: A20Off) {
    this.#irq = irq;
    this.#reset = reset;
    this.#a20Off = a20Off;
    this.registers = new Map([
      [PORT.DATA, byteRegister('keyboard data', { read: () => this.#readData(), write: (v) => this.#writeData(v) })],
      [PORT.COMMAND, byteRegister('keyboard command', { read: () => this.#status(), write: (v) => this.#command(v) })],
    ]);
  }

  /** Characters typed on the keyboard. */
  type(bytes: readonly number[]): void {
    this.keyboard.type(bytes);
    this.#update();
  }

  /** Whether a key would interrupt the guest. */
  get awaitsInput(): boolean {
    const { mode } = this.state;
    return (mode & MODE.INTERRUPT) !== 0 && (mode & MODE.KEYBOARD_OFF) === 0 && this.keyboard.state.enabled;
  }

  /** Firmware has enabled it, so that a key reaches a guest that did nothing yet but allow the interrupt. */
  readonly listens = true;

  get backlog(): number {
    return this.keyboard.state.typed.length;
  }

  save(): I8042State {
    return structuredClone({ ...this.state, keyboard: this.keyboard.state });
  }

  restore({ keyboard, ...state }: I8042State): void {
    Object.assign(this.state, structuredClone(state));
    Object.assign(this.keyboard.state, structuredClone(keyboard));
    this.#update();
  }

  #status(): number {
    const { mode, output, commandLast } = this.state;
    const full = output !== null ? STATUS.OUTPUT_FULL : 0;
    return full | (mode & STATUS.TESTED) | (commandLast ? STATUS.COMMAND : 0) | STATUS.UNLOCKED;
  }

  /** Reading an empty buffer gives what was in it last; nobody asks for it, so zero will do. */
  #readData(): number {
    const { state } = this;
    const byte = state.output ?? 0;
    state.output = null;
    this.#drive();
    this.#update();
    return byte;
  }

  #writeData(value: number): void {
    const { state } = this;
    const { command } = state;
    state.commandLast = false;
    state.command = 0;
    if (command === 0) {
      state.mode &= ~MODE.KEYBOARD_OFF;
      this.keyboard.receive(value);
    } else if (command === COMMAND.WRITE_RAM) state.mode = value | MODE.MOUSE_OFF;
    else if (command === COMMAND.WRITE_OUTPUT_PORT) this.#setOutputPort(value);
    else if (command === COMMAND.WRITE_OUTPUT_BUFFER) state.answers.push(value);
    this.#update();
  }

  #command(value: number): void {
    const { state } = this;
    state.commandLast = true;
    state.command = WITH_PARAMETER.has(value) ? value : 0;
    if (value === COMMAND.READ_RAM) state.answers.push(state.mode);
    else if (value > COMMAND.READ_RAM && value < COMMAND.READ_RAM + RAM_SIZE) state.answers.push(0);
    else if (value === COMMAND.WRITE_RAM) state.command = value;
    else if (value === COMMAND.TEST_MOUSE) state.answers.push(NO_MOUSE);
    else if (value === COMMAND.SELF_TEST) {
      state.mode |= MODE.TESTED;
      state.answers.push(SELF_TEST_PASSED);
    } else if (value === COMMAND.TEST_KEYBOARD) state.answers.push(KEYBOARD_WORKS);
    else if (value === COMMAND.KEYBOARD_OFF) state.mode |= MODE.KEYBOARD_OFF;
    else if (value === COMMAND.KEYBOARD_ON) state.mode &= ~MODE.KEYBOARD_OFF;
    else if (value === COMMAND.READ_INPUT_PORT) state.answers.push(INPUT_PORT);
    else if (value === COMMAND.READ_OUTPUT_PORT)
      state.answers.push(state.outputPort | (state.output !== null ? OUTPUT.FULL : 0));
    else if (value === COMMAND.A20_OFF) this.#setOutputPort(state.outputPort & ~OUTPUT.A20);
    else if (value === COMMAND.A20_ON) this.#setOutputPort(state.outputPort | OUTPUT.A20);
    // Lines whose bit is clear are pulsed low.
    else if (value >= COMMAND.PULSE && (value & OUTPUT.RESET) === 0) this.#reset();
    this.#update();
  }

  #setOutputPort(value: number): void {
    const { state } = this;
    if ((state.outputPort & ~value & OUTPUT.A20) !== 0) this.#a20Off(PORT.COMMAND);
    state.outputPort = value;
    if ((value & OUTPUT.RESET) === 0) this.#reset();
  }

  /** The next byte for the output buffer; undefined: none. */
  #next(): number | undefined {
    const { state } = this;
    const answer = state.answers.shift();
    if (answer !== undefined || (state.mode & MODE.KEYBOARD_OFF) !== 0) return answer;
    const byte = this.keyboard.take();
    if (byte === undefined || (state.mode & MODE.TRANSLATE) === 0) return byte;
    if (byte === 0xf0) {
      state.released = true;
      return this.#next();
    }
    const translated = translate(byte) | (state.released ? 0x80 : 0);
    state.released = false;
    return translated;
  }

  #update(): void {
    this.state.output ??= this.#next() ?? null;
    this.#drive();
  }

  #drive(): void {
    const level = this.state.output !== null && (this.state.mode & MODE.INTERRUPT) !== 0;
    if (level === this.#level) return;
    this.#level = level;
    this.#irq(level);
  }
}
