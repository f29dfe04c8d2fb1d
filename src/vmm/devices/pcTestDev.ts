// QEMU's pc-testdev, as far as guests without a host behind them use it: a port that remembers, and one port for each
// interrupt line (QEMU hw/misc/pc-testdev.c).

import type { PortDevice, PortRegister, PortSize } from '../../hypervisor/bus/ports.ts';

const DATA = 0xe0;
const LINES = 0x2000;
const LINE_COUNT = 24;
const SIZES: readonly PortSize[] = [1, 2, 4];

export class PcTestDev implements PortDevice {
  readonly name = 'pc-testdev';
  readonly registers: ReadonlyMap<number, PortRegister>;
  #data = 0;

  /** `setIrq` drives the line of a GSI. */
  constructor(setIrq: (gsi: number, level: boolean) => unknown) {
    const data: PortRegister = {
      name: 'test data',
      sizes: SIZES,
      read: () => this.#data,
      write: (value, size) => void (this.#data = size === 4 ? value : (this.#data & ~((1 << (8 * size)) - 1)) | value),
    };
    const line = (gsi: number): [number, PortRegister] => [
      LINES + gsi,
      { name: `interrupt line ${gsi}`, sizes: SIZES, read: () => 0, write: (value) => void setIrq(gsi, value !== 0) },
    ];
    this.registers = new Map([[DATA, data], ...Array.from({ length: LINE_COUNT }, (_, gsi) => line(gsi))]);
  }

  save(): { readonly data: number } {
    return { data: this.#data };
  }
  restore({ data }: { readonly data: number }): void {
    this.#data = data;
  }
}
