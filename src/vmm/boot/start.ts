// How an image is started: each boot protocol's half that acts on a machine. What a file says is read by loaders/; here its
// promises are kept: where things lie in memory and what the processors hold when the guest's first instruction runs.

import type { Vm } from '../../hypervisor/vm.ts';
import type { Image, Protocol } from '../image.ts';
import { acpiTables, RSDP } from '../acpi/acpi.ts';
import { ONE_MIB, type Ram } from '../ram.ts';
import { startDirect } from './direct.ts';
import { place } from './guestMemory.ts';
import { startMultiboot } from './multiboot.ts';

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

type Start = (boot: Boot) => void;

const STARTS: Readonly<Record<Protocol['kind'], Start>> = {
  direct: startDirect,
  multiboot: startMultiboot,
};

/**
 * Boots an image by its own protocol, behind firmware that has left its tables. All but direct boot enter the first vCPU alone,
 * and the others wait for INIT and SIPI. Throws BootError.
 */
export function start(boot: Omit<Boot, 'rsdp'>): void {
  const { vm, ram, image } = boot;
  const hasBiosArea = ram.lowEnd >= ONE_MIB;
  if (hasBiosArea) place(vm, RSDP, acpiTables(vm.vcpus.map(({ id }) => id)));
  const { kind } = image.protocol;
  STARTS[kind]({ ...boot, rsdp: hasBiosArea ? RSDP : null });
  if (kind === 'direct') return;
  for (const vcpu of vm.vcpus.slice(1)) vcpu.mpState = 'uninitialized';
}
