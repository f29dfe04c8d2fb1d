// ACPI power management of QEMU's machines, as far as it turns them off: PM1a control at port 0x604.

import type { PortDevice } from '../../hypervisor/bus/ports.ts';

export const PM1A_CONTROL = 0x604;
/** SLP_EN with SLP_TYP 0, which is S5 (soft off) on these machines. */
const SLEEP_S5 = 0x2000;
const SLEEP_BITS = 0x3c00 | SLEEP_S5;

/** `off` is called when the guest turns the machine off, in the middle of its instruction. */
export function powerOff(off: () => void): PortDevice {
  let control = 0;
  return {
    name: 'power management',
    registers: new Map([
      [
        PM1A_CONTROL,
        {
          name: 'PM1a control',
          sizes: [2, 4],
          read: () => control,
          write: (value) => {
            control = value & ~SLEEP_BITS;
            if ((value & SLEEP_BITS) === SLEEP_S5) off();
          },
        },
      ],
    ]),
  };
}
