// Guest physical memory as the host reads and writes it: kvm_read_guest and kvm_write_guest. It goes through the slots, and
// every write is logged as dirty and drops code decoded from it.

import { PAGE_SIZE } from '../x86/names/paging.ts';
import { pageOf, type Memslots } from './memslots.ts';

export class GuestMemory {
  readonly slots: Memslots;
  readonly #word = new DataView(new ArrayBuffer(8));
  readonly #wordBytes = new Uint8Array(this.#word.buffer);

  constructor(slots: Memslots) {
    this.slots = slots;
  }

  /** Copies `length` bytes from `gpa`; null when some page has no slot. */
  read(gpa: number, length: number): Uint8Array | null {
    const bytes = new Uint8Array(length);
    const complete = this.#pieces(gpa, length, false, (address, at, size) => {
      bytes.set(this.slots.arena.hostRead(address, size), at);
    });
    return complete ? bytes : null;
  }

  /** Writes bytes at `gpa`; false, and nothing written, when some page has no slot or a read-only one. */
  write(gpa: number, bytes: Uint8Array): boolean {
    if (!this.#pieces(gpa, bytes.length, true, () => undefined)) return false;
    return this.#pieces(gpa, bytes.length, true, (address, at, size) => {
      this.slots.arena.hostWrite(address, bytes.subarray(at, at + size));
    });
  }

  readU64(gpa: number): bigint | null {
    const bytes = this.read(gpa, 8);
    return bytes === null ? null : new DataView(bytes.buffer).getBigUint64(0, true);
  }

  writeU64(gpa: number, value: bigint): boolean {
    this.#word.setBigUint64(0, value, true);
    return this.write(gpa, this.#wordBytes);
  }

  /** Calls `piece` for each part of a range that lies in one page; false as soon as a page is missing. */
  #pieces(
    gpa: number,
    length: number,
    write: boolean,
    piece: (address: number, at: number, size: number) => void,
  ): boolean {
    for (let at = 0; at < length; ) {
      const offset = (gpa + at) % PAGE_SIZE;
      const page = this.slots.addressOf(pageOf(gpa + at), write);
      if (page < 0) return false;
      const size = Math.min(PAGE_SIZE - offset, length - at);
      piece(page + offset, at, size);
      at += size;
    }
    return true;
  }
}
