// The port by which a Xen guest has emulated disks and network cards unplugged, once its own drivers take over (Xen
// docs/misc/hvm-emulated-unplug). There is nothing to unplug here: the protocol is what guests look for.

import type { PortRegister } from '../../hypervisor/bus/ports.ts';
import type { BoardDevice } from '../devices/device.ts';

const MAGIC_PORT = 0x10;
/** A byte of protocol version; below it the port of blocklisting, which version 0 has not. */
const VERSION_PORT = 0x12;
const MAGIC = 0x49d2;

/** Version 0: reads of the magic number, and a mask of what to unplug. */
export const platformUnplug = (): BoardDevice => {
  const magic: PortRegister = { name: 'platform unplug', sizes: [2], read: () => MAGIC, write: () => undefined };
  const version: PortRegister = { name: 'platform unplug', sizes: [1], read: () => 0 };
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
