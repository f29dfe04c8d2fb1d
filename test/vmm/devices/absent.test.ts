import { expect, it } from 'vitest';
import { nameOfAddress, nameOfPort } from '../../../src/vmm/devices/absent.ts';

it.each([
  [0x3f2, 'floppy controller'],
  [0x3f6, 'first IDE channel'],
  [0x1f7, 'first IDE channel'],
  [0x2f8, 'serial port COM2'],
  [0x72, 'extended CMOS'],
  [0x3d6, 'VGA'],
  [0x3b4, 'monochrome display'],
  [0x160, null],
])('port %i is where other PCs have: %s', (port, name) => {
  expect(nameOfPort(port)).toBe(name);
});

it.each([
  [0xfed000f0, 'HPET'],
  [0xfed40000, 'TPM'],
  [0xfffffff0, 'firmware'],
  [0x4000_0000, null],
])('address %i is where other PCs have: %s', (address, name) => {
  expect(nameOfAddress(address)).toBe(name);
});
