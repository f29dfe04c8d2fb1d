// INT 10h: the display in its text mode of 80 columns and 25 lines. What programs print as on a terminal goes to the guest's console
// too, so that a run shows it as it comes.

import { BDA } from './rom.ts';
import type { Bios } from './bios.ts';
import type { BiosCall } from './call.ts';

const TEXT_MEMORY = 0xb8000;
const COLUMNS = 80;
const ROWS = 25;
const CELL = 2;
const LINE = COLUMNS * CELL;
const GREY_ON_BLACK = 0x07;
const SPACE = 0x20;
const TEXT_MODE = 3;
/** Modes whose characters are read from text memory; in those of 40 columns there is more room than they use. */
const TEXT_MODES = new Set([0, 1, 2, 3, 7]);
/** Bit 7 of a mode: what is on the screen stays. */
const KEEP = 0x80;
const CRTC = { INDEX: 0x3d4, DATA: 0x3d5, CURSOR_HIGH: 0x0e, CURSOR_LOW: 0x0f } as const;
const CODE = { BELL: 0x07, BACKSPACE: 0x08, LINE_FEED: 0x0a, RETURN: 0x0d } as const;
// prettier-ignore
const FUNCTION = {
  SET_MODE: 0x00, CURSOR_SHAPE: 0x01, SET_CURSOR: 0x02, GET_CURSOR: 0x03, SET_PAGE: 0x05, SCROLL_UP: 0x06, SCROLL_DOWN: 0x07, READ: 0x08,
  WRITE: 0x09, WRITE_CHARACTER: 0x0a, TELETYPE: 0x0e, GET_MODE: 0x0f, PALETTE: 0x10, WRITE_STRING: 0x13, DISPLAY: 0x1a,
} as const;
const VGA_COLOUR = 0x08;

/** Serves INT 10h; false: there is no such function. */
export function video(call: BiosCall, bios: Bios): boolean {
  const screen = new TextScreen(call, bios);
  switch (call.ah) {
    case FUNCTION.SET_MODE:
      return setMode(call, screen);
    case FUNCTION.CURSOR_SHAPE:
      call.setU16(BDA.CURSOR_SHAPE, call.cx);
      return true;
    case FUNCTION.SET_CURSOR:
      screen.moveTo(call.dh, call.dl);
      return true;
    case FUNCTION.GET_CURSOR:
      call.cx = call.u16(BDA.CURSOR_SHAPE);
      call.dx = call.u16(BDA.CURSOR);
      return true;
    case FUNCTION.SET_PAGE:
      return call.al === 0;
    case FUNCTION.SCROLL_UP:
    case FUNCTION.SCROLL_DOWN:
      scroll(call, screen);
      return true;
    case FUNCTION.READ:
      call.ax = call.u16(screen.cursorAddress);
      return true;
    case FUNCTION.WRITE:
    case FUNCTION.WRITE_CHARACTER:
      screen.repeat(call.al, call.ah === FUNCTION.WRITE ? call.bl : null, call.cx);
      return true;
    case FUNCTION.TELETYPE:
      screen.print(call.al, null);
      return true;
    case FUNCTION.GET_MODE:
      call.ax = (COLUMNS << 8) | TEXT_MODE;
      call.bx &= 0xff;
      return true;
    case FUNCTION.PALETTE:
      return true;
    case FUNCTION.WRITE_STRING:
      writeString(call, screen);
      return true;
    case FUNCTION.DISPLAY:
      call.al = FUNCTION.DISPLAY;
      call.bx = VGA_COLOUR;
      return true;
    default:
      return false;
  }
}

function setMode(call: BiosCall, screen: TextScreen): boolean {
  if (!TEXT_MODES.has(call.al & ~KEEP)) return false;
  if ((call.al & KEEP) === 0) screen.clear(0, 0, ROWS - 1, COLUMNS - 1, GREY_ON_BLACK);
  screen.moveTo(0, 0);
  return true;
}

/** CX and DX: the corners of a window, BH: the attribute of what comes in, AL: by how many lines, 0 for all. */
function scroll(call: BiosCall, screen: TextScreen): void {
  const [top, left] = [call.ch, call.cl];
  const [bottom, right] = [Math.min(call.dh, ROWS - 1), Math.min(call.dl, COLUMNS - 1)];
  const height = bottom - top + 1;
  if (height <= 0 || left > right) return;
  const by = call.al === 0 || call.al > height ? height : call.al;
  const kept = height - by;
  if (call.ah === FUNCTION.SCROLL_UP) {
    for (let row = top; row < top + kept; row++) screen.copyLine(row + by, row, left, right);
    screen.clear(top + kept, left, bottom, right, call.bh);
  } else {
    for (let row = bottom; row > bottom - kept; row--) screen.copyLine(row - by, row, left, right);
    screen.clear(top, left, top + by - 1, right, call.bh);
  }
}

/** AL bit 0: the cursor moves along; bit 1: each character has its attribute behind it. */
function writeString(call: BiosCall, screen: TextScreen): void {
  const before = call.u16(BDA.CURSOR);
  screen.moveTo(call.dh, call.dl);
  let at = call.bp;
  for (let i = 0; i < call.cx; i++) {
    const character = call.u8(call.es(at++));
    screen.print(character, (call.al & 2) === 0 ? call.bl : call.u8(call.es(at++)));
  }
  if ((call.al & 1) === 0) screen.moveTo(before >> 8, before & 0xff);
}

/** The screen in guest memory, and its cursor in the BIOS data area. */
class TextScreen {
  readonly #call: BiosCall;
  readonly #bios: Bios;

  constructor(call: BiosCall, bios: Bios) {
    this.#call = call;
    this.#bios = bios;
  }

  get cursorAddress(): number {
    const cursor = this.#call.u16(BDA.CURSOR);
    return addressOf(cursor >> 8, cursor & 0xff);
  }

  /** Where the next character goes; the display shows it too. */
  moveTo(row: number, column: number): void {
    const call = this.#call;
    call.setU16(BDA.CURSOR, (row << 8) | column);
    const position = row * COLUMNS + column;
    for (const [register, value] of [[CRTC.CURSOR_HIGH, position >> 8], [CRTC.CURSOR_LOW, position]] as const) {
      this.#bios.out(call.vcpu, CRTC.INDEX, register);
      this.#bios.out(call.vcpu, CRTC.DATA, value & 0xff);
    } // prettier-ignore
  }

  /** Prints as a terminal does. `attribute`: null leaves the colours that are there. */
  print(character: number, attribute: number | null): void {
    const call = this.#call;
    this.#bios.board.console.write(character);
    const cursor = call.u16(BDA.CURSOR);
    let [row, column] = [cursor >> 8, cursor & 0xff];
    if (character === CODE.BELL) return;
    if (character === CODE.BACKSPACE) column = Math.max(0, column - 1);
    else if (character === CODE.RETURN) column = 0;
    else if (character === CODE.LINE_FEED) row++;
    else {
      this.#put(addressOf(row, column), character, attribute);
      column++;
    }
    if (column >= COLUMNS) [row, column] = [row + 1, 0];
    if (row >= ROWS) {
      for (let to = 0; to < ROWS - 1; to++) this.copyLine(to + 1, to, 0, COLUMNS - 1);
      this.clear(ROWS - 1, 0, ROWS - 1, COLUMNS - 1, GREY_ON_BLACK);
      row = ROWS - 1;
    }
    this.moveTo(row, column);
  }

  /** Writes a character again and again from the cursor on, which stays. */
  repeat(character: number, attribute: number | null, count: number): void {
    const start = this.cursorAddress;
    const room = (TEXT_MEMORY + ROWS * LINE - start) / CELL;
    for (let i = 0; i < Math.min(count, room); i++) this.#put(start + i * CELL, character, attribute);
  }

  clear(top: number, left: number, bottom: number, right: number, attribute: number): void {
    for (let row = top; row <= bottom; row++)
      for (let column = left; column <= right; column++) this.#put(addressOf(row, column), SPACE, attribute);
  }

  copyLine(from: number, to: number, left: number, right: number): void {
    const { memory } = this.#call;
    const bytes = memory.read(addressOf(from, left), (right - left + 1) * CELL);
    if (bytes !== null) memory.write(addressOf(to, left), bytes);
  }

  #put(gpa: number, character: number, attribute: number | null): void {
    const call = this.#call;
    call.setU8(gpa, character);
    // Where nothing was ever written there are no colours to leave.
    if (attribute !== null) call.setU8(gpa + 1, attribute);
    else if (call.u8(gpa + 1) === 0) call.setU8(gpa + 1, GREY_ON_BLACK);
  }
}

const addressOf = (row: number, column: number): number => TEXT_MEMORY + row * LINE + column * CELL;
