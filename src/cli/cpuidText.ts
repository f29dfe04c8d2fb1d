// What CPUID answers, leaf by leaf, in the form of the cpuid program's raw dump (`cpuid -r`), which other tools read.

import type { CpuidResult } from '../cpu/features.ts';
import type { Machine } from '../vmm/machine.ts';
import { CPUID_LEAF } from '../x86/names/cpuid.ts';

/** Leaves that are enumerated by subleaf until one says nothing. */
const BY_SUBLEAF: ReadonlySet<number> = new Set([CPUID_LEAF.EXTENDED_FEATURES, CPUID_LEAF.TOPOLOGY, CPUID_LEAF.XSAVE]);

const hex = (value: number, digits = 8): string => `0x${(value >>> 0).toString(16).padStart(digits, '0')}`;

/** Every leaf of every vCPU as it stands, then the features by name. */
export function cpuidDump({ vm }: Machine): string {
  const lines = vm.vcpus.flatMap(({ id, cpuidAsker }) => [
    `CPU ${id}:`,
    ...vm.cpuid.leaves.flatMap((leaf) =>
      subleaves(leaf, (subleaf) => vm.cpuid.answer(leaf, subleaf, cpuidAsker)).map(
        ({ eax, ebx, ecx, edx }, subleaf) =>
          `   ${hex(leaf)} ${hex(subleaf, 2)}: eax=${hex(eax)} ebx=${hex(ebx)} ecx=${hex(ecx)} edx=${hex(edx)}`,
      ),
    ),
  ]);
  return [...lines, `features: ${[...vm.cpuid.model.features].sort().join(' ')}`, ''].join('\n');
}

/** The answers of a leaf: subleaf 0, and the others up to the last that says something. */
function subleaves(leaf: number, answer: (subleaf: number) => CpuidResult): CpuidResult[] {
  const answers = [answer(0)];
  if (!BY_SUBLEAF.has(leaf)) return answers;
  for (let subleaf = 1; ; subleaf++) {
    const next = answer(subleaf);
    if (next.eax === 0 && next.ebx === 0) return answers;
    answers.push(next);
  }
}
