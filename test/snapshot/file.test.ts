// Snapshots as bytes: what is damaged, cut off, newer or of another image is refused with its reason, whatever bit it is.

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { bootGuest } from '../../src/testing/bootGuest.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { snapshotFromBytes, snapshotToBytes } from '../../src/vmm/snapshot/file.ts';
import { SNAPSHOT_VERSION } from '../../src/vmm/snapshot/snapshot.ts';
import { SnapshotError } from '../../src/vmm/snapshot/snapshotError.ts';

let file: Uint8Array;
const VERSION_AT = 16;

beforeAll(async () => {
  const machine = await bootGuest('guests/tick.s', { memory: 2 * 2 ** 20 });
  machine.run({ maxCycles: 100_000 });
  file = snapshotToBytes(machine.snapshot());
});

/** A copy with some bytes changed. */
function changed(change: (bytes: Uint8Array, view: DataView) => void): Uint8Array {
  const bytes = file.slice();
  change(bytes, new DataView(bytes.buffer));
  return bytes;
}

function refusal(bytes: Uint8Array): string {
  try {
    Machine.restore(snapshotFromBytes(bytes));
  } catch (error) {
    if (error instanceof SnapshotError && error.hint !== '') return error.message;
    throw error;
  }
  return 'nothing was refused';
}

describe('a snapshot file', () => {
  it('is written the same again by the machine that it became', () => {
    const machine = Machine.restore(snapshotFromBytes(file));
    expect(snapshotToBytes(machine.snapshot())).toEqual(file);
  });

  it('holds options without a prototype, as parsers make them', async () => {
    const params = Object.assign(Object.create(null), { haltPollNs: 0 }) as { haltPollNs: number };
    const machine = await bootGuest('guests/tick.s', { memory: 2 * 2 ** 20, params });
    expect(Machine.restore(snapshotFromBytes(snapshotToBytes(machine.snapshot()))).options.params).toEqual(params);
  });

  it('holds nothing but what is named, and no page of zeroes', () => {
    expect(file.length).toBeLessThan(100_000);
    const { state } = snapshotFromBytes(file);
    expect(Object.keys(state)).toContain('processor 0');
  });

  it('is refused when it is none', () => {
    expect(refusal(new Uint8Array(0))).toBe('this is no snapshot of a machine');
    expect(refusal(new TextEncoder().encode('#!/bin/sh\necho a long enough text\n'))).toBe(
      'this is no snapshot of a machine',
    );
  });

  it('is refused when a newer version wrote it, and says which', () => {
    const newer = SNAPSHOT_VERSION + 1;
    const bytes = changed((_, view) => view.setUint32(VERSION_AT, newer, true));
    expect(refusal(bytes)).toBe(
      `the snapshot has version ${newer}, which is newer than this trapline's ${SNAPSHOT_VERSION}`,
    );
  });

  it('is refused when it is cut off anywhere', () => {
    fc.assert(
      fc.property(fc.nat(file.length - 1), (length) => {
        expect(refusal(file.slice(0, length))).toMatch(/cut off|no snapshot/);
      }),
    );
  });

  it('is refused when any bit of it is another', () => {
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.nat(7), (at, bit) => {
        const bytes = changed((copy) => (copy[at] = copy[at]! ^ (1 << bit)));
        expect(refusal(bytes)).toMatch(/damaged|version|cut off|no snapshot|parts|behind its end/);
      }),
    );
  });

  it('is refused when bytes follow', () => {
    expect(refusal(new Uint8Array([...file, 0]))).toContain('behind its end');
  });

  it('is refused with an image that is not the one that was booted', async () => {
    const { image } = await bootGuest('guests/hello.s');
    const again = (): Machine => Machine.restore(snapshotFromBytes(file), { image });
    expect(again).toThrow('booted from another image');
  });

  it.each(['period', 'mpState', 'sequence'])('is refused when its state lacks the field %s', (name) => {
    const { head, state, pages } = snapshotFromBytes(file);
    const without = JSON.parse(
      JSON.stringify(state, (key, value: unknown) => (key === name ? undefined : value)),
    ) as typeof state;
    expect(() => Machine.restore({ head, state: without, pages })).toThrow(`${name}'`);
  });

  it('is refused when its state has a field that nobody knows', () => {
    const { head, state, pages } = snapshotFromBytes(file);
    expect(() => Machine.restore({ head, state: { ...state, frob: 1 }, pages })).toThrow("a field 'frob'");
  });
});
