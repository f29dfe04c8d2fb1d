// The ports by which a Xen guest has emulated disks and network cards unplugged, once its own drivers take over (Xen
// docs/misc/hvm-emulated-unplug). There is nothing to unplug here: the protocol is what guests look for.
//
// Theory: the guest reads the magic number and a version of the protocol. In version 1 it says which driver it is, product and
// build, and reads the magic number again: another one is the answer to a driver that must not go on. Then it writes a mask of what
// to unplug. Linux takes no other version.

import type { PortRegister } from '../../hypervisor/bus/ports.ts';
import type { BoardDevice } from '../devices/device.ts';

/** Word: read the magic number, write the mask. Doubleword: write the driver's build. */
const MAGIC_PORT = 0x10;
/** Byte: read the version. Word: write the driver's product. */
const VERSION_PORT = 0x12;
const MAGIC = 0x49d2;
const VERSION = 1;

/** No driver is turned away, and every mask is accepted. */
export const platformUnplug = (): BoardDevice => {
  const magic: PortRegister = { name: 'platform unplug', sizes: [2, 4], read: () => MAGIC, write: () => undefined };
  const version: PortRegister = { name: 'platform unplug', sizes: [1, 2], read: () => VERSION, write: () => undefined };
  return {
    name: 'platform unplug',
    save: () => ({}),
    restore: () => undefined,
    registers: new Map([
      [MAGIC_PORT, magic],
      [VERSION_PORT, version],
    ]),
  };
};
