// The memory of QEMU's pc-testdev: 64 KiB that hold what is written, but are a device's, so that each access is MMIO (QEMU
// hw/misc/pc-testdev.c).

import type { MmioDevice } from '../../hypervisor/bus/mmio.ts';
import type { SavedDevice } from './device.ts';

const GPA = 0xff00_0000;
const LENGTH = 0x1_0000;

export class PcTestMemory implements MmioDevice, SavedDevice {
  readonly name = 'pc-testdev memory';
  readonly gpa = GPA;
  readonly length = LENGTH;
  readonly #bytes = new Uint8Array(LENGTH);

  read(offset: number, size: number): bigint {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#bytes[offset + i] ?? 0xff);
    return value;
  }

  write(offset: number, size: number, value: bigint): void {
    for (let i = 0; i < size; i++) this.#bytes[offset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }

  /** `bytes`: up to the last that is not 0. */
  save(): { readonly bytes: readonly number[] } {
    const used = this.#bytes.findLastIndex((byte) => byte !== 0) + 1;
    return { bytes: [...this.#bytes.subarray(0, used)] };
  }
  restore({ bytes }: { readonly bytes: readonly number[] }): void {
    this.#bytes.fill(0);
    this.#bytes.set(bytes);
  }
}
