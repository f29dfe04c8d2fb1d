// trapline itself as one of the machines, hypervisor and devices included.

import { DEFAULT_ORIGIN, DIRECT, type Image } from '../../src/vmm/image.ts';
import { SymbolTable } from '../../src/vmm/symbols.ts';
import type { BootOptions } from '../../src/vmm/bootOptions.ts';
import { Machine } from '../../src/vmm/machine.ts';
import { MachineDriver, LOCKSTEP_MEMORY } from '../lockstep/machineDriver.ts';
import { Collector, type Output, type Peer, type Start } from './peer.ts';

/** Where an image starts on trapline's machine: what the other machines are given. */
export async function startOf(image: Image, boot: Partial<BootOptions> = {}): Promise<Start> {
  const machine = Machine.boot({ image, memory: LOCKSTEP_MEMORY, ...boot });
  const driver = new MachineDriver('start', machine, false);
  return { memory: driver.memory().slice(), registers: (await driver.registers())[0]! };
}

/** Runs an image until it writes END. Throws if it ends otherwise. */
export function runOnTrapline(image: Image, boot: Partial<BootOptions> = {}, maxCycles = Infinity): Output {
  const machine = Machine.boot({ image, memory: LOCKSTEP_MEMORY, ...boot });
  const collector = new Collector();
  let ended = false;
  machine.console.listen((byte) => (ended ||= collector.take(byte)));
  const result = machine.run({ until: () => ended, maxCycles });
  if (!ended)
    throw new Error(`on trapline the guest ended with ${result.kind}, having written '${collector.text.slice(-200)}'`);
  return collector.output;
}

/** The image that a start was made from, as far as memory tells. */
function imageOf({ memory, registers }: Start): Image {
  const end = memory.findLastIndex((byte) => byte !== 0) + 1;
  const bytes = memory.subarray(DEFAULT_ORIGIN, Math.max(end, DEFAULT_ORIGIN));
  return {
    format: 'raw',
    protocol: DIRECT,
    entry: registers.rip!,
    segments: [{ gpa: DEFAULT_ORIGIN, bytes, memorySize: bytes.length }],
    symbols: SymbolTable.empty,
  };
}

/** What trapline gets through in a millisecond, on a slow day. */
const CYCLES_PER_MS = 100_000;

/** trapline like any other machine: from a start alone. */
export const trapline: Peer = {
  name: 'trapline',
  available: () => true,
  version: () => null,
  run: (start, patience) => Promise.resolve(runOnTrapline(imageOf(start), {}, patience * CYCLES_PER_MS)),
};
