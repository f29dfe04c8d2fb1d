// PCI configuration mechanism 1 with an i440FX host bridge (PCI 2.3, 3.2.2.3.2; Intel 290549), and the other functions on its
// bus, the only one. There is no ISA bridge function: what stands behind one on a PC is found at its fixed ports. Functions
// that are absent read as ones.
//
// Theory: a write of four bytes to 0xCF8 chooses a function and a register, and accesses of any size to 0xCFC..0xCFF reach it.
// Narrower accesses to 0xCF8..0xCFB are none of this mechanism's; the reset register lies among them.

import type { PortRegister, PortSize } from '../../../hypervisor/bus/ports.ts';
import type { BoardDevice } from '../device.ts';
import { ConfigurationSpace, PCI, PCI_COMMAND } from './configurationSpace.ts';

const ADDRESS = 0xcf8;
const DATA = 0xcfc;
const ENABLE = 0x80000000;
const BUS_MASK = 0x00ff0000;
const DEVFN = { SHIFT: 8, MASK: 0xff } as const;
const REGISTER_MASK = 0xfc;

/** A function of the bus. */
export interface PciFunction {
  /** Device number << 3 | function number. */
  readonly devfn: number;
  readonly configuration: ConfigurationSpace;
  /** Software has written to its configuration space. */
  configured?(): void;
}

/** Registers of the bridge that keep what is written: the programmable attributes of memory (PAM) and of SMRAM. */
const FIRST_WRITABLE = 0x59;
const LAST_WRITABLE = 0x72;

function hostBridge(): PciFunction {
  const configuration = new ConfigurationSpace(0x8086, 0x1237, 0x0600, 2);
  configuration.set(PCI.COMMAND, 2, PCI_COMMAND.MEMORY | PCI_COMMAND.BUS_MASTER);
  configuration.set(PCI.STATUS, 2, 0x0200);
  for (let at = FIRST_WRITABLE; at <= LAST_WRITABLE; at++) configuration.allow(at, 1, 0xff);
  return { devfn: 0, configuration };
}

export interface PciHostState {
  readonly address: number;
  /** The configuration space of each function, by devfn. */
  readonly spaces: readonly (readonly [devfn: number, bytes: readonly number[]])[];
}

export class PciHost implements BoardDevice<PciHostState> {
  readonly name = 'PCI host bridge';
  readonly registers;
  readonly #functions: readonly PciFunction[];
  #address = 0;

  /** `functions`: what else is on the bus. */
  constructor(functions: readonly PciFunction[] = []) {
    this.#functions = [hostBridge(), ...functions];
    const address: PortRegister = {
      name: 'PCI configuration address',
      sizes: [4],
      read: () => this.#address,
      write: (value) => void (this.#address = value),
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
    return {
      address: this.#address,
      spaces: this.#functions.map(({ devfn, configuration }) => [devfn, configuration.save()]),
    };
  }

  restore({ address, spaces }: PciHostState): void {
    this.#address = address;
    for (const [devfn, bytes] of spaces)
      this.#functions.find((each) => each.devfn === devfn)!.configuration.restore(bytes);
  }

  /** The function that the address has chosen; undefined: there is none, or the mechanism is off. */
  get #chosen(): PciFunction | undefined {
    const address = this.#address;
    if ((address & ENABLE) === 0 || (address & BUS_MASK) !== 0) return undefined;
    return this.#functions.find(({ devfn }) => devfn === ((address >>> DEVFN.SHIFT) & DEVFN.MASK));
  }

  #read(offset: number, size: PortSize): number {
    const ones = 2 ** (8 * size) - 1;
    return this.#chosen?.configuration.get((this.#address & REGISTER_MASK) + offset, size) ?? ones;
  }

  #write(offset: number, size: PortSize, value: number): void {
    const chosen = this.#chosen;
    chosen?.configuration.write((this.#address & REGISTER_MASK) + offset, size, value);
    chosen?.configured?.();
  }
}
