// QEMU's firmware configuration device at ports 0x510 and 0x511: items by number, read byte by byte (QEMU docs/specs/fw_cfg).
// Items that firmware would load a kernel from, and the DMA interface, are absent; an item that is absent reads as zeroes.

import type { PortRegister } from '../../hypervisor/bus/ports.ts';
import { byteRegister, type BoardDevice } from './device.ts';

const SELECTOR = 0x510;
const DATA = 0x511;
const ITEM = { SIGNATURE: 0x00, ID: 0x01, RAM_SIZE: 0x03, NB_CPUS: 0x05, MAX_CPUS: 0x0f } as const;
/** Bit 0: the interface by ports; bit 1, DMA, is clear. */
const ID_TRADITIONAL = 1;

const little = (value: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff);

export interface FwCfgFacts {
  readonly vcpus: number;
  /** Bytes of RAM. */
  readonly memory: number;
}

export interface FwCfgState {
  /** The item that is read, and how many of its bytes were. */
  selected: number;
  offset: number;
}

export class FwCfg implements BoardDevice<FwCfgState> {
  readonly name = 'fw_cfg';
  readonly registers;
  readonly state: FwCfgState = { selected: 0, offset: 0 };

  constructor({ vcpus, memory }: FwCfgFacts) {
    const items = new Map<number, Uint8Array>([
      [ITEM.SIGNATURE, new TextEncoder().encode('QEMU')],
      [ITEM.ID, little(ID_TRADITIONAL, 4)],
      [ITEM.RAM_SIZE, little(memory, 8)],
      [ITEM.NB_CPUS, little(vcpus, 2)],
      [ITEM.MAX_CPUS, little(vcpus, 2)],
    ]);
    const { state } = this;
    const selector: PortRegister = {
      name: 'fw_cfg selector',
      sizes: [2],
      read: () => state.selected,
      write(value) {
        state.selected = value;
        state.offset = 0;
      },
    };
    const data = byteRegister('fw_cfg data', { read: () => items.get(state.selected)?.[state.offset++] ?? 0 });
    this.registers = new Map([[SELECTOR, selector], [DATA, data]]); // prettier-ignore
  }

  save(): FwCfgState {
    return { ...this.state };
  }

  restore(state: FwCfgState): void {
    Object.assign(this.state, state);
  }
}
