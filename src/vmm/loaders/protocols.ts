// The boot protocols by name: which of them a file has, and how it is loaded by each.

import { DEFAULT_ORIGIN, type Image, ImageError, type ProtocolName } from '../image.ts';
import { isBootSector, loadBootSector } from './bootSector.ts';
import { isElf, loadElf64, readElf } from './elf.ts';
import { isBzImage, loadLinux } from './linux.ts';
import { hasAddresses, loadMultiboot, multibootHeader } from './multiboot.ts';
import { hasOwnAddresses, loadMultiboot2, multiboot2Header } from './multiboot2.ts';
import { loadPvh, pvhEntry } from './pvh.ts';
import { loadRaw } from './raw.ts';

/** Each loads a file by its protocol, or throws ImageError with what the file lacks. */
const LOADERS: Readonly<Record<ProtocolName, (bytes: Uint8Array) => Image>> = {
  multiboot: loadMultiboot,
  multiboot2: loadMultiboot2,
  pvh: loadPvh,
  linux: loadLinux,
  direct: (bytes) => (isElf(bytes) ? loadElf64(bytes) : loadRaw(bytes, DEFAULT_ORIGIN)),
  'boot-sector': loadBootSector,
};

export const PROTOCOL_NAMES = Object.keys(LOADERS) as readonly ProtocolName[];
export const isProtocolName = (name: string): name is ProtocolName => Object.hasOwn(LOADERS, name);

/** Loads a file by a protocol, by default by the first that it has. Throws ImageError. */
export const loadImage = (bytes: Uint8Array, protocol: ProtocolName = protocolOf(bytes)): Image =>
  LOADERS[protocol](bytes);

/**
 * The protocol that a file announces, in the order in which QEMU's -kernel looks; `direct` when there is none. A file that is
 * malformed has one too: its loader says what is wrong with it.
 */
export function protocolOf(bytes: Uint8Array): ProtocolName {
  return isElf(bytes) ? protocolOfElf(bytes) : protocolOfOther(bytes);
}

function protocolOfElf(bytes: Uint8Array): ProtocolName {
  if (multibootHeader(bytes) !== null) return 'multiboot';
  if (multiboot2Header(bytes) !== null) return 'multiboot2';
  return hasPvhNote(bytes) ? 'pvh' : 'direct';
}

function hasPvhNote(bytes: Uint8Array): boolean {
  try {
    return pvhEntry(readElf(bytes)) !== null;
  } catch (error) {
    if (error instanceof ImageError) return false;
    throw error;
  }
}

function protocolOfOther(bytes: Uint8Array): ProtocolName {
  if (isBzImage(bytes)) return 'linux';
  const header = multibootHeader(bytes);
  if (header !== null && hasAddresses(bytes, header)) return 'multiboot';
  const header2 = multiboot2Header(bytes);
  if (header2 !== null && hasOwnAddresses(bytes, header2)) return 'multiboot2';
  return isBootSector(bytes) ? 'boot-sector' : 'direct';
}
