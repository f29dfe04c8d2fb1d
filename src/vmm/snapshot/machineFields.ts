// What a machine is, field by field: the order in which its parts are written down, and the one in which they can be filled
// again. Memory pages, options and threads come before (snapshot.ts).

import { transferCpu } from '../../cpu/savedState.ts';
import type { HostFields } from '../../host/savedFields.ts';
import type { Machine } from '../machine.ts';
import { SnapshotError } from './snapshotError.ts';

/** A device: one without these two cannot be saved. */
interface AnyDevice {
  readonly name: string;
  save?(): unknown;
  restore?(state: never): void;
}

/** Every device of a machine, once: userspace's, then the kernel's, each in the order in which they were connected. */
export const devicesOf = ({ ports, mmio, vm }: Machine): AnyDevice[] => [
  ...new Set<AnyDevice>([...ports.devices, ...mmio.devices, ...vm.ports.devices, ...vm.mmio.devices]),
];

export function transferMachine(fields: HostFields, machine: Machine): void {
  const { host, vm, processor } = machine;
  machine.paused = fields.value('paused', machine.paused);
  host.transferClock(fields.part('positions'));
  // Before all others: a device that starts a timer or drives a line while it is restored leaves no trace in what follows.
  const devices = fields.part('devices');
  const names = new Map<string, number>();
  for (const device of devicesOf(machine)) transferDevice(devices, nameOf(device, names), device);
  vm.memslots.transfer(fields.part('memory'));
  for (const cpu of processor.cpus) transferCpu(fields.part(`processor ${cpu.id}`), cpu);
  host.transfer(fields.part('host'));
  vm.transfer(fields.part('vm'));
  machine.xen?.transfer(fields.part('xen'));
  vm.xen?.sendPorts.mustBeWhole(fields);
  // Behind the owners of what waits there.
  for (const [index, queue] of host.workqueues.entries()) queue.transfer(fields.part(`workqueue ${index}`));
  machine.console.transfer(fields.part('console'));
  machine.mainLoop.transfer(fields.part('mainLoop'));
  machine.input.transfer(fields.part('input'));
}

/** The name of a device, with a number if it is not the first one of that name. */
function nameOf({ name }: AnyDevice, known: Map<string, number>): string {
  const count = (known.get(name) ?? 0) + 1;
  known.set(name, count);
  return count === 1 ? name : `${name} ${count}`;
}

function transferDevice(fields: HostFields, name: string, device: AnyDevice): void {
  if (device.save === undefined || device.restore === undefined)
    throw new SnapshotError(
      `the device '${device.name}' cannot be saved`,
      'give it save(), which returns plain data, and restore(), which takes it back',
    );
  const state = fields.data(name, device.save());
  if (fields.restoring) device.restore(state as never);
}
