// What ACPI's tables have in common: little-endian fields, the header, the checksum (ACPI 6.5, 5.2).

const HEADER_SIZE = 36;
const AT = {
  LENGTH: 4,
  REVISION: 8,
  CHECKSUM: 9,
  OEM: 10,
  OEM_TABLE: 16,
  OEM_REVISION: 24,
  CREATOR: 28,
  CREATOR_REVISION: 32,
} as const;
const OEM = 'TRAPLN';
const OEM_TABLE = 'TRAPLINE';
const CREATOR = 'TRAP';

/** A field of a table: its bytes, or a number and how many bytes it has. */
export type Field = readonly [value: number, size: number] | Uint8Array;

export const text = (characters: string): Uint8Array => new TextEncoder().encode(characters);

/** Fields one behind the other. */
export function fields(...all: readonly Field[]): Uint8Array {
  const bytes: number[] = [];
  for (const field of all) {
    if (field instanceof Uint8Array) bytes.push(...field);
    else for (let i = 0; i < field[1]; i++) bytes.push(Math.floor(field[0] / 2 ** (8 * i)) & 0xff);
  }
  return Uint8Array.from(bytes);
}

/** What makes the sum of all bytes zero, where the checksum's own is zero still. */
export const checksum = (bytes: Uint8Array): number => -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;

/** A system description table: header, then its body. */
export function table(signature: string, revision: number, body: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + body.length);
  const view = new DataView(bytes.buffer);
  bytes.set(text(signature));
  view.setUint32(AT.LENGTH, bytes.length, true);
  bytes[AT.REVISION] = revision;
  bytes.set(text(OEM), AT.OEM);
  bytes.set(text(OEM_TABLE), AT.OEM_TABLE);
  view.setUint32(AT.OEM_REVISION, 1, true);
  bytes.set(text(CREATOR), AT.CREATOR);
  view.setUint32(AT.CREATOR_REVISION, 1, true);
  bytes.set(body, HEADER_SIZE);
  bytes[AT.CHECKSUM] = checksum(bytes);
  return bytes;
}
