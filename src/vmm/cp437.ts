// Code page 437, the character set of a PC's display, in Unicode. The control characters have pictures there.

const CONTROLS = ' ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼';
const UPPER =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐' +
  '└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0';
const DELETE = 0x7f;
const HOUSE = '⌂';

/** The character that a display shows for a byte. */
export function cp437(byte: number): string {
  if (byte < 0x20) return CONTROLS[byte]!;
  if (byte === DELETE) return HOUSE;
  return byte < 0x80 ? String.fromCharCode(byte) : UPPER[byte - 0x80]!;
}
