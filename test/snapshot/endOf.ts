import type { Machine } from '../../src/vmm/machine.ts';

/** Everything that a run leaves behind. */
export const endOf = (machine: Machine) => ({
  digest: machine.digest(),
  result: machine.result,
  console: machine.console.text,
  counters: machine.counters,
  diagnostics: machine.diagnostics,
  positions: machine.host.cpus.map(({ now }) => now),
});
