// Nothing of a machine is forgotten: a machine and the one that is restored from its snapshot are the same field by field,
// whatever is reachable, but for what is listed here with its reason. Whoever adds a field that changes, and does not save
// it, finds it here.

import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { GuestOptions } from '../../src/testing/bootGuest.ts';
import { bootCase, casesOfFile, imageOfFile } from '../../src/testing/guestCases.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { snapshotFromBytes, snapshotToBytes } from '../../src/vmm/snapshot/file.ts';
import { ARCHITECTURAL_SIZE, OFFSET, TLB_ENTRIES, TLB_ENTRY_SIZE, type CpuState } from '../../src/cpu/state.ts';
import { reachable, type Leaf } from './reachable.ts';

const guestFile = (name: string): string => fileURLToPath(new URL(`../../guests/${name}.s`, import.meta.url));

/** What may differ, by path, and why nobody can tell. */
const MAY_DIFFER: readonly (readonly [path: RegExp, why: string])[] = [
  [
    /^processor\.(blocks|views|#generated|#runs|#running|map)\b|\.#codeCache\b|\.#blocks\b/,
    'decoded and generated code, and linear memory itself',
  ],
  [/^processor\.arena\.#pages$/, 'which pages a view may write: the dirty bits in it are compared below'],
  [/\bhost\.(stopAt|stepUnits|stepExits|#returnSoon)$/, 'of one step, and set by the next'],
  [/\bhost\.#settled$/, 'a number for what was found since, which ends with the step'],
  [/^processor\.secondStage\.generation$/, 'of what was derived from it, which a restored machine has nothing of'],
  [/^vm\.memory\.#word/, 'a buffer of one call'],
  [/^vm\.apicMap\.#/, 'rebuilt from the LAPICs'],
  [/^processor\.cpus\.\d+\.(used|watched|trip|recurred|recurredAt|record|stopped|granted)\b/, 'of one entry'],
  [
    /\bguestMode\.(#watched|#fetch|calls\.(#fetch|#operands|#recurrence|#known|#boundary|raised|inBlock))\b/,
    'of one entry, and caches',
  ],
  [
    /\bmmu\.translation\.(gpaLow|gpaHigh|#walker|#?views|#tlb)\b/,
    'of one access, and caches: TLB entries are compared below',
  ],
  [/\bplace\.(disposition|pause)$|\brecurrence\./, 'of one exit'],
  [/\bfragments\.(valueLow|valueHigh|gpaLow|gpaHigh)$|\bmmu\.(low|high)$/, 'of one access'],
];

function differences(a: Map<string, Leaf>, b: Map<string, Leaf>): string[] {
  const paths = new Set([...a.keys(), ...b.keys()]);
  return [...paths]
    .filter((path) => !Object.is(a.get(path), b.get(path)))
    .map((path) => `${path}: ${brief(a.get(path))} / ${brief(b.get(path))}`);
}
const brief = (leaf: Leaf): string =>
  typeof leaf === 'string' && leaf.length > 60 ? `${leaf.slice(0, 60)}...` : String(leaf);

/** The state blocks, the dirty pages and the digest, which linear memory holds. */
const memoryOf = (machine: Machine) => ({
  digest: machine.digest(),
  dirty: machine.processor.arena.dirtyPages(),
  blocks: machine.processor.cpus.map(({ state }) => withoutDeadEntries(state)),
});

/** A state block; what INVLPG has left of TLB entries is nobody's. */
function withoutDeadEntries({ views, base }: CpuState): Uint8Array {
  const block = views.u8.slice(base, base + ARCHITECTURAL_SIZE);
  for (let slot = 0; slot < TLB_ENTRIES; slot++) {
    const at = OFFSET.tlb + slot * TLB_ENTRY_SIZE;
    if (block.subarray(at, at + 4).every((byte) => byte === 0)) block.fill(0, at, at + TLB_ENTRY_SIZE);
  }
  return block;
}

const skips = (path: string): boolean => MAY_DIFFER.some(([pattern]) => pattern.test(path));

const SCENES: readonly (readonly [guest: string, cycles: number, options: GuestOptions])[] = [
  ['tick', 100_000, {}],
  ['ipi', 60_000, { params: { haltPollNs: 0 } }],
  ['xentick', 1_000_000, {}],
  ['xenpingpong', 300_000, {}],
  ['xenpirq', 500_000, {}],
  ['xenline', 400_000, {}],
  ['xenvcpus', 400_000, {}],
  ['lazy', 1_000_000, { hostCpus: 1, slice: 50_000 }],
  [
    'priority',
    100_000,
    { params: { apicv: true, hltInGuest: true, piInjectTimer: true }, housekeeping: 1, hostCpus: 2 },
  ],
];

describe('a restored machine', () => {
  it.each(SCENES)('is the saved one field by field: %s at %i', async (guest, cycles, options) => {
    const file = guestFile(guest);
    const image = await imageOfFile(file);
    const machine = bootCase(image, casesOfFile(file)[0]!, { memory: 4 * 2 ** 20, ...options });
    machine.run({ maxCycles: cycles });
    const saved = snapshotFromBytes(snapshotToBytes(machine.snapshot()));
    const restored = Machine.restore(saved, { image });
    const [of, again] = [reachable(machine, skips), reachable(restored, skips)];
    expect(of.size).toBeGreaterThan(2000);
    expect(differences(of, again)).toEqual([]);
    expect(memoryOf(restored)).toEqual(memoryOf(machine));
  });
});
