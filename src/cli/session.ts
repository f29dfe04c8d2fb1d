// Runs a machine for a command: its console to the terminal as it comes, an interrupt within 10 ms. The only place that
// knows wall time.

import type { Machine } from '../vmm/machine.ts';
import type { RunResult } from '../vmm/result.ts';

/** How often the terminal gets a turn, in milliseconds. */
const TURN = 8;

/** Runs to the end or to `maxCycles`; `null` when the user interrupted. */
export async function runInteractively(machine: Machine, maxCycles: number): Promise<RunResult | null> {
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
  };
  process.once('SIGINT', interrupt);
  try {
    for (;;) {
      const until = Date.now() + TURN;
      while (Date.now() < until) {
        const result = machine.step(maxCycles);
        if (result !== null) return result;
      }
      await new Promise(setImmediate);
      if (interrupted) return null;
    }
  } finally {
    process.removeListener('SIGINT', interrupt);
  }
}

/** Writes what the guest prints to standard output. */
export function showConsole(machine: Machine): void {
  machine.console.listen((byte) => process.stdout.write(Uint8Array.of(byte)));
}
