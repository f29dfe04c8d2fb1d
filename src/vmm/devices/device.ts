// What devices of the board have in common: a state that a snapshot takes, and registers of one byte.

import type { PortDevice, PortRegister } from '../../hypervisor/bus/ports.ts';

/** A device whose state can be taken and put back. A state is a plain object with named fields, as JSON has them. */
export interface SavedDevice<State extends object = object> {
  readonly name: string;
  save(): State;
  /** Becomes as it was when `state` was saved; drives its interrupt line accordingly. */
  restore(state: State): void;
}

/** A device with ports and a state. */
export interface BoardDevice<State extends object = object> extends PortDevice, SavedDevice<State> {}

/** Drives the device's interrupt line. */
export type IrqLine = (level: boolean) => void;

/** A register of one byte. */
export const byteRegister = (name: string, access: Pick<PortRegister, 'read' | 'write'>): PortRegister => ({
  name,
  sizes: [1],
  ...access,
});
