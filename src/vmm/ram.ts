// Where a PC has its RAM: the low megabyte with its hole, memory up to where devices begin, the rest above 4 GiB.
//
// Theory: firmware, kernels and devices agree on this map since 1981. Bytes from 0xA0000 to 0xFFFFF are a display's and
// ROMs'; here they are RAM too (text memory at 0xB8000 is looked at, not served), and only the map says that no kernel should
// use them. The top of the first 4 GiB belongs to PCI, the IOAPIC and the local APICs.

/** One range of the map that firmware hands to a kernel: INT 15h E820, Multiboot's mmap, PVH's and the zero page's. */
export interface MemoryRange {
  readonly gpa: number;
  readonly size: number;
  readonly type: MemoryType;
}

/** ACPI's address range types (ACPI 6.5, table 15.4), which every boot protocol uses. */
export const MEMORY_TYPE = { USABLE: 1, RESERVED: 2, ACPI: 3, NVS: 4 } as const;
export type MemoryType = (typeof MEMORY_TYPE)[keyof typeof MEMORY_TYPE];

/** A slot of RAM: what the hypervisor is asked for. */
export interface RamRange {
  readonly gpa: number;
  readonly size: number;
}

/** The extended BIOS data area: the last KiB of conventional memory. */
export const EBDA = 0x9fc00;
/** Where the display's memory begins, and conventional memory ends. */
export const VIDEO_HOLE = 0xa0000;
/** Where firmware keeps its tables and entry points. */
export const BIOS_AREA = 0xf0000;
export const ONE_MIB = 0x100000;
/** RAM ends here at the latest; devices follow. */
export const DEVICE_HOLE = 0xc0000000;
const FOUR_GIB = 2 ** 32;

export class Ram {
  readonly size: number;
  /** End of the RAM that starts at 0. */
  readonly lowEnd: number;
  readonly ranges: readonly RamRange[];

  /** `size`: bytes, whole pages. */
  constructor(size: number) {
    this.size = size;
    this.lowEnd = Math.min(size, DEVICE_HOLE);
    const low = { gpa: 0, size: this.lowEnd };
    this.ranges = size > DEVICE_HOLE ? [low, { gpa: FOUR_GIB, size: size - DEVICE_HOLE }] : [low];
  }

  /** The map in order of addresses; no range is empty and none overlaps another. */
  get map(): readonly MemoryRange[] {
    const [, high] = this.ranges;
    const ranges: MemoryRange[] = [
      { gpa: 0, size: Math.min(this.lowEnd, EBDA), type: MEMORY_TYPE.USABLE },
      { gpa: EBDA, size: VIDEO_HOLE - EBDA, type: MEMORY_TYPE.RESERVED },
      { gpa: BIOS_AREA, size: ONE_MIB - BIOS_AREA, type: MEMORY_TYPE.RESERVED },
    ];
    if (this.lowEnd > ONE_MIB) ranges.push({ gpa: ONE_MIB, size: this.lowEnd - ONE_MIB, type: MEMORY_TYPE.USABLE });
    if (high !== undefined) ranges.push({ ...high, type: MEMORY_TYPE.USABLE });
    return ranges;
  }
}
