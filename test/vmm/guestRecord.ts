// Reads records that a boot loader left in guest memory, as the kernel would.

import type { Machine } from '../../src/vmm/machine.ts';

const LONGEST_STRING = 4096;

export class GuestRecord {
  readonly gpa: number;
  readonly #machine: Machine;

  constructor(machine: Machine, gpa: number) {
    this.gpa = gpa;
    this.#machine = machine;
  }

  /** A record at another place of the same memory. */
  at(gpa: number): GuestRecord {
    return new GuestRecord(this.#machine, gpa);
  }

  u8(offset: number): number {
    return this.#view(offset, 1).getUint8(0);
  }

  u16(offset: number): number {
    return this.#view(offset, 2).getUint16(0, true);
  }

  u32(offset: number): number {
    return this.#view(offset, 4).getUint32(0, true);
  }

  u64(offset: number): bigint {
    return this.#view(offset, 8).getBigUint64(0, true);
  }

  /** Bytes at a guest physical address. */
  bytes(gpa: number, length: number): Uint8Array {
    const bytes = this.#machine.vm.memory.read(gpa, length);
    if (bytes === null) throw new Error(`there is no memory at 0x${gpa.toString(16)}`);
    return bytes;
  }

  /** The string at a guest physical address, up to its zero byte. */
  string(gpa: number): string {
    const bytes = this.bytes(gpa, LONGEST_STRING);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }

  #view(offset: number, length: number): DataView {
    return new DataView(this.bytes(this.gpa + offset, length).buffer);
  }
}
