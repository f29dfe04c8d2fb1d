// QEMU's isa-debug-exit at port 0xF4, as kvm-unit-tests use it: writing v ends the machine with status (v << 1) | 1.

import type { BoardDevice } from './device.ts';

export const DEBUG_EXIT = 0xf4;

/** `end` is called with the value written, in the middle of the guest's instruction. */
export const debugExit = (end: (value: number) => void): BoardDevice => ({
  name: 'debug exit',
  save: () => ({}),
  restore: () => undefined,
  registers: new Map([[DEBUG_EXIT, { name: 'debug exit', sizes: [1, 2, 4], write: end }]]),
});
