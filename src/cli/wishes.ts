// What a source file says about the machine it wants, in directives at its head (docs/guests.md): `# vcpus: 2`.

import { readFileSync } from 'node:fs';
import type { Wishes } from './machineOptions.ts';
import { parseDirectives } from '../testing/directives.ts';

/** The wishes of an assembler source; none for anything else. Throws DirectiveError. */
export function wishesOf(file: string): Wishes {
  return /\.(s|S|asm)$/.test(file) ? parseDirectives(readFileSync(file, 'utf8'), file) : {};
}
