// Where boot protocols write: the guest's memory, with the error that a user can act on.

import type { Vm } from '../../hypervisor/vm.ts';
import { BootError } from './bootError.ts';

/** Writes bytes at a guest physical address. Throws BootError where there is no writable memory for them. */
export function place(vm: Vm, gpa: number, bytes: Uint8Array): void {
  if (vm.memory.write(gpa, bytes)) return;
  throw new BootError(
    `there is no writable memory for ${bytes.length} bytes at 0x${gpa.toString(16)}: give the machine more memory or load the image elsewhere`,
  );
}
