// What several boot protocols tell a kernel in the same words.

import type { Boot } from './start.ts';

export const LOADER_NAME = 'trapline';

/** The display: VGA's text mode 3. `type` is that of Multiboot 1 and 2: neither palette nor RGB, but text. */
export const TEXT_DISPLAY = { gpa: 0xb8000, pitch: 160, width: 80, height: 25, bits: 16, type: 2 } as const;

/** The command line as boot loaders hand it on, the kernel's own name first. */
export const commandLineWithName = ({ image, commandLine }: Boot): string =>
  `${image.name ?? 'kernel'} ${commandLine}`.trim();
