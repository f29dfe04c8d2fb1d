// The text screen as text: 80 columns and 25 rows, read from text memory.
//
// Theory: text memory is RAM from 0xB8000 on, two bytes a character (code, colours), and wraps after 32 KiB. A guest that
// never wrote there leaves zeroes, as no firmware has cleared the screen to spaces: that is a screen that was not used.

import { cp437 } from './cp437.ts';

export const TEXT_MEMORY = 0xb8000;
export const TEXT_MEMORY_SIZE = 0x8000;
const COLUMNS = 80;
const ROWS = 25;

export interface Screen {
  /** 25 lines, without the spaces at their ends. */
  readonly lines: readonly string[];
  /** Null: off, or not on the screen. */
  readonly cursor: { readonly row: number; readonly column: number } | null;
}

/**
 * What `memory`, the bytes of text memory, shows from character `start` on. Null: nothing was ever written to it.
 * `cursor`: its place in characters; null: off.
 */
export function screenOf(memory: Uint8Array, start: number, cursor: number | null): Screen | null {
  if (memory.every((byte) => byte === 0)) return null;
  const lines = Array.from({ length: ROWS }, (_, row) => {
    let line = '';
    for (let column = 0; column < COLUMNS; column++) {
      const at = 2 * (start + row * COLUMNS + column);
      line += cp437(memory[at % memory.length]!);
    }
    return line.trimEnd();
  });
  const place = cursor === null ? -1 : cursor - start;
  const shown = place >= 0 && place < COLUMNS * ROWS;
  return { lines, cursor: shown ? { row: Math.floor(place / COLUMNS), column: place % COLUMNS } : null };
}
