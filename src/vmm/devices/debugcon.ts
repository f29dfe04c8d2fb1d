// The debug console of Bochs and QEMU: each byte written to port 0xE9 is printed; reading 0xE9 there says that it exists.

import type { GuestConsole } from '../console.ts';
import type { BoardDevice } from './device.ts';

export const DEBUGCON = 0xe9;

export const debugcon = (console: GuestConsole): BoardDevice => ({
  name: 'debugcon',
  save: () => ({}),
  restore: () => undefined,
  registers: new Map([
    [DEBUGCON, { name: 'debugcon', sizes: [1], read: () => DEBUGCON, write: (value) => console.write(value) }],
  ]),
});
