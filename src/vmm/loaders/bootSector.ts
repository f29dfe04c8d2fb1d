// Disk images whose first sector is a boot sector: what the BIOS of a PC loads at 0x7C00 and enters in real mode.

import { type Image, ImageError } from '../image.ts';
import { SymbolTable } from '../symbols.ts';
import { FileView } from './fileView.ts';

export const SECTOR = 512;
/** Where every BIOS loads it. */
export const BOOT_SECTOR_ORIGIN = 0x7c00;
const SIGNATURE_AT = 510;
const SIGNATURE = 0xaa55;

/** Whether a file has the signature that a BIOS looks for. */
export const isBootSector = (bytes: Uint8Array): boolean =>
  bytes.length >= SECTOR && new FileView(bytes).u16(SIGNATURE_AT) === SIGNATURE;

/** Loads a disk image; all of it is what the guest finds on the disk. Throws ImageError. */
export function loadBootSector(bytes: Uint8Array): Image {
  if (!isBootSector(bytes)) {
    throw new ImageError(
      bytes.length < SECTOR
        ? `it has ${bytes.length} bytes, and a boot sector has ${SECTOR}`
        : 'its first sector does not end with 55 aa, the signature of a boot sector',
      'fill it up to byte 510 and write 0x55, 0xaa there (.org 510; .word 0xaa55)',
    );
  }
  return {
    format: 'raw',
    protocol: { kind: 'boot-sector', disk: bytes },
    entry: BigInt(BOOT_SECTOR_ORIGIN),
    segments: [{ gpa: BOOT_SECTOR_ORIGIN, bytes: bytes.subarray(0, SECTOR), memorySize: SECTOR }],
    symbols: SymbolTable.empty,
  };
}
