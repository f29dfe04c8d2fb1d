// Small guests for tests of the machine: assembly in, machine out.

import { existsSync, readFileSync } from 'node:fs';
import { assemble } from '../../src/assembler/assemble.ts';
import { DEFAULT_ORIGIN, type Image } from '../../src/vmm/image.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import { Machine } from '../../src/vmm/machine.ts';

/** Assembles a guest; `.include` finds the files of asm/. */
export const imageOf = (source: string, origin = DEFAULT_ORIGIN): Promise<Image> =>
  assemble(source, {
    file: 'guest.s',
    origin,
    read: (path) => (existsSync(path) ? readFileSync(path, 'utf8') : null),
  });

/** A guest file of the corpus. */
export const corpus = (name: string): Promise<Image> => imageOf(readFileSync(`guests/${name}.s`, 'utf8'));

export const MEMORY = 4 * 2 ** 20;

/** A machine with little memory that stands at the guest's entry. */
export async function bootGuest(source: string, options: Partial<BootOptions> = {}): Promise<Machine> {
  return Machine.boot({ image: await imageOf(source), memory: MEMORY, ...options });
}

export const POWER_OFF = 'movl $0x604, %edx; movl $0x2000, %eax; outw %ax, %dx';
