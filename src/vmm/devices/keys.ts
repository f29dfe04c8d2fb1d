// The keys of a US keyboard by the characters on them, and their scan codes of set 2 and set 1.

/** A key: what it sends in set 2 when it goes down, and what a controller makes of that in set 1. */
interface Key {
  readonly set2: number;
  readonly set1: number;
}

/** What is held down with a key, and the key. */
export interface Stroke {
  readonly modifier: Key | null;
  readonly key: Key;
}

/** A row of keys: their characters without and with Shift, the first one's code in set 1, and the codes in set 2. */
type Row = readonly [plain: string, shifted: string, set1: number, set2: readonly number[]];

/* prettier-ignore */
const ROWS: readonly Row[] = [
  ['1234567890-=', '!@#$%^&*()_+', 0x02, [0x16, 0x1e, 0x26, 0x25, 0x2e, 0x36, 0x3d, 0x3e, 0x46, 0x45, 0x4e, 0x55]],
  ['qwertyuiop[]', 'QWERTYUIOP{}', 0x10, [0x15, 0x1d, 0x24, 0x2d, 0x2c, 0x35, 0x3c, 0x43, 0x44, 0x4d, 0x54, 0x5b]],
  ["asdfghjkl;'`", 'ASDFGHJKL:"~', 0x1e, [0x1c, 0x1b, 0x23, 0x2b, 0x34, 0x33, 0x3b, 0x42, 0x4b, 0x4c, 0x52, 0x0e]],
  ['\\zxcvbnm,./', '|ZXCVBNM<>?', 0x2b, [0x5d, 0x1a, 0x22, 0x21, 0x2a, 0x32, 0x31, 0x3a, 0x41, 0x49, 0x4a]],
  [' ', ' ', 0x39, [0x29]],
];
const SHIFT: Key = { set2: 0x12, set1: 0x2a };
const CONTROL: Key = { set2: 0x14, set1: 0x1d };
const ESCAPE: Key = { set2: 0x76, set1: 0x01 };
const BACKSPACE: Key = { set2: 0x66, set1: 0x0e };
const TAB: Key = { set2: 0x0d, set1: 0x0f };
const ENTER: Key = { set2: 0x5a, set1: 0x1c };
/** What keyboards send of themselves, and controllers translate as if keys had these codes: the second byte of their identity (F7), */
const IDENTITY: Key = { set2: 0x83, set1: 0x41 };
/** ... and the number of their scan code set (F9, and no key). */
const SETS: readonly Key[] = [
  { set2: 0x01, set1: 0x43 },
  { set2: 0x02, set1: 0x41 },
];

const strokes = new Map<number, Stroke>();
const toSet1 = new Map<number, number>();
for (const key of [SHIFT, CONTROL, ESCAPE, BACKSPACE, TAB, ENTER, IDENTITY, ...SETS]) toSet1.set(key.set2, key.set1);
for (const [plain, shifted, set1, codes] of ROWS) {
  for (const [i, set2] of codes.entries()) {
    const key = { set2, set1: set1 + i };
    toSet1.set(set2, key.set1);
    strokes.set(shifted.charCodeAt(i), { modifier: SHIFT, key });
    strokes.set(plain.charCodeAt(i), { modifier: null, key });
    // Ctrl and a letter: the control characters.
    if (/[a-z]/.test(plain[i]!)) strokes.set(plain.charCodeAt(i) & 0x1f, { modifier: CONTROL, key });
  }
}
for (const [character, key] of [[0x08, BACKSPACE], [0x09, TAB], [0x0a, ENTER], [0x0d, ENTER], [0x1b, ESCAPE], [0x7f, BACKSPACE]] as const)
  strokes.set(character, { modifier: null, key }); // prettier-ignore

/** How a character is typed; null: no key makes it. */
export const strokeOf = (character: number): Stroke | null => strokes.get(character) ?? null;

/** A code of set 2 in set 1, as controllers translate; what is no key's code stays. */
export const translate = (set2: number): number => toSet1.get(set2) ?? set2;
