// Where a boot loader puts things into the guest's memory: what is taken, what still fits where. Nothing is written before
// all has found its place, so that a boot that is refused has changed nothing.

import type { Vm } from '../../hypervisor/vm.ts';
import type { Image } from '../image.ts';
import { MEMORY_TYPE, type MemoryRange, type Ram } from '../ram.ts';
import { BootError } from './bootError.ts';

const MIB = 2 ** 20;

interface Taken {
  readonly gpa: number;
  readonly end: number;
  readonly what: string;
}

/** Where something may go: between `from` and `below`, on a multiple of `align` (default 1), as low or as high as it fits. */
export interface Room {
  readonly from: number;
  readonly below?: number;
  readonly align?: number;
  readonly highest?: boolean;
}

const hex = (value: number): string => `0x${value.toString(16)}`;
const alignUp = (value: number, to: number): number => Math.ceil(value / to) * to;
const alignDown = (value: number, to: number): number => Math.floor(value / to) * to;

export class Placement {
  readonly #vm: Vm;
  readonly #ram: Ram;
  readonly #taken: Taken[] = [];
  readonly #writes: { gpa: number; bytes: Uint8Array }[] = [];

  constructor(vm: Vm, ram: Ram) {
    this.#vm = vm;
    this.#ram = ram;
  }

  /** Puts each segment of an image where it says. Throws BootError. */
  image({ segments }: Image): void {
    for (const { gpa, bytes, memorySize } of segments) this.at(gpa, bytes, 'the image', memorySize);
  }

  /** Puts bytes at a fixed place, where `size` bytes are taken. Throws BootError when the place is no free RAM. */
  at(gpa: number, bytes: Uint8Array, what: string, size: number = bytes.length): void {
    if (size === 0) return;
    const end = gpa + size;
    this.#mustBeRam(gpa, end, what);
    const other = this.#overlapping(gpa, end);
    if (other !== undefined) {
      throw new BootError(
        `${what} at ${hex(gpa)} to ${hex(end)} overlaps ${other.what} at ${hex(other.gpa)} to ${hex(other.end)}: load it elsewhere`,
      );
    }
    this.#take(gpa, end, what, bytes);
  }

  /** Puts bytes at the first free place in a room, and returns the place. Throws BootError when there is none. */
  put(bytes: Uint8Array, what: string, room: Room): number {
    const gpa = this.find(bytes.length, what, room);
    this.#take(gpa, gpa + bytes.length, what, bytes);
    return gpa;
  }

  /** The first free place for `size` bytes in a room, which is not taken by this. Throws BootError when there is none. */
  find(size: number, what: string, { from, below = Infinity, align = 1, highest = false }: Room): number {
    const usable = this.#usable();
    for (const range of highest ? usable.reverse() : usable) {
      const [start, end] = [Math.max(from, range.gpa), Math.min(below, range.gpa + range.size)];
      const gpa = highest ? this.#highest(size, start, end, align) : this.#lowest(size, start, end, align);
      if (gpa !== null) return gpa;
    }
    throw new BootError(
      `no room for ${what} (${size} bytes) in memory from ${hex(from)}${below === Infinity ? '' : ` to ${hex(below)}`}: give the machine more memory, or less to load`,
    );
  }

  /** The highest address that something was put below, or that an image reaches. */
  get end(): number {
    return Math.max(0, ...this.#taken.map(({ end }) => end));
  }

  /** Writes everything. What is beyond the bytes of a place stays zero, as memory is at power-on. */
  write(): void {
    for (const { gpa, bytes } of this.#writes) {
      if (!this.#vm.memory.write(gpa, bytes)) throw new Error(`memory at ${hex(gpa)} was RAM and cannot be written`);
    }
  }

  #lowest(size: number, start: number, end: number, align: number): number | null {
    for (let gpa = alignUp(start, align); gpa + size <= end; ) {
      const other = this.#overlapping(gpa, gpa + size);
      if (other === undefined) return gpa;
      gpa = alignUp(other.end, align);
    }
    return null;
  }

  #highest(size: number, start: number, end: number, align: number): number | null {
    for (let gpa = alignDown(end - size, align); gpa >= start; ) {
      const other = this.#overlapping(gpa, gpa + size);
      if (other === undefined) return gpa;
      gpa = alignDown(other.gpa - size, align);
    }
    return null;
  }

  #take(gpa: number, end: number, what: string, bytes: Uint8Array): void {
    this.#taken.push({ gpa, end, what });
    this.#writes.push({ gpa, bytes });
  }

  #usable(): MemoryRange[] {
    return this.#ram.map.filter(({ type }) => type === MEMORY_TYPE.USABLE);
  }

  #overlapping(gpa: number, end: number): Taken | undefined {
    return this.#taken.find((taken) => taken.gpa < end && gpa < taken.end);
  }

  #mustBeRam(gpa: number, end: number, what: string): void {
    const isIn = ({ gpa: start, size }: { gpa: number; size: number }): boolean => gpa >= start && end <= start + size;
    if (this.#usable().some(isIn)) return;
    if (this.#ram.ranges.some(isIn)) {
      throw new BootError(
        `${what} has bytes at ${hex(gpa)} to ${hex(end)}, and not all of that is free for kernels (a PC's firmware and display are from 0x9fc00 to 0xfffff): link it to 0x100000 or above`,
      );
    }
    const { lowEnd } = this.#ram;
    throw new BootError(
      gpa < lowEnd || end <= 3 * 2 ** 30
        ? `${what} needs memory up to ${hex(end)}, and the machine has ${hex(this.#ram.size)} bytes: try ${Math.ceil(end / MIB)} MiB or more`
        : `${what} has bytes at ${hex(gpa)} to ${hex(end)}, where no memory can be: link it to lower physical addresses`,
    );
  }
}
