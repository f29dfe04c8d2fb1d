// What a source file says about the machine it wants, in directives at its head (docs/guests.md): `# vcpus: 2`.

import { readFileSync } from 'node:fs';
import { isPvFeature } from '../hypervisor/cpuid.ts';
import type { Wishes } from './machineOptions.ts';
import { parseDirectives } from '../testing/directives.ts';

/** The wishes of an assembler source; none for anything else. */
export function wishesOf(file: string): Wishes {
  if (!/\.(s|S|asm)$/.test(file)) return {};
  const { vcpus, memory, features, maxCycles } = parseDirectives(readFileSync(file, 'utf8'));
  return {
    ...(vcpus !== undefined && { vcpus }),
    ...(memory !== undefined && { memory }),
    ...(features !== undefined && { features: features.filter(isPvFeature) }),
    ...(maxCycles !== undefined && { maxCycles }),
  };
}
