// From the bytes of a case to its row and form.
import { Decoded, decode, MODE } from '../../src/x86/decoder.ts';
import type { Form } from '../../src/x86/forms.ts';
import type { Row } from '../../src/x86/row.ts';
import { ROWS } from '../../src/x86/rows.ts';
import { FORMS } from '../../src/x86/tables.ts';

const LOCK = 0xf0;
const OPERAND_SIZE = 0x66;
const LEGACY = new Set([LOCK, OPERAND_SIZE, 0x67, 0xf2, 0xf3, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65]);

export interface Found {
  readonly row: Row;
  readonly form: Form;
  readonly decoded: Decoded;
  /** A LOCK that the instruction must not have: it is #UD, row and form are those without it. */
  readonly illegalLock: boolean;
}

function decodeWhole(bytes: Uint8Array): Decoded | null {
  const decoded = new Decoded();
  return decode(bytes, 0, bytes.length, MODE.CODE64, decoded) === bytes.length ? decoded : null;
}

/** What the bytes are, all of them; null if that is nothing. */
export function formOf(bytes: Uint8Array): Found | null {
  let decoded = decodeWhole(bytes);
  const illegalLock = decoded === null && bytes[0] === LOCK;
  if (illegalLock) decoded = decodeWhole(bytes.subarray(1));
  return decoded && { row: ROWS[decoded.row]!, form: FORMS[decoded.form]!, decoded, illegalLock };
}

const legacyPrefixes = (bytes: Uint8Array): Uint8Array =>
  bytes.subarray(
    0,
    bytes.findIndex((byte) => !LEGACY.has(byte)),
  );

/** Whether 66 is among the prefixes. */
export const hasOperandSize = (bytes: Uint8Array): boolean => legacyPrefixes(bytes).includes(OPERAND_SIZE);

/** Whether there is a REX prefix with B set. */
export function hasRexB(bytes: Uint8Array): boolean {
  const next = bytes[legacyPrefixes(bytes).length]!;
  return (next & 0xf1) === 0x41;
}
