// What Multiboot 1 and 2 tell a kernel in the same words.

import { ONE_MIB, EBDA, type Ram } from '../ram.ts';

export const LOADER_NAME = 'trapline';

/** The display: VGA's text mode 3. `type` is the specifications': neither palette nor RGB, but text. */
export const TEXT_DISPLAY = { gpa: 0xb8000, pitch: 160, width: 80, height: 25, bits: 16, type: 2 } as const;

const KIB = 1024;

/** KiB of memory below 1 MiB, and from there to the first hole. */
export const lowAndHighMemory = ({ lowEnd }: Ram): { lower: number; upper: number } => ({
  lower: Math.min(lowEnd, EBDA) / KIB,
  upper: Math.max(0, lowEnd - ONE_MIB) / KIB,
});
