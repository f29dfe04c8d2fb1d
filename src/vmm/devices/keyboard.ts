// A PS/2 keyboard: its commands and what it sends for keys, in scan code set 1 or 2 (IBM PS/2 keyboard reference; Linux
// drivers/input/keyboard/atkbd.c for what drivers ask).

import { strokeOf, type Stroke } from './keys.ts';

const COMMAND = {
  SET_LEDS: 0xed, ECHO: 0xee, SCAN_CODE_SET: 0xf0, IDENTIFY: 0xf2, SET_RATE: 0xf3, ENABLE: 0xf4, DISABLE: 0xf5, DEFAULTS: 0xf6,
  RESEND: 0xfe, RESET: 0xff,
} as const; // prettier-ignore
const ACKNOWLEDGED = 0xfa;
const RESEND = 0xfe;
const SELF_TEST_PASSED = 0xaa;
const IDENTITY = [0xab, 0x83];
const RELEASE_SET_2 = 0xf0;
const RELEASE_SET_1 = 0x80;
const DEFAULT_SET = 2;

export interface KeyboardState {
  set: number;
  /** Sends keys. */
  enabled: boolean;
  /** A command whose parameter comes next; 0: none. */
  command: number;
  lastSent: number;
  /** To be sent. */
  queue: number[];
  /** Typed characters that wait until the queue is empty. */
  typed: number[];
}

/** Not a device of the bus: it hangs on the controller, which takes its bytes one by one. */
export class Keyboard {
  readonly state: KeyboardState = { set: DEFAULT_SET, enabled: true, command: 0, lastSent: 0, queue: [], typed: [] };

  /** Characters to type. Those that no key makes are left out. */
  type(bytes: readonly number[]): void {
    this.state.typed.push(...bytes);
    this.#press();
  }

  /** The next byte for the controller; undefined: nothing to send. */
  take(): number | undefined {
    const { state } = this;
    this.#press();
    const byte = state.queue.shift();
    if (byte !== undefined) state.lastSent = byte;
    return byte;
  }

  /** A byte from the controller. */
  receive(byte: number): void {
    const { state } = this;
    const { command } = state;
    state.command = 0;
    if (command !== 0 && byte < COMMAND.SET_LEDS) this.#parameter(command, byte);
    else this.#command(byte);
  }

  #parameter(command: number, value: number): void {
    const { state } = this;
    if (command !== COMMAND.SCAN_CODE_SET) state.queue.push(ACKNOWLEDGED);
    else if (value === 0) state.queue.push(ACKNOWLEDGED, state.set);
    else if (value === 1 || value === 2) {
      state.set = value;
      state.queue.push(ACKNOWLEDGED);
    } else state.queue.push(RESEND);
  }

  #command(byte: number): void {
    const { state } = this;
    switch (byte) {
      case COMMAND.SET_LEDS:
      case COMMAND.SCAN_CODE_SET:
      case COMMAND.SET_RATE:
        state.command = byte;
        state.queue.push(ACKNOWLEDGED);
        return;
      case COMMAND.ECHO:
        state.queue.push(COMMAND.ECHO);
        return;
      case COMMAND.IDENTIFY:
        state.queue.push(ACKNOWLEDGED, ...IDENTITY);
        return;
      case COMMAND.ENABLE:
        state.enabled = true;
        state.queue.push(ACKNOWLEDGED);
        return;
      case COMMAND.DISABLE:
      case COMMAND.DEFAULTS:
        state.set = DEFAULT_SET;
        state.enabled = byte === COMMAND.DEFAULTS && state.enabled;
        state.queue.push(ACKNOWLEDGED);
        return;
      case COMMAND.RESEND:
        state.queue.push(state.lastSent);
        return;
      case COMMAND.RESET:
        Object.assign(state, { set: DEFAULT_SET, enabled: true, queue: [ACKNOWLEDGED, SELF_TEST_PASSED] });
        return;
      default:
        state.queue.push(RESEND);
    }
  }

  /** Presses and releases the keys of the next character, once everything before is sent. */
  #press(): void {
    const { state } = this;
    while (state.enabled && state.queue.length === 0 && state.typed.length > 0) {
      const stroke = strokeOf(state.typed.shift()!);
      if (stroke !== null) state.queue.push(...this.#codes(stroke));
    }
  }

  #codes({ modifier, key }: Stroke): number[] {
    const keys = modifier === null ? [key] : [modifier, key];
    const set1 = this.state.set === 1;
    const down = keys.map((k) => (set1 ? k.set1 : k.set2));
    const up = [...keys].reverse().flatMap((k) => (set1 ? [k.set1 | RELEASE_SET_1] : [RELEASE_SET_2, k.set2]));
    return [...down, ...up];
  }
}
