// From the bytes of a case to its row and form.
import { Decoded, decode } from '../../src/x86/decoder.ts';
import type { Form } from '../../src/x86/forms.ts';
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { FORMS } from '../../src/x86/tables.ts';
import { DECODED_AS, type Bits } from './bits.ts';

export const LOCK = 0xf0;
const OPERAND_SIZE = 0x66;
const IGNORED = new Set([0x26, 0x2e, 0x36, 0x3e]);
const LEGACY = new Set([LOCK, OPERAND_SIZE, 0x67, 0xf2, 0xf3, 0x64, 0x65, ...IGNORED]);

export interface Found {
  readonly row: Row;
  readonly form: Form;
  readonly decoded: Decoded;
}

/** The beginning of the bytes that consists of prefixes. */
const legacyPrefixes = (bytes: Uint8Array): Uint8Array =>
  bytes.subarray(
    0,
    bytes.findIndex((byte) => !LEGACY.has(byte)),
  );

function decodeWhole(bytes: Uint8Array, bits: Bits): Decoded | null {
  const decoded = new Decoded();
  return decode(bytes, 0, bytes.length, DECODED_AS[bits], decoded) === bytes.length ? decoded : null;
}

/** Without what makes a prefix harmful or useless: LOCK where it is not allowed, overrides that make it longer than 15 bytes. */
function decodeMended(bytes: Uint8Array, bits: Bits): Decoded | null {
  const prefixes = legacyPrefixes(bytes);
  const rest = bytes.subarray(prefixes.length);
  const short = prefixes.filter((byte) => !IGNORED.has(byte));
  return (
    decodeWhole(Uint8Array.of(...short, ...rest), bits) ??
    decodeWhole(Uint8Array.of(...short.filter((byte) => byte !== LOCK), ...rest), bits)
  );
}

/** What the bytes are in code of so many bits, all of them, or would be if their prefixes did not make them #UD or #GP; null if that is nothing. */
export function formOf(bytes: Uint8Array, bits: Bits = 64): Found | null {
  const decoded = decodeWhole(bytes, bits) ?? decodeMended(bytes, bits);
  return decoded && { row: ROWS[decoded.row]!, form: FORMS[decoded.form]!, decoded };
}

/** Whether 66 is among the prefixes. */
export const hasOperandSize = (bytes: Uint8Array): boolean => legacyPrefixes(bytes).includes(OPERAND_SIZE);

/** Whether there is a REX prefix with B set. */
export function hasRexB(bytes: Uint8Array): boolean {
  const next = bytes[legacyPrefixes(bytes).length]!;
  return (next & 0xf1) === 0x41;
}
