// Characters of the keys of a US keyboard, by their codes of scan code set 1.

/** Code of each row's first key, then its keys plain and shifted. */
const ROWS: readonly (readonly [first: number, plain: string, shifted: string])[] = [
  [0x01, '\x1b1234567890-=\b\t', '\x1b!@#$%^&*()_+\b\t'],
  [0x10, 'qwertyuiop[]\r', 'QWERTYUIOP{}\r'],
  [0x1e, "asdfghjkl;'`", 'ASDFGHJKL:"~'],
  [0x2b, '\\zxcvbnm,./', '|ZXCVBNM<>?'],
  [0x37, '*', '*'],
  [0x39, ' ', ' '],
];
const CONTROL_MASK = 0x1f;
/** Keys without a character: functions, cursor and the like, which programs know by their codes. */
const FIRST_FUNCTION_KEY = 0x3b;
const LAST_KEY = 0x58;
const isLetter = (character: string): boolean => /^[a-z]$/i.test(character);

export interface Modifiers {
  readonly shifted: boolean;
  readonly capital: boolean;
  readonly control: boolean;
}

/** The character code of a key, 0 for a key that has none; null: no key has this code. */
export function characterOf(key: number, { shifted, capital, control }: Modifiers): number | null {
  if (key >= FIRST_FUNCTION_KEY && key <= LAST_KEY) return 0;
  const row = ROWS.find(([first, plain]) => key >= first && key < first + plain.length);
  if (row === undefined) return null;
  const [first, plain, upper] = row;
  const character = plain[key - first]!;
  const isUpper = isLetter(character) ? shifted !== capital : shifted;
  const code = (isUpper ? upper[key - first]! : character).charCodeAt(0);
  return control && isLetter(character) ? code & CONTROL_MASK : code;
}
