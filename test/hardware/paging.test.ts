// Page tables with flaws, as the processor underneath walks them. User mode is not asked: a KVM without nested paging does
// not see that the host changed page tables between cases, and only the supervisor's accesses are sure to be walked anew.
import { describe, expect, it } from 'vitest';
import { featuresFromCpuid } from '../../src/cpu/features.ts';
import { handledVector } from '../cpu/systemImage.ts';
import { kvmAvailable, runKvm, type SystemCase, type SystemResult } from './kvm.ts';
import { ACCESSES, ENTRIES, FLAWS, modeOf, MODES, pagingCase, pagingImage, type Flaw } from './pagingCases.ts';
import { systemGuest } from './systemGuest.ts';

const available = kvmAvailable();
const where = available === true ? '' : ` (skipped: ${available})`;
const TABLE_WORDS = new Set<number>(ENTRIES.map(({ at }) => at));
/** A descriptor's A bit may be written as a byte or as eight bytes at once. */
const IN_DESCRIPTOR = 7n;

/** Walks of so many levels: good ones, and each flaw at each of the levels from `first` on. */
function flawed(levels: number, first: number): Flaw[][] {
  const good = new Array<Flaw>(levels).fill('none');
  const single = good.flatMap((_, level) => (level < first ? [] : FLAWS.map((flaw) => good.with(level, flaw))));
  return [good, ...single.filter((set) => set.some((flaw) => flaw !== 'none'))];
}

/**
 * What counts: how it ended, where, RAX, CR2, and what memory became. A bits after a fault do not: the manual lets a
 * processor set them as it walks, trapline and KVM set them when a translation is used, and a read-modify-write is read
 * first there and probed for writing first here.
 */
function summary(test: SystemCase, { end, rip, cr2, gpr, changed }: SystemResult): string {
  const faulted = cr2 !== 0n;
  const words = changed.filter(([at]) => !(faulted && TABLE_WORDS.has(at)));
  const text = words.map(([at, value]) => `${at.toString(16)}: ${value.toString(16)}`).join(', ');
  const vector = handledVector(rip);
  return `${test.name}: ${end}, vector ${vector}, RIP ${rip.toString(16)}, CR2 ${(cr2 & ~IN_DESCRIPTOR).toString(16)}, RAX ${gpr[0]!.toString(16)}, memory ${text}`;
}

describe.skipIf(available !== true)(`the page tables of the processor underneath${where}`, () => {
  it.each([
    ['a 4-KiB page', 4, 0],
    ['a 2-MiB page', 3, 2],
    ['a 1-GiB page', 2, 1],
  ] as const)(
    'on the way to %s, in every mode, with every access and flaw',
    { timeout: 30_000 },
    (_, levels, first) => {
      const modes = Array.from({ length: MODES }, (_, bits) => modeOf(bits));
      const cases = flawed(levels, first).flatMap((flaws) =>
        modes.flatMap((mode) => ACCESSES.map((access) => pagingCase(access, mode, flaws))),
      );
      const image = pagingImage();
      const { results, cpuid } = runKvm(image, cases);
      const guest = systemGuest(image, featuresFromCpuid(cpuid));
      const disagreements = cases.flatMap((test, i) => {
        const [theirs, ours] = [summary(test, results[i]!), summary(test, guest(test))];
        return theirs === ours ? [] : [`${theirs}\n  here ${ours}`];
      });
      expect(disagreements.slice(0, 10)).toEqual([]);
    },
  );
});
