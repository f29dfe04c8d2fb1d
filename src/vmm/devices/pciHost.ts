// PCI configuration mechanism 1 with an i440FX host bridge, alone on its bus (PCI 2.3, 3.2.2.3.2; Intel 290549). There is no
// ISA bridge function: what stands behind one on a PC is found at its fixed ports. Functions that are absent read as ones.
//
// Theory: a write of four bytes to 0xCF8 chooses a function and a register, and accesses of any size to 0xCFC..0xCFF reach it.
// Narrower accesses to 0xCF8..0xCFB are none of this mechanism's; the reset register lies among them.

import type { PortRegister, PortSize } from '../../hypervisor/bus/ports.ts';
import type { BoardDevice } from './device.ts';

const ADDRESS = 0xcf8;
const DATA = 0xcfc;
const ENABLE = 0x80000000;
const REGISTER_MASK = 0xfc;
const ALL_ONES = 0xff;

/** What cannot be written reads as here: vendor 8086, device 1237, revision 2, class 06 00 (host bridge). */
const HOST_BRIDGE: Readonly<Record<number, number>> = {
  0x00: 0x86,
  0x01: 0x80,
  0x02: 0x37,
  0x03: 0x12,
  0x04: 0x06,
  0x07: 0x02,
  0x08: 0x02,
  0x0b: 0x06,
};
/** Registers of the bridge that keep what is written: the programmable attributes of memory (PAM) and of SMRAM. */
const FIRST_WRITABLE = 0x59;
const LAST_WRITABLE = 0x72;
const CONFIGURATION_SPACE = 256;

export interface PciHostState {
  address: number;
  /** The bridge's configuration space, byte by byte. */
  bridge: number[];
}

export class PciHost implements BoardDevice<PciHostState> {
  readonly name = 'PCI host bridge';
  readonly registers;
  readonly state: PciHostState = {
    address: 0,
    bridge: Array.from({ length: CONFIGURATION_SPACE }, (_, i) => HOST_BRIDGE[i] ?? 0),
  };

  constructor() {
    const { state } = this;
    const address: PortRegister = {
      name: 'PCI configuration address',
      sizes: [4],
      read: () => state.address,
      write: (value) => void (state.address = value),
    };
    const data = (offset: number): PortRegister => ({
      name: 'PCI configuration data',
      sizes: [1, 2, 4],
      read: (size) => this.#read(offset, size),
      write: (value, size) => this.#write(offset, size, value),
    });
    this.registers = new Map([
      [ADDRESS, address],
      ...[0, 1, 2, 3].map((offset) => [DATA + offset, data(offset)] as const),
    ]);
  }

  save(): PciHostState {
    return structuredClone(this.state);
  }

  restore(state: PciHostState): void {
    Object.assign(this.state, structuredClone(state));
  }

  /** The configuration space that the address has chosen; null: no such function, or the mechanism is off. */
  get #chosen(): number[] | null {
    const { address, bridge } = this.state;
    return (address & ENABLE) !== 0 && (address & 0x00ffff00) === 0 ? bridge : null;
  }

  #read(offset: number, size: PortSize): number {
    const at = (this.state.address & REGISTER_MASK) + offset;
    const space = this.#chosen;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (space === null ? ALL_ONES : (space[at + i] ?? ALL_ONES));
    return value;
  }

  #write(offset: number, size: PortSize, value: number): void {
    const at = (this.state.address & REGISTER_MASK) + offset;
    const space = this.#chosen;
    if (space === null) return;
    for (let i = 0; i < size; i++)
      if (at + i >= FIRST_WRITABLE && at + i <= LAST_WRITABLE) space[at + i] = (value >>> (8 * i)) & 0xff;
  }
}
