// The guest's text screen on the user's terminal: once in a frame, or drawn anew whenever it has changed.

import type { Machine } from '../vmm/machine.ts';
import type { Screen } from '../vmm/screen.ts';

const COLUMNS = 80;

/** The screen in a frame, without the empty lines at its end. */
export function framedScreen({ lines }: Screen): string[] {
  const used = lines.findLastIndex((line) => line !== '') + 1;
  const edge = '─'.repeat(COLUMNS);
  return [`┌${edge}┐`, ...lines.slice(0, used).map((line) => `│${line.padEnd(COLUMNS)}│`), `└${edge}┘`];
}

const CLEAR = '\x1b[H\x1b[2J';
const HOME = '\x1b[H';
const CLEAR_REST_OF_LINE = '\x1b[K';
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';

/** Draws the screen on a terminal as it changes. */
export class LiveScreen {
  readonly #stream: NodeJS.WritableStream;
  #shown = '';

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  draw({ screen }: Machine): void {
    if (screen === null) return;
    const { lines, cursor } = screen;
    const text = lines.map((line) => `${line}${CLEAR_REST_OF_LINE}`).join('\n');
    const place = cursor === null ? HIDE_CURSOR : `\x1b[${cursor.row + 1};${cursor.column + 1}H${SHOW_CURSOR}`;
    const drawing = `${text}${place}`;
    if (drawing === this.#shown) return;
    this.#stream.write(`${this.#shown === '' ? CLEAR : HOME}${drawing}`);
    this.#shown = drawing;
  }

  /** Leaves the terminal below what was drawn, with its cursor. */
  end(): void {
    if (this.#shown !== '') this.#stream.write(`\x1b[25;1H${SHOW_CURSOR}\n`);
  }
}
