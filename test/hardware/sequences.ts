// Short programs of random instructions with forward branches: what single instructions cannot show, such as flags that a later one reads
// and faults in the middle of a block.
import type { Row } from '../../src/x86/row.ts';
import type { Bits } from './bits.ts';
import { encodeFree } from './cases.ts';
import { NATIVE, type NativeCase } from './nativeCase.ts';
import type { Random } from './random.ts';
import { plainScene } from './scene.ts';
import { seededState, seededState32 } from './seededState.ts';

export interface Sequence extends NativeCase {
  readonly seed: number;
  /** Flags that are undefined at the end, and where a fault ends it early, as letters of rows. */
  readonly undefinedFlags: { readonly atEnd: string; readonly anywhere: string };
}

const LONGEST = 110;
const JCC_SHORT = 0x70;
const CONDITION_FLAGS = ['o', 'c', 'z', 'zc', 's', 'p', 'so', 'szo'];

/** A program of rows that `isFree` admits, in code of so many bits. No instruction reads a flag that an earlier one has left undefined. */
export function makeSequence(rows: readonly Row[], random: Random, bits: Bits = 64): Sequence {
  const seed = random.u32();
  const offset = random.oneIn(4) ? 0x1000 - random.below(LONGEST) : random.below(NATIVE.CODE_SIZE - LONGEST - 16);
  const bytes: number[] = [];
  const undefinedFlags = new Set<string>();
  const anywhere = new Set<string>();
  /** Branches whose target is still to come, and how many instructions they skip. */
  let open: { at: number; skips: number }[] = [];
  const reads = (flags: string | undefined) => [...(flags ?? '')].some((flag) => undefinedFlags.has(flag));
  const close = () => {
    for (const branch of open) branch.skips--;
    for (const { at } of open.filter((branch) => branch.skips < 0)) bytes[at] = bytes.length - at - 1;
    open = open.filter((branch) => branch.skips >= 0);
  };

  while (bytes.length < LONGEST - 16) {
    close();
    const condition = random.below(16);
    if (random.oneIn(5) && !reads(CONDITION_FLAGS[condition >> 1])) {
      bytes.push(JCC_SHORT + condition, 0);
      open.push({ at: bytes.length - 1, skips: 1 + random.below(3) });
      continue;
    }
    const row = random.pick(rows);
    if (reads(row.read) || (/div/.test(row.mnemonic) && !random.oneIn(16))) continue; // most divisions fault
    bytes.push(...encodeFree(row, random, offset + bytes.length, bits));
    // A shift by zero writes no flags, and a skipped instruction none at all.
    if (!row.undefined && open.length === 0) for (const flag of row.written ?? '') undefinedFlags.delete(flag);
    for (const flag of row.undefined ?? '') {
      undefinedFlags.add(flag);
      anywhere.add(flag);
    }
  }
  for (const { at } of open) bytes[at] = bytes.length - at - 1;
  return {
    bytes: Uint8Array.from(bytes),
    offset,
    step: false,
    seed,
    ...(bits === 64 ? seededState(seed) : { ...seededState32(seed), selectors: plainScene(bits) }),
    undefinedFlags: { atEnd: [...undefinedFlags].join(''), anywhere: [...anywhere].join('') },
  };
}
