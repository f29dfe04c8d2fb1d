// Boots guests in tests: from assembler source, or from a file of any format that `trapline run` takes. Its own directives
// say what machine a guest wants; options replace them.

import { assembleGuest, loadGuest, readFile } from '../cli/load.ts';
import type { Image } from '../vmm/image.ts';
import type { BootOptions } from '../vmm/bootOptions.ts';
import { Machine, type RunOptions } from '../vmm/machine.ts';
import { parseDirectives, type Directives } from './directives.ts';

export type GuestOptions = Omit<BootOptions, 'image'>;

/** What a run may cost before it counts as endless, in cycles: a few seconds. */
const PATIENCE = 1_000_000_000;
/** How a source without a file is called in messages; `.include` is relative to the working directory. */
const NO_FILE = 'guest.s';

/** A guest ready to boot. */
export interface Guest {
  readonly image: Image;
  readonly directives: Directives;
}

const isSource = (text: string): boolean => text.includes('\n');
const isAssembler = (file: string): boolean => /\.(s|S|asm)$/.test(file);

/** Assembles or loads a guest. Text of more than one line is assembler source, anything else a file name. */
export async function loadTestGuest(sourceOrFile: string): Promise<Guest> {
  if (isSource(sourceOrFile)) {
    return { image: await assembleGuest(sourceOrFile, NO_FILE), directives: parseDirectives(sourceOrFile, NO_FILE) };
  }
  const text = isAssembler(sourceOrFile) ? new TextDecoder().decode(readFile(sourceOrFile)) : '';
  return { image: await loadGuest(sourceOrFile), directives: parseDirectives(text, sourceOrFile) };
}

/** The machine that a guest's directives ask for. */
export function machineWishes({ vcpus, memory, features, xen, xenRoute, devices }: Directives): GuestOptions {
  return {
    ...(vcpus !== undefined && { vcpus }),
    ...(memory !== undefined && { memory }),
    ...(features !== undefined && { features }),
    ...(xen !== undefined && { xen }),
    ...(xenRoute !== undefined && { xenRoute }),
    ...(devices !== undefined && { devices }),
  };
}

/** A machine that stands at the guest's entry. Throws AssemblerError, ImageError, DirectiveError or BootError. */
export async function bootGuest(sourceOrFile: string, options: GuestOptions = {}): Promise<Machine> {
  const { image, directives } = await loadTestGuest(sourceOrFile);
  return Machine.boot({ image, ...machineWishes(directives), ...options });
}

/** Boots a guest and runs it to its end; an endless one stops at `maxCycles`, by default a few seconds' worth. */
export async function runGuest(sourceOrFile: string, options: GuestOptions & RunOptions = {}): Promise<Machine> {
  const { until, maxCycles, ...boot } = options;
  const { image, directives } = await loadTestGuest(sourceOrFile);
  const machine = Machine.boot({ image, ...machineWishes(directives), ...boot });
  machine.run({ maxCycles: maxCycles ?? directives.maxCycles ?? PATIENCE, ...(until && { until }) });
  return machine;
}
