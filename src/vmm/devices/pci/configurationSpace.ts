// The 256 bytes by which a PCI function is found and set up (PCI 3.0, chapter 6): what they read as, and which bits of them
// software can change.

import { PAGE_SIZE } from '../../../x86/names/paging.ts';

export const CONFIGURATION_SPACE = 256;

/** Offsets in the header of type 0. */
/* prettier-ignore */
export const PCI = {
  VENDOR: 0x00, DEVICE: 0x02, COMMAND: 0x04, STATUS: 0x06, REVISION: 0x08, CLASS: 0x0a, BAR: 0x10, CAPABILITIES: 0x34,
  INTERRUPT_LINE: 0x3c, INTERRUPT_PIN: 0x3d,
} as const;
export const PCI_COMMAND = { MEMORY: 1 << 1, BUS_MASTER: 1 << 2 } as const;
export const PCI_STATUS_CAPABILITIES = 1 << 4;
/** The first byte behind the header. */
const FIRST_CAPABILITY = 0x40;

export class ConfigurationSpace {
  readonly #bytes = new Uint8Array(CONFIGURATION_SPACE);
  readonly #writable = new Uint8Array(CONFIGURATION_SPACE);
  #nextCapability = FIRST_CAPABILITY;
  #lastPointer: number = PCI.CAPABILITIES;

  /** What the function is; `classCode`: base class and subclass, 0x0600 for a host bridge. */
  constructor(vendor: number, device: number, classCode: number, revision = 0) {
    this.set(PCI.VENDOR, 2, vendor);
    this.set(PCI.DEVICE, 2, device);
    this.set(PCI.CLASS, 2, classCode);
    this.set(PCI.REVISION, 1, revision);
  }

  /** What software finds at a register of 1, 2 or 4 bytes; ones behind the last. */
  get(offset: number, size: number): number {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (this.#bytes[offset + i] ?? 0xff);
    return value;
  }

  /** Sets a register, whatever of it software can change. */
  set(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) this.#bytes[offset + i] = value >>> (8 * i);
  }

  /** Bits of a register that software can change. */
  allow(offset: number, size: number, mask: number): void {
    for (let i = 0; i < size; i++) this.#writable[offset + i] = mask >>> (8 * i);
  }

  /** Software writes 1, 2 or 4 bytes. */
  write(offset: number, size: number, value: number): void {
    for (let i = 0; i < size && offset + i < CONFIGURATION_SPACE; i++) {
      const mask = this.#writable[offset + i]!;
      this.#bytes[offset + i] = (this.#bytes[offset + i]! & ~mask) | ((value >>> (8 * i)) & mask);
    }
  }

  /** Base address register `index`: one page of memory in 32 bits, which firmware has put at `gpa`. */
  addBar(index: number, gpa: number): void {
    this.set(PCI.BAR + 4 * index, 4, gpa);
    this.allow(PCI.BAR + 4 * index, 4, -PAGE_SIZE);
  }

  /** Where such a page lies; null: the function does not answer to memory accesses. */
  bar(index: number): number | null {
    return (this.get(PCI.COMMAND, 2) & PCI_COMMAND.MEMORY) === 0 ? null : this.get(PCI.BAR + 4 * index, 4);
  }

  /** Adds a capability of `size` bytes to the end of the list: where it begins. */
  addCapability(id: number, size: number): number {
    const at = this.#nextCapability;
    this.set(PCI.STATUS, 2, this.get(PCI.STATUS, 2) | PCI_STATUS_CAPABILITIES);
    this.set(this.#lastPointer, 1, at);
    this.set(at, 1, id);
    this.#lastPointer = at + 1;
    this.#nextCapability = at + ((size + 3) & ~3);
    return at;
  }

  save(): number[] {
    return [...this.#bytes];
  }
  restore(bytes: readonly number[]): void {
    this.#bytes.set(bytes);
  }
}
