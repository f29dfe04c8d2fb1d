// The reset control register of PIIX3 and its successors at port 0xCF9, inside the range of PCI's configuration address,
// which takes accesses of four bytes only. Also the reset register that the FADT names (acpi/).

import { byteRegister, type BoardDevice } from './device.ts';

export const RESET_CONTROL = 0xcf9;
/** Hard instead of soft, which is the same here. */
const SYSTEM_RESET = 1 << 1;
const RESET_CPU = 1 << 2;
/** What makes this register reset the machine. */
export const RESET_VALUE = SYSTEM_RESET | RESET_CPU;

export interface ResetControlState {
  value: number;
}

export class ResetControl implements BoardDevice<ResetControlState> {
  readonly name = 'reset control';
  readonly registers;
  readonly state: ResetControlState = { value: 0 };

  /** `reset` is called when the guest asks for one, in the middle of its instruction. */
  constructor(reset: () => void) {
    const { state } = this;
    this.registers = new Map([
      [
        RESET_CONTROL,
        byteRegister('reset control', {
          read: () => state.value,
          write(value) {
            state.value = value & SYSTEM_RESET;
            if ((value & RESET_CPU) !== 0) reset();
          },
        }),
      ],
    ]);
  }

  save(): ResetControlState {
    return { ...this.state };
  }

  restore(state: ResetControlState): void {
    Object.assign(this.state, state);
  }
}
