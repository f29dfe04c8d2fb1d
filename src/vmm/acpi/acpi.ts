// ACPI's tables, as firmware leaves them below 1 MiB: kernels find them by the root pointer, in the range that they search or
// where a boot protocol says.
//
// Theory: the root pointer names two lists of tables, by addresses of 32 and of 64 bits. All of it lies in the BIOS area,
// which the memory map calls reserved, so that no kernel takes the place for something else.

import { BIOS_AREA } from '../ram.ts';
import { dsdt } from './dsdt.ts';
import { facs, fadt } from './fadt.ts';
import { madt } from './madt.ts';
import { checksum, fields, table, text } from './table.ts';

/** The root pointer is the first thing in the BIOS area. Firmware's own code, if any, begins behind ACPI_END. */
export const RSDP = BIOS_AREA;
export const ACPI_END = BIOS_AREA + 0x4000;
const RSDP_SIZE = 36;
const RSDP_SIZE_1 = 20;
const RSDP_REVISION = 2;
const ALIGNMENT = 64;

/** Every table in one piece, to be put at RSDP. */
export function acpiTables(apicIds: readonly number[]): Uint8Array {
  const bytes: number[] = new Array<number>(RSDP_SIZE).fill(0);
  const place = (content: Uint8Array): number => {
    while (bytes.length % ALIGNMENT !== 0) bytes.push(0);
    bytes.push(...content);
    return RSDP + bytes.length - content.length;
  };
  const fixed = place(fadt(place(facs()), place(dsdt())));
  const tables = [fixed, place(madt(apicIds))];
  const rsdt = place(table('RSDT', 1, fields(...tables.map((at) => [at, 4] as const))));
  const xsdt = place(table('XSDT', 1, fields(...tables.map((at) => [at, 8] as const))));
  const all = Uint8Array.from(bytes);
  all.set(rootPointer(rsdt, xsdt));
  return all;
}

function rootPointer(rsdt: number, xsdt: number): Uint8Array {
  const first = fields(text('RSD PTR '), [0, 1], text('TRAPLN'), [RSDP_REVISION, 1], [rsdt, 4]);
  first[8] = checksum(first.subarray(0, RSDP_SIZE_1));
  const all = fields(first, [RSDP_SIZE, 4], [xsdt, 8], [0, 4]);
  all[32] = checksum(all);
  return all;
}
