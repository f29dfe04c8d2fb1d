// System control port A of the PS/2: A20 and fast reset. Address line 20 is always on here (see i8042.ts).

import { byteRegister, type BoardDevice } from './device.ts';
import type { A20Off } from './i8042.ts';

export const PORT_92 = 0x92;
const FAST_RESET = 1 << 0;
const A20 = 1 << 1;

export interface Port92State {
  /** What was written last. */
  value: number;
}

export class Port92 implements BoardDevice<Port92State> {
  readonly name = 'system control port A';
  readonly registers;
  readonly state: Port92State = { value: A20 };

  /** `reset` is called when the guest asks for one, in the middle of its instruction. */
  constructor(reset: () => void, a20Off: A20Off) {
    const { state } = this;
    this.registers = new Map([
      [
        PORT_92,
        byteRegister('A20 and fast reset', {
          read: () => state.value,
          write(value) {
            const rises = value & ~state.value;
            if ((state.value & ~value & A20) !== 0) a20Off(PORT_92);
            state.value = value;
            if ((rises & FAST_RESET) !== 0) reset();
          },
        }),
      ],
    ]);
  }

  save(): Port92State {
    return { ...this.state };
  }

  restore(state: Port92State): void {
    Object.assign(this.state, state);
  }
}
