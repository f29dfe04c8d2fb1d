// The I/O port bus: which register answers at which port, and what an access of another size means there. The registers
// themselves are in devices/ of the VMM, and in irqchip/.
//
// Theory: ports are bytes. An access that a register does not take in its size falls apart into accesses of single bytes at
// consecutive ports, as the bus of a PC does it; what nobody answers reads as all ones and swallows writes.

import type { CountingClock } from './countingClock.ts';

export type PortSize = 1 | 2 | 4;

/** One register of a device. Values are unsigned and as wide as the access. */
export interface PortRegister {
  readonly name: string;
  /** Access sizes that it takes as one. */
  readonly sizes: readonly PortSize[];
  /**
   * The same access a second time changes nothing: a read that has no effect, and the same answer until something else happens to
   * the machine (so no time is in it); a write of what was just written.
   */
  readonly steady?: boolean;
  /** Reading it, as a whole register of 32 bits, has no effect, and tells what this clock counts. */
  readonly clock?: CountingClock;
  read?(size: PortSize): number;
  write?(value: number, size: PortSize): void;
}

/** A device as the bus sees it: its registers by port. */
export interface PortDevice {
  readonly name: string;
  readonly registers: ReadonlyMap<number, PortRegister>;
}

/** What came of an access: `unclaimed` when no register at all took part. */
export interface PortAnswer {
  readonly value: number;
  readonly unclaimed: boolean;
}

const BYTE = 0xff;
const allOnes = (size: PortSize): number => (size === 4 ? 0xffffffff : (1 << (8 * size)) - 1);

export class PortBus {
  readonly #registers = new Map<number, PortRegister>();
  /** In the order in which they were connected. */
  readonly devices: PortDevice[] = [];

  /** Connects a device. Two registers at one port are an error that names both. */
  connect(device: PortDevice): void {
    this.devices.push(device);
    for (const [port, register] of device.registers) {
      const other = this.#registers.get(port);
      if (other !== undefined) {
        throw new Error(
          `port 0x${port.toString(16)} is ${other.name} already and cannot be ${register.name} of ${device.name} too`,
        );
      }
      this.#registers.set(port, register);
    }
  }

  /** Whether a register is at this port. */
  has(port: number): boolean {
    return this.#registers.has(port);
  }

  /** Whether the same access of `size` bytes again would change nothing: it is one steady register's, or nobody's. */
  isSteady(port: number, size: PortSize): boolean {
    const register = this.#registers.get(port);
    if (register !== undefined && register.sizes.includes(size)) return register.steady === true;
    return !this.#isClaimed(port, size);
  }

  /** The clock that an access reads as a whole; null: none. */
  clock(port: number, size: PortSize): CountingClock | null {
    return size === 4 ? (this.#registers.get(port)?.clock ?? null) : null;
  }

  /** IN of `size` bytes. */
  read(port: number, size: PortSize): PortAnswer {
    const register = this.#registers.get(port);
    if (register !== undefined && register.sizes.includes(size)) {
      const value = register.read === undefined ? allOnes(size) : register.read(size);
      return { value: value >>> 0, unclaimed: false };
    }
    if (size === 1) return { value: BYTE, unclaimed: register === undefined };
    if (!this.#isClaimed(port, size)) return { value: allOnes(size), unclaimed: true };
    const bytes = this.#bytes(port, size).map((at) => this.read(at, 1));
    return {
      value: bytes.reduce((value, byte, i) => value | (byte.value << (8 * i)), 0) >>> 0,
      unclaimed: bytes.every((byte) => byte.unclaimed),
    };
  }

  /** OUT of `size` bytes; true when no register took any of them. */
  write(port: number, size: PortSize, value: number): boolean {
    const register = this.#registers.get(port);
    if (register !== undefined && register.sizes.includes(size)) {
      if (register.write !== undefined) register.write(value, size);
      return false;
    }
    if (size === 1) return register === undefined;
    const unclaimed = this.#bytes(port, size).map((at, i) => this.write(at, 1, (value >>> (8 * i)) & BYTE));
    return unclaimed.every(Boolean);
  }

  #isClaimed(port: number, size: PortSize): boolean {
    for (let i = 0; i < size; i++) if (this.#registers.has((port + i) & 0xffff)) return true;
    return false;
  }

  /** Ports are 16 bits wide and wrap. */
  #bytes(port: number, size: PortSize): number[] {
    return Array.from({ length: size }, (_, i) => (port + i) & 0xffff);
  }
}
