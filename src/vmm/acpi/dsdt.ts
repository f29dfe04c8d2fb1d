// The differentiated system description table: all that a kernel needs to turn the machine off. Its devices are found where
// every PC has them, which the FADT says.

import { SLEEP } from '../devices/powerManagement.ts';
import { fields, table, text } from './table.ts';

const REVISION = 2;
/** Opcodes of AML (ACPI 6.5, 20.3). */
const AML = { NAME: 0x08, BYTE: 0x0a, PACKAGE: 0x12 } as const;
const ELEMENTS = 4;

/** Name (_S5, Package () { SLP_TYPa, SLP_TYPb, 0, 0 }) */
function softOff(): Uint8Array {
  const elements = fields(
    [AML.BYTE, 1],
    [SLEEP.S5, 1],
    [AML.BYTE, 1],
    [SLEEP.S5, 1],
    [AML.BYTE, 1],
    [0, 1],
    [AML.BYTE, 1],
    [0, 1],
  );
  const length = elements.length + 2;
  return fields([AML.NAME, 1], text('_S5_'), [AML.PACKAGE, 1], [length, 1], [ELEMENTS, 1], elements);
}

export const dsdt = (): Uint8Array => table('DSDT', REVISION, softOff());
