// How an image is started: each boot protocol's half that acts on a machine. What a file says is read by loaders/; here its
// promises are kept: where things lie in memory and what the processors hold when the guest's first instruction runs.

import type { Vm } from '../../hypervisor/vm.ts';
import { acpiTables, RSDP } from '../acpi/acpi.ts';
import type { Image } from '../image.ts';
import { ONE_MIB, type Ram } from '../ram.ts';
import { startBootSector } from './bootSector.ts';
import { startDirect } from './direct.ts';
import { place } from './guestMemory.ts';
import { startLinux } from './linux.ts';
import { startMultiboot } from './multiboot.ts';
import { startMultiboot2 } from './multiboot2.ts';
import { startPvh } from './pvh.ts';

/** A file that the boot loader hands to the kernel: an initrd, a module. */
export interface BootModule {
  /** What the user called it; Multiboot hands it on as the module's string. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** All that a protocol needs to know. */
export interface Boot {
  readonly vm: Vm;
  readonly image: Image;
  readonly ram: Ram;
  /** The kernel's command line. */
  readonly commandLine: string;
  readonly modules: readonly BootModule[];
  /** Where ACPI's root pointer is in guest memory; null: the machine has less than 1 MiB. */
  readonly rsdp: number | null;
}

/**
 * Boots an image by its own protocol, behind firmware that has left its tables. All but direct boot enter the first vCPU alone,
 * and the others wait for INIT and SIPI. Throws BootError; the loader has then written nothing.
 */
export function start(machine: Omit<Boot, 'rsdp'>): void {
  const { vm, ram, image } = machine;
  const hasBiosArea = ram.lowEnd >= ONE_MIB;
  if (hasBiosArea) place(vm, RSDP, acpiTables(vm.vcpus.map(({ id }) => id)));
  startBy(image.protocol, { ...machine, rsdp: hasBiosArea ? RSDP : null });
}

function startBy(protocol: Image['protocol'], boot: Boot): void {
  switch (protocol.kind) {
    case 'direct':
      return startDirect(boot);
    case 'multiboot':
      return startMultiboot(boot, protocol);
    case 'multiboot2':
      return startMultiboot2(boot, protocol);
    case 'pvh':
      return startPvh(boot);
    case 'linux':
      return startLinux(boot, protocol);
    case 'boot-sector':
      return startBootSector(boot, protocol);
  }
}
