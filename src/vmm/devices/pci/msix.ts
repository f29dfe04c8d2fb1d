// MSI-X of a PCI function, with a base address register of its own (PCI 3.0, 6.8.2; laid out as QEMU's hw/pci/msix.c does).
//
// Theory: an interrupt is a message, a write of `data` to `address`, and each vector has its own in a table that software fills
// in memory. A vector that is masked, or whose function is, keeps its message back and shows a bit in the pending bit array; the
// message goes out when the mask does. Whoever takes messages may want some all the same: under Xen, one that stands for a PIRQ
// is unmasked by Xen, and guests leave its mask bit alone.

import type { MmioDevice } from '../../../hypervisor/bus/mmio.ts';
import { PAGE_SIZE } from '../../../x86/names/paging.ts';
import type { SavedDevice } from '../device.ts';
import { PCI, PCI_COMMAND, type ConfigurationSpace } from './configurationSpace.ts';

/** What a vector writes. */
export interface Message {
  readonly address: bigint;
  readonly data: number;
}

/** Where messages go. Called anywhere, a hard interrupt of the host included. */
export interface MessageSink {
  /** Masks do not keep this message back. */
  ignoresMask(message: Message): boolean;
  send(message: Message): void;
}

const CAPABILITY = { ID: 0x11, SIZE: 12, CONTROL: 2, TABLE: 4, PENDING: 8 } as const;
/** Message control. */
const CONTROL = { ENABLE: 1 << 15, FUNCTION_MASK: 1 << 14 } as const;
const ENTRY = { SIZE: 16, ADDRESS: 0, DATA: 8, CONTROL: 12, MASKED: 1 } as const;
/** Where the pending bit array lies in the page, behind at most 128 entries. */
const PENDING = 0x800;

export class Msix implements MmioDevice, SavedDevice<{ readonly page: readonly number[] }> {
  readonly name: string;
  readonly vectors: number;
  readonly #configuration: ConfigurationSpace;
  readonly #bar: number;
  readonly #capability: number;
  readonly #sink: MessageSink;
  /** The table, and the pending bits. */
  readonly #page = new Uint8Array(PAGE_SIZE);
  readonly #view = new DataView(this.#page.buffer);

  /** Adds the capability; the table lies in base address register `bar`, which the function has. All vectors begin masked. */
  constructor(name: string, configuration: ConfigurationSpace, bar: number, vectors: number, sink: MessageSink) {
    this.name = `${name} MSI-X table`;
    this.vectors = vectors;
    this.#configuration = configuration;
    this.#bar = bar;
    this.#sink = sink;
    this.#capability = configuration.addCapability(CAPABILITY.ID, CAPABILITY.SIZE);
    const control = this.#capability + CAPABILITY.CONTROL;
    configuration.set(control, 2, vectors - 1);
    configuration.allow(control, 2, CONTROL.ENABLE | CONTROL.FUNCTION_MASK);
    configuration.set(this.#capability + CAPABILITY.TABLE, 4, bar);
    configuration.set(this.#capability + CAPABILITY.PENDING, 4, PENDING | bar);
    for (let vector = 0; vector < vectors; vector++)
      this.#view.setUint32(vector * ENTRY.SIZE + ENTRY.CONTROL, ENTRY.MASKED, true);
  }

  get gpa(): number {
    return this.#configuration.bar(this.#bar) ?? 0;
  }
  get length(): number {
    return this.#configuration.bar(this.#bar) === null ? 0 : PAGE_SIZE;
  }

  /** The function has an interrupt on a vector. With MSI-X off nobody hears of it. */
  raise(vector: number): void {
    if ((this.#control & CONTROL.ENABLE) === 0) return;
    if (this.#goesOut(vector)) this.#sink.send(this.#message(vector));
    else this.#page[PENDING + (vector >> 3)]! |= 1 << (vector & 7);
  }

  /** A mask has changed, or a message: what waits may go out now. */
  sendPending(): void {
    if ((this.#control & CONTROL.ENABLE) === 0) return;
    for (let vector = 0; vector < this.vectors; vector++) {
      if (!this.#isPending(vector) || !this.#goesOut(vector)) continue;
      this.#page[PENDING + (vector >> 3)]! &= ~(1 << (vector & 7));
      this.#sink.send(this.#message(vector));
    }
  }

  read(offset: number, size: number): bigint {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.#page[offset + i] ?? 0xff);
    return value;
  }

  /** Pending bits cannot be written. */
  write(offset: number, size: number, value: bigint): void {
    for (let i = 0; i < size && offset + i < this.vectors * ENTRY.SIZE; i++)
      this.#page[offset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
    this.sendPending();
  }

  save(): { readonly page: readonly number[] } {
    return { page: [...this.#page.subarray(0, this.#page.findLastIndex((byte) => byte !== 0) + 1)] };
  }
  restore({ page }: { readonly page: readonly number[] }): void {
    this.#page.fill(0);
    this.#page.set(page);
  }

  get #control(): number {
    return this.#configuration.get(this.#capability + CAPABILITY.CONTROL, 2);
  }

  #isPending(vector: number): boolean {
    return ((this.#page[PENDING + (vector >> 3)]! >> (vector & 7)) & 1) !== 0;
  }

  /** Who may not master the bus cannot write a message. */
  #goesOut(vector: number): boolean {
    if ((this.#configuration.get(PCI.COMMAND, 2) & PCI_COMMAND.BUS_MASTER) === 0) return false;
    if (this.#sink.ignoresMask(this.#message(vector))) return true;
    const masked = this.#view.getUint32(vector * ENTRY.SIZE + ENTRY.CONTROL, true) & ENTRY.MASKED;
    return masked === 0 && (this.#control & CONTROL.FUNCTION_MASK) === 0;
  }

  #message(vector: number): Message {
    const at = vector * ENTRY.SIZE;
    return {
      address: this.#view.getBigUint64(at + ENTRY.ADDRESS, true),
      data: this.#view.getUint32(at + ENTRY.DATA, true),
    };
  }
}
