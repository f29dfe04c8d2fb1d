// Where the vCPU threads of a machine run: on how many physical CPUs, and which of them each thread may use.

import type { PhysicalCpu } from '../host/cpu.ts';
import type { Host } from '../host/host.ts';
import { BootError } from './boot/bootError.ts';

/** Where one vCPU's thread starts, and where it may go. */
export interface Placement {
  readonly cpu: PhysicalCpu;
  readonly affinity: readonly PhysicalCpu[];
}

/**
 * The places of `vcpus` threads. `pin`: for each vCPU the numbers of the CPUs on which it may run. Without it each vCPU has
 * a CPU of its own while the host has free ones; if it has too few of these, all vCPUs share all CPUs. Throws BootError.
 */
export function placeVcpus(host: Host, vcpus: number, pin?: readonly (readonly number[])[]): Placement[] {
  if (pin !== undefined) return pinned(host, vcpus, pin);
  const users = host.threads.filter(({ kernel, state }) => !kernel && state !== 'finished');
  const load = (cpu: PhysicalCpu): number => users.filter((thread) => thread.cpu === cpu).length;
  const free = host.cpus.filter((cpu) => load(cpu) === 0);
  if (free.length >= vcpus) return free.slice(0, vcpus).map((cpu) => ({ cpu, affinity: [cpu] }));
  const emptiest = [...host.cpus].sort((a, b) => load(a) - load(b) || a.id - b.id);
  return Array.from({ length: vcpus }, (_, id) => ({ cpu: emptiest[id % emptiest.length]!, affinity: host.cpus }));
}

function pinned({ cpus }: Host, vcpus: number, pin: readonly (readonly number[])[]): Placement[] {
  if (pin.length !== vcpus) {
    throw new BootError(`${count(pin.length, 'vCPU')} pinned, and the machine has ${vcpus}: pin all or none`);
  }
  return pin.map((ids, vcpu) => {
    if (ids.length === 0) throw new BootError(`vCPU ${vcpu} is pinned to no CPU: name at least one`);
    const affinity = ids.map((id) => {
      const cpu = cpus[id];
      if (cpu !== undefined) return cpu;
      throw new BootError(`vCPU ${vcpu} is pinned to CPU ${id}, but the host has ${existing(cpus.length)}`);
    });
    return { cpu: affinity[0]!, affinity };
  });
}

const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;
const existing = (cpus: number): string => (cpus === 1 ? 'only CPU 0' : `CPUs 0 to ${cpus - 1}`);
