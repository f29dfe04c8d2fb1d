// INT 13h: the disk that the guest was started from, which is the image file. It can be read only.

import { BDA } from './rom.ts';
import type { BiosCall } from './call.ts';

const SECTOR = 512;
const STATUS = { OK: 0x00, INVALID: 0x01, WRITE_PROTECTED: 0x03, NOT_FOUND: 0x04, BOUNDARY: 0x09 } as const;
const HARD_DISK = 0x80;
// prettier-ignore
const FUNCTION = {
  RESET: 0x00, STATUS: 0x01, READ: 0x02, WRITE: 0x03, VERIFY: 0x04, PARAMETERS: 0x08, TYPE: 0x15, EXTENSIONS: 0x41,
  READ_EXTENDED: 0x42, WRITE_EXTENDED: 0x43, PARAMETERS_EXTENDED: 0x48,
} as const;
/** What AH = 15h returns in AH: a floppy drive that does not notice when its disk is changed, a hard disk. */
const TYPE = { FLOPPY: 1, HARD_DISK: 3 } as const;

/** A status, for AH and carry; success with something else in AH; or null: there is no such function. */
type Outcome = number | { readonly ah: number } | null;
/** Geometries that IDE disks report; with more cylinders than the interface can count, more heads are. */
const IDE = { HEADS: 16, SECTORS: 63, MOST_CYLINDERS: 1024, TRANSLATED_HEADS: 255 } as const;
/** Formats by size in sectors: a file of exactly such a size is a floppy. */
const FLOPPIES: Readonly<Record<number, Geometry & { type: number }>> = {
  720: { cylinders: 40, heads: 2, sectors: 9, type: 1 },
  1440: { cylinders: 80, heads: 2, sectors: 9, type: 3 },
  2400: { cylinders: 80, heads: 2, sectors: 15, type: 2 },
  2880: { cylinders: 80, heads: 2, sectors: 18, type: 4 },
  5760: { cylinders: 80, heads: 2, sectors: 36, type: 6 },
};

interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  /** Sectors of a track, counted from 1. */
  readonly sectors: number;
}

/** INT 13h extensions: fixed disk access, enhanced disk drive; and their version 3.0. */
const EXTENSIONS = 0x05;
const EDD_VERSION = 0x30;
/** Fields of a packet of address and count. */
const PACKET = { SIZE: 0, COUNT: 2, OFFSET: 4, SEGMENT: 6, LBA: 8, LENGTH: 16 } as const;
const PARAMETERS_LENGTH = 26;
const GEOMETRY_IS_VALID = 1 << 1;

export class Disk {
  readonly #bytes: Uint8Array;
  /** As DL has it. */
  readonly drive: number;
  readonly #geometry: Geometry;
  readonly #floppyType: number | null;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    const floppy = bytes.length % SECTOR === 0 ? FLOPPIES[this.#total] : undefined;
    this.drive = floppy === undefined ? HARD_DISK : 0;
    this.#geometry = floppy ?? this.#ideGeometry();
    this.#floppyType = floppy?.type ?? null;
  }

  /** Sectors; an incomplete last one is filled up with zeroes. */
  get #total(): number {
    return Math.ceil(this.#bytes.length / SECTOR);
  }

  #ideGeometry(): Geometry {
    const cylinders = Math.max(2, Math.floor(this.#total / (IDE.HEADS * IDE.SECTORS)));
    if (cylinders <= IDE.MOST_CYLINDERS) return { cylinders, heads: IDE.HEADS, sectors: IDE.SECTORS };
    const translated = Math.floor(this.#total / (IDE.TRANSLATED_HEADS * IDE.SECTORS));
    return {
      cylinders: Math.min(translated, IDE.MOST_CYLINDERS),
      heads: IDE.TRANSLATED_HEADS,
      sectors: IDE.SECTORS,
    };
  }

  /** Serves INT 13h; false: there is no such function. */
  serve(call: BiosCall): boolean {
    const outcome = call.dl === this.drive ? this.#perform(call) : this.#onAbsentDrive(call);
    if (outcome === null) return false;
    const status = typeof outcome === 'number' ? outcome : STATUS.OK;
    call.ah = typeof outcome === 'number' ? outcome : outcome.ah;
    call.carry = status !== STATUS.OK;
    call.setU8(this.#statusField, status);
    return true;
  }

  get #statusField(): number {
    return this.drive >= HARD_DISK ? BDA.DISK_STATUS : BDA.FLOPPY_STATUS;
  }

  #onAbsentDrive(call: BiosCall): number {
    if (call.ah === FUNCTION.PARAMETERS) call.dx = this.#drivesOfKind(call.dl);
    return STATUS.INVALID;
  }

  #drivesOfKind(drive: number): number {
    return drive >= HARD_DISK === this.drive >= HARD_DISK ? 1 : 0;
  }

  #perform(call: BiosCall): Outcome {
    switch (call.ah) {
      case FUNCTION.RESET:
      case FUNCTION.VERIFY:
        return STATUS.OK;
      case FUNCTION.STATUS:
        return call.u8(this.#statusField);
      case FUNCTION.READ:
        return this.#read(call);
      case FUNCTION.WRITE:
      case FUNCTION.WRITE_EXTENDED:
        return STATUS.WRITE_PROTECTED;
      case FUNCTION.PARAMETERS:
        return this.#parameters(call);
      case FUNCTION.TYPE:
        return this.#type(call);
      case FUNCTION.EXTENSIONS:
        return this.#extensions(call);
      case FUNCTION.READ_EXTENDED:
        return this.#readExtended(call);
      case FUNCTION.PARAMETERS_EXTENDED:
        return this.#parametersExtended(call);
      default:
        return null;
    }
  }

  #read(call: BiosCall): number {
    const { heads, sectors } = this.#geometry;
    const count = call.al;
    const cylinder = call.ch | ((call.cl & 0xc0) << 2);
    const sector = call.cl & 0x3f;
    call.al = 0;
    if (count === 0 || sector === 0 || sector > sectors || call.dh >= heads) return STATUS.INVALID;
    const status = this.#transfer(call, (cylinder * heads + call.dh) * sectors + sector - 1, count, call.es(call.bx));
    if (status === STATUS.OK) call.al = count;
    return status;
  }

  #readExtended(call: BiosCall): number {
    const packet = call.ds(call.si);
    if (call.u8(packet + PACKET.SIZE) < PACKET.LENGTH) return STATUS.INVALID;
    const lba = call.u32(packet + PACKET.LBA) + call.u32(packet + PACKET.LBA + 4) * 2 ** 32;
    const buffer = (call.u16(packet + PACKET.SEGMENT) << 4) + call.u16(packet + PACKET.OFFSET);
    const status = this.#transfer(call, lba, call.u16(packet + PACKET.COUNT), buffer);
    if (status !== STATUS.OK) call.setU16(packet + PACKET.COUNT, 0);
    return status;
  }

  #transfer({ memory }: BiosCall, first: number, count: number, gpa: number): number {
    if (first + count > this.#total) return STATUS.NOT_FOUND;
    const bytes = new Uint8Array(count * SECTOR);
    bytes.set(this.#bytes.subarray(first * SECTOR, (first + count) * SECTOR));
    return memory.write(gpa, bytes) ? STATUS.OK : STATUS.BOUNDARY;
  }

  /** The last cylinder, sector and head, and how many drives there are. */
  #parameters(call: BiosCall): number {
    const { cylinders, heads, sectors } = this.#geometry;
    const last = cylinders - 1;
    call.al = 0;
    call.cx = ((last & 0xff) << 8) | ((last >> 2) & 0xc0) | sectors;
    call.dx = ((heads - 1) << 8) | 1;
    if (this.#floppyType !== null) call.bx = (call.bx & 0xff00) | this.#floppyType;
    return STATUS.OK;
  }

  #type(call: BiosCall): Outcome {
    if (this.#floppyType !== null) return { ah: TYPE.FLOPPY };
    call.cx = this.#total >>> 16;
    call.dx = this.#total & 0xffff;
    return { ah: TYPE.HARD_DISK };
  }

  #extensions(call: BiosCall): Outcome {
    if (call.bx !== 0x55aa) return STATUS.INVALID;
    call.bx = 0xaa55;
    call.cx = EXTENSIONS;
    return { ah: EDD_VERSION };
  }

  #parametersExtended(call: BiosCall): number {
    const buffer = call.ds(call.si);
    if (call.u16(buffer) < PARAMETERS_LENGTH) return STATUS.INVALID;
    const { cylinders, heads, sectors } = this.#geometry;
    call.setU16(buffer, PARAMETERS_LENGTH);
    call.setU16(buffer + 2, GEOMETRY_IS_VALID);
    for (const [i, value] of [cylinders, heads, sectors, this.#total, 0].entries())
      call.setU32(buffer + 4 + 4 * i, value);
    call.setU16(buffer + 24, SECTOR);
    return STATUS.OK;
  }
}
