// Runs a machine for a command: its console to the terminal as it comes, an interrupt within 10 ms. The only place that
// knows wall time.

import type { Machine } from '../vmm/machine.ts';
import type { RunResult } from '../vmm/result.ts';
import { vcpuLines } from './outcome.ts';

/** How often the terminal gets a turn, in milliseconds. */
const TURN = 8;

/** Exit status of a run that the user interrupted, as shells have it: 128 + SIGINT. */
const INTERRUPTED = 130;

/** Runs to the end or to `maxCycles`; `null` when the user interrupted. The guest's console goes to `stream`. */
export async function runInteractively(
  machine: Machine,
  maxCycles: number,
  stream: NodeJS.WritableStream,
): Promise<RunResult | null> {
  let interrupted = false;
  const interrupt = (): void => {
    interrupted = true;
  };
  let printed: number[] = [];
  const stopListening = machine.console.listen((byte) => printed.push(byte));
  const flush = (): void => {
    if (printed.length > 0) stream.write(Uint8Array.from(printed));
    printed = [];
  };
  process.once('SIGINT', interrupt);
  try {
    for (;;) {
      const until = Date.now() + TURN;
      while (Date.now() < until) {
        const result = machine.step(maxCycles);
        if (result !== null) return result;
      }
      flush();
      await new Promise(setImmediate);
      await drained(process.stdout);
      if (interrupted) return null;
    }
  } finally {
    flush();
    stopListening();
    process.removeListener('SIGINT', interrupt);
  }
}

/** Says where the vCPUs stood when the user interrupted; returns the exit status. */
export function reportInterrupt(machine: Machine): number {
  process.stderr.write(['', 'trapline: interrupted', ...vcpuLines(machine), ''].join('\n'));
  return INTERRUPTED;
}

/** Waits for a reader that is slower than the guest, such as a pager, so that what it has not read does not pile up. */
async function drained(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.writableNeedDrain) await new Promise<void>((resolve) => stream.once('drain', resolve));
}
