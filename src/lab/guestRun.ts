// A guest of an experiment: run to its end, and the samples that it leaves in its memory.

import type { Machine } from '../vmm/machine.ts';

const BYTES = 4;

/** Throws, with what the guest printed, when it does not end by switching the machine off. */
export function runToPowerOff(machine: Machine, guest: string): void {
  const { kind } = machine.run();
  if (kind !== 'power-off')
    throw new Error(`the guest ${guest} ended with ${kind}, having printed:\n${machine.console.text}`);
}

/** `count` 32-bit numbers at a symbol of the guest, whose addresses are physical ones. */
export function samplesOf({ image, vm }: Machine, symbol: string, count: number): Uint32Array {
  const found = image.symbols.find(symbol);
  const bytes = found && vm.memory.read(Number(found.address), BYTES * count);
  if (!bytes) throw new Error(`the guest has no array ${symbol} of ${count} samples in its memory`);
  return new Uint32Array(bytes.buffer);
}
