// The bytes of a snapshot's file: a magic, the version, then parts that each say how long they are and what their CRC is.
//
//   0   16 bytes  "trapline machine"
//   16  u32       version
//   20  u32       how many parts follow
//   then for each part: u32 length, u32 CRC-32, its bytes
//
// Part 0 is JSON: {head, state}, all fields by name. Part 1 holds the numbers of the pages that are not all zero, u32 each, and
// part 2 these pages. All numbers are little-endian.

import { PAGE_SIZE } from '../../x86/names/paging.ts';
import { crc32 } from './crc32.ts';
import { SnapshotError } from './snapshotError.ts';
import { headAndState, readHeadAndState, SNAPSHOT_VERSION, type Snapshot } from './snapshot.ts';

const MAGIC = new TextEncoder().encode('trapline machine');
const VERSION_AT = MAGIC.length;
const PARTS_AT = VERSION_AT + 4;
const FIRST_PART = PARTS_AT + 4;
const PART_HEAD = 8;
const PARTS = ['state', 'page numbers', 'pages'] as const;

const AGAIN = 'take the snapshot again, or copy the file again';

/** The file of a snapshot. */
export function snapshotToBytes(snapshot: Snapshot): Uint8Array {
  const { numbers, bytes } = snapshot.pages;
  const numberBytes = new DataView(new ArrayBuffer(4 * numbers.length));
  for (const [index, number] of numbers.entries()) numberBytes.setUint32(4 * index, number, true);
  const parts = [new TextEncoder().encode(headAndState(snapshot)), new Uint8Array(numberBytes.buffer), bytes];
  const file = new Uint8Array(parts.reduce((length, part) => length + PART_HEAD + part.length, FIRST_PART));
  const view = new DataView(file.buffer);
  file.set(MAGIC);
  view.setUint32(VERSION_AT, SNAPSHOT_VERSION, true);
  view.setUint32(PARTS_AT, parts.length, true);
  let at = FIRST_PART;
  for (const part of parts) {
    view.setUint32(at, part.length, true);
    view.setUint32(at + 4, crc32(part), true);
    file.set(part, at + PART_HEAD);
    at += PART_HEAD + part.length;
  }
  return file;
}

/** The snapshot in a file. Throws SnapshotError: it is none, is damaged, or another version wrote it. */
export function snapshotFromBytes(file: Uint8Array): Snapshot {
  if (file.length < FIRST_PART || !MAGIC.every((byte, i) => file[i] === byte))
    throw new SnapshotError('this is no snapshot of a machine', 'give a file that --snapshot-to has written');
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  checkVersion(view.getUint32(VERSION_AT, true));
  if (view.getUint32(PARTS_AT, true) !== PARTS.length)
    throw new SnapshotError(
      `the snapshot has ${view.getUint32(PARTS_AT, true)} parts instead of ${PARTS.length}`,
      AGAIN,
    );
  let at = FIRST_PART;
  const parts = PARTS.map((name) => {
    const part = partAt(file, view, at, name);
    at += PART_HEAD + part.length;
    return part;
  });
  if (at !== file.length)
    throw new SnapshotError(`the snapshot goes on for ${file.length - at} bytes behind its end`, AGAIN);
  const [text, numbers, bytes] = parts as [Uint8Array, Uint8Array, Uint8Array];
  return {
    ...readHeadAndState(new TextDecoder().decode(text)),
    pages: { numbers: readNumbers(numbers, bytes), bytes },
  };
}

function checkVersion(version: number): void {
  if (version === SNAPSHOT_VERSION) return;
  const which = version > SNAPSHOT_VERSION ? 'newer' : 'older';
  throw new SnapshotError(
    `the snapshot has version ${version}, which is ${which} than this trapline's ${SNAPSHOT_VERSION}`,
    `restore it with the version of trapline that wrote it, or take it again with this one`,
  );
}

function partAt(file: Uint8Array, view: DataView, at: number, name: string): Uint8Array {
  const end = at + PART_HEAD <= file.length ? at + PART_HEAD + view.getUint32(at, true) : Infinity;
  if (end > file.length)
    throw new SnapshotError(`the snapshot is cut off in its ${name}, after ${file.length} bytes`, AGAIN);
  const part = file.subarray(at + PART_HEAD, end);
  if (crc32(part) !== view.getUint32(at + 4, true))
    throw new SnapshotError(`the snapshot is damaged: the CRC of its ${name} is another`, AGAIN);
  return part;
}

function readNumbers(numbers: Uint8Array, pages: Uint8Array): Uint32Array {
  const view = new DataView(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  const count = numbers.length / 4;
  if (count * PAGE_SIZE !== pages.length)
    throw new SnapshotError(`the snapshot has ${pages.length} bytes of pages for ${count} page numbers`, AGAIN);
  return Uint32Array.from({ length: count }, (_, index) => view.getUint32(4 * index, true));
}
