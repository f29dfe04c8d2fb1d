// Modules in guest memory: files that a boot loader hands to a kernel beside its image.

import { PAGE_SIZE } from '../../x86/names/paging.ts';
import { ONE_MIB } from '../ram.ts';
import type { Placement } from './placement.ts';
import type { BootModule } from './start.ts';

/** A module's place. */
export interface PlacedModule {
  readonly gpa: number;
  readonly size: number;
  readonly name: string;
}

/** Protocols hand on addresses of 32 bits. */
const FOUR_GIB = 2 ** 32;

/** Puts modules behind the kernel, each at the begin of a page, so that a kernel which grows over what follows it meets none. Throws BootError. */
export function placeModules(modules: readonly BootModule[], placement: Placement): PlacedModule[] {
  return modules.map(({ name, bytes }) => {
    const room = { from: Math.max(placement.end, ONE_MIB), below: FOUR_GIB, align: PAGE_SIZE };
    return { gpa: placement.put(bytes, `the module ${name}`, room), size: bytes.length, name };
  });
}
