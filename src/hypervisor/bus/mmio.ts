// Devices in guest physical memory: where no slot is, each access is handed to the device that has the range.

/** A device's window. Offsets count from its first byte; a value has `size` bytes. */
export interface MmioDevice {
  readonly name: string;
  readonly gpa: number;
  readonly length: number;
  read(offset: number, size: number): bigint;
  write(offset: number, size: number, value: bigint): void;
}

export class MmioBus {
  readonly #devices: MmioDevice[] = [];

  get devices(): readonly MmioDevice[] {
    return this.#devices;
  }

  /** Connects a device. Two at one address are an error that names both. */
  connect(device: MmioDevice): void {
    const other = this.#devices.find((d) => d.gpa < device.gpa + device.length && device.gpa < d.gpa + d.length);
    if (other !== undefined) {
      throw new Error(
        `${device.name} at 0x${device.gpa.toString(16)} overlaps ${other.name} at 0x${other.gpa.toString(16)}`,
      );
    }
    this.#devices.push(device);
  }

  /** The device at an address. */
  at(gpa: number): MmioDevice | undefined {
    return this.#devices.find((d) => gpa >= d.gpa && gpa < d.gpa + d.length);
  }
}
