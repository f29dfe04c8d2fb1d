// A guest that goes on from a snapshot ends as it would have without: in the same state, with the same words, after the same
// counts. Snapshots are taken at chance points, written to bytes and read back, and restored one after the other.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/host/random.ts';
import type { GuestOptions } from '../../src/testing/bootGuest.ts';
import { bootCase, casesOfFile, imageOfFile, type GuestCase } from '../../src/testing/guestCases.ts';
import type { Image } from '../../src/vmm/image.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { snapshotFromBytes, snapshotToBytes } from '../../src/vmm/snapshot/file.ts';
import { endOf } from './endOf.ts';

const FOLDER = fileURLToPath(new URL('../../guests', import.meta.url));
const FILES = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.s'))
  .sort();
const SMALL = 4 * 2 ** 20;
const POINTS = 4;
/** How much longer a guest may take where its vCPUs share a CPU. */
const TURNS = 10;

const copyOf = (machine: Machine): Machine => Machine.restore(snapshotFromBytes(snapshotToBytes(machine.snapshot())));

/** Runs a case, replacing the machine at chance points by one that is restored from its snapshot. */
function runBySnapshots(
  image: Image,
  guest: GuestCase,
  options: GuestOptions,
  cycles: number,
  maxCycles: number,
): Machine {
  const random = new Random(cycles);
  const points = Array.from({ length: POINTS }, () => random.below(cycles)).sort((a, b) => a - b);
  let machine = bootCase(image, guest, options);
  for (const point of points) {
    let result = machine.step(point);
    while (result === null) result = machine.step(point);
    if (result.kind !== 'budget') return machine;
    machine = copyOf(machine);
  }
  machine.run({ maxCycles });
  return machine;
}

/** Ways to run a guest: each stands at points of its own when it is saved. */
const WAYS: Record<string, GuestOptions> = {
  'as it is': {},
  'with software timers and a small quantum': { params: { preemptionTimer: false }, quantum: 500 },
  'without halt polling': { params: { haltPollNs: 0 } },
  'on a virtualised APIC that halts by itself': { params: { apicv: true, hltInGuest: true, piInjectTimer: true } },
  'on one physical CPU': { hostCpus: 1, slice: 50_000 },
  'at chance distances': { seed: 7, params: { module: 'kvm_amd' } },
};

const NAMES = Object.keys(WAYS);

describe.each(FILES.map((file, index) => ({ file, other: NAMES[1 + (index % (NAMES.length - 1))]! })))(
  '$file',
  ({ file, other }) => {
    const image = imageOfFile(join(FOLDER, file));
    for (const guest of casesOfFile(join(FOLDER, file))) {
      it.each([NAMES[0]!, other])(`${guest.name} %s ends as without snapshots`, async (way) => {
        const limit = TURNS * (guest.directives.maxCycles ?? 10 ** 9);
        const options: GuestOptions = { memory: guest.directives.memory ?? SMALL, ...WAYS[way] };
        const whole = bootCase(await image, guest, options);
        whole.run({ maxCycles: limit });
        const cycles = Math.min(...whole.host.cpus.map(({ now }) => now).filter((now) => now > 0));
        expect(endOf(runBySnapshots(await image, guest, options, cycles, limit))).toEqual(endOf(whole));
      });
    }
  },
);
