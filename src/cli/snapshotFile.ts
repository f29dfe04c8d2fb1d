// Snapshots in files: written whole or not at all, and read with what is wrong in words.

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { snapshotFromBytes, snapshotToBytes } from '../vmm/snapshot/file.ts';
import type { Snapshot } from '../vmm/snapshot/snapshot.ts';
import { SnapshotError } from '../vmm/snapshot/snapshotError.ts';

/**
 * Writes a file beside the one that is to be replaced, and puts it in its place when it is on the disk: whoever is killed
 * meanwhile leaves the old one as it was. Throws SnapshotError.
 */
export function writeSnapshot(file: string, snapshot: Snapshot): void {
  const written = `${file}.${process.pid}.part`;
  try {
    writeDurably(written, snapshotToBytes(snapshot));
    renameSync(written, file);
    syncFolder(dirname(file));
  } catch (error) {
    if (existsSync(written)) rmSync(written);
    throw new SnapshotError(
      `cannot write ${file}: ${(error as Error).message}`,
      'name a file in a folder that can be written',
    );
  }
}

function writeDurably(file: string, bytes: Uint8Array): void {
  const descriptor = openSync(file, 'w');
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** The new name itself is on the disk after this. */
function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Reads a file. Throws SnapshotError, which names it. */
export function readSnapshot(file: string): Snapshot {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    throw new SnapshotError(
      `cannot read ${file}: ${(error as Error).message}`,
      'give a file that --snapshot-to has written',
    );
  }
  try {
    return snapshotFromBytes(bytes);
  } catch (error) {
    if (error instanceof SnapshotError) throw new SnapshotError(`${file}: ${error.message}`, error.hint);
    throw error;
  }
}
