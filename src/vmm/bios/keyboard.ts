// INT 16h and the keyboard's interrupt: keys wait in a ring of words in the BIOS data area, scan code above character.

import { BDA } from './rom.ts';
import type { Bios } from './bios.ts';
import type { BiosCall } from './call.ts';
import { characterOf } from './scanCodes.ts';

const FUNCTION = { READ: 0x00, PEEK: 0x01, SHIFT_FLAGS: 0x02 } as const;
/** Functions of keyboards with more keys: the same here. */
const EXTENDED = 0x10;
/** Addresses in the ring are offsets in this segment. */
const DATA_SEGMENT = 0x400;
const CONTROLLER_DATA = 0x60;
const RELEASED = 0x80;
const SHIFT = { RIGHT: 1 << 0, LEFT: 1 << 1, CTRL: 1 << 2, ALT: 1 << 3, CAPS_LOCK: 1 << 6 } as const;
/** Scan codes of the keys that are held down. */
const HELD: Readonly<Record<number, number>> = {
  0x36: SHIFT.RIGHT,
  0x2a: SHIFT.LEFT,
  0x1d: SHIFT.CTRL,
  0x38: SHIFT.ALT,
};
const CAPS_LOCK_KEY = 0x3a;

/** Serves INT 16h; false: there is no such function. */
export function keyboard(call: BiosCall): boolean {
  const key = nextKey(call);
  call.wait = false;
  switch (call.ah & ~EXTENDED) {
    case FUNCTION.READ:
      if (key === null) call.wait = true;
      else {
        call.ax = key;
        call.setU16(BDA.KEY_HEAD, following(call, call.u16(BDA.KEY_HEAD)));
      }
      return true;
    case FUNCTION.PEEK:
      call.zero = key === null;
      if (key !== null) call.ax = key;
      return true;
    case FUNCTION.SHIFT_FLAGS:
      call.al = call.u8(BDA.SHIFT_FLAGS);
      return true;
    default:
      return false;
  }
}

/** IRQ 1: a byte of scan code set 1. */
export function keyboardInterrupt(call: BiosCall, bios: Bios): boolean {
  const code = bios.in(call.vcpu, CONTROLLER_DATA);
  bios.endInterrupt(call);
  const key = code & ~RELEASED;
  const pressed = (code & RELEASED) === 0;
  const held = HELD[key];
  const flags = call.u8(BDA.SHIFT_FLAGS);
  if (held !== undefined) call.setU8(BDA.SHIFT_FLAGS, pressed ? flags | held : flags & ~held);
  else if (pressed && key === CAPS_LOCK_KEY) call.setU8(BDA.SHIFT_FLAGS, flags ^ SHIFT.CAPS_LOCK);
  else if (pressed) putKey(call, key, flags);
  return true;
}

function putKey(call: BiosCall, key: number, flags: number): void {
  const shifted = (flags & (SHIFT.LEFT | SHIFT.RIGHT)) !== 0;
  const capital = (flags & SHIFT.CAPS_LOCK) !== 0;
  const character = characterOf(key, { shifted, capital, control: (flags & SHIFT.CTRL) !== 0 });
  const tail = call.u16(BDA.KEY_TAIL);
  const next = following(call, tail);
  if (character === null || next === call.u16(BDA.KEY_HEAD)) return;
  call.setU16(DATA_SEGMENT + tail, (key << 8) | character);
  call.setU16(BDA.KEY_TAIL, next);
}

function nextKey(call: BiosCall): number | null {
  const head = call.u16(BDA.KEY_HEAD);
  return head === call.u16(BDA.KEY_TAIL) ? null : call.u16(DATA_SEGMENT + head);
}

const following = (call: BiosCall, at: number): number =>
  at + 2 >= call.u16(BDA.KEY_END) ? call.u16(BDA.KEY_START) : at + 2;
