// Runs a machine for a command: its console to the terminal as it comes, what is typed to the guest, an interrupt within
// 10 ms. The only place that knows wall time.

import type { InputDevice } from '../vmm/input.ts';
import type { Machine } from '../vmm/machine.ts';
import type { RunResult } from '../vmm/result.ts';
import { vcpuLines } from './outcome.ts';
import type { TypedInput } from './typedInput.ts';

/** How often the terminal gets a turn, in milliseconds. */
const TURN = 8;

/** Exit status of a run that the user interrupted, as shells have it: 128 + SIGINT. */
const INTERRUPTED = 130;

export interface Session {
  /** Where the guest's console goes; left out: nowhere. */
  readonly stream?: NodeJS.WritableStream;
  /** Who types, and at which device. */
  readonly typed?: { readonly input: TypedInput; readonly device: InputDevice };
  /** Called at each turn of the terminal, some hundred times a second. */
  readonly onTurn?: () => void;
  /** Called when the cycles are over: how many it may be instead; null: that was all. */
  readonly goOn?: () => number | null;
}

/** Runs to the end or to `maxCycles`; `null` when the user interrupted. */
export async function runInteractively(
  machine: Machine,
  maxCycles: number,
  { stream, typed, onTurn, goOn }: Session,
): Promise<RunResult | null> {
  let interrupted = false;
  let most = maxCycles;
  const interrupt = (): void => {
    interrupted = true;
    typed?.input.interrupt();
  };
  let printed: number[] = [];
  const stopListening = machine.console.listen((byte) => printed.push(byte));
  const flush = (): void => {
    if (printed.length > 0) stream?.write(Uint8Array.from(printed));
    printed = [];
    onTurn?.();
  };
  process.once('SIGINT', interrupt);
  try {
    for (;;) {
      const until = Date.now() + TURN;
      let result: RunResult | null = null;
      while (result === null && Date.now() < until) result = machine.step(most);
      if (result?.kind === 'budget') {
        const more = goOn?.() ?? null;
        if (more === null) return result;
        most = more;
        result = null;
      }
      const waits = result?.kind === 'awaiting-input' && typed !== undefined && !typed.input.ended;
      if (result !== null && !waits) return result;
      flush();
      if (typed !== undefined && machine.input.wanted(typed.device)) typed.input.open();
      if (waits) await typed.input.wait();
      else await new Promise(setImmediate);
      await drained(process.stdout);
      if (interrupted || typed?.input.interrupted) return null;
      if (typed !== undefined && machine.input.hasRoom(typed.device)) {
        machine.input.type(typed.device, typed.input.take());
      }
    }
  } finally {
    flush();
    stopListening();
    process.removeListener('SIGINT', interrupt);
    typed?.input.close();
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
