// trapline beside QEMU and bochs: the loops, and what systems do all the time.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageFolder } from '../src/cli/load.ts';
import { geomean, type Measured } from './clock.ts';
import { RESULTS, sourceOf, type LoopName } from './loops.ts';
import { onMachines, type MachineName } from './peers.ts';

export type Times = Partial<Record<MachineName, Measured>>;

/** How many calls stand between two times: QEMU's are short. */
const EACH = { trapline: 1, QEMU: 8, bochs: 1 } as const;

/** Milliseconds of each loop. */
export async function compareLoops(names: readonly LoopName[], rounds: number): Promise<Record<string, Times>> {
  const found: Record<string, Times> = {};
  for (const name of names)
    found[name] = await onMachines({ name, source: sourceOf(name), result: RESULTS[name] }, rounds, EACH);
  return found;
}

/** What bench/system/ measures, and how often each payload does it. */
const OPERATIONS = {
  cr3: { what: 'MOV to CR3 and 32 pages', times: 10_000 },
  invlpg: { what: 'INVLPG and its page', times: 200_000 },
  int: { what: 'INT and IRET', times: 100_000 },
  ud: { what: '#UD and IRET', times: 100_000 },
} as const;

/** Nanoseconds of each operation, by what it is. */
export async function compareOperations(rounds: number): Promise<Record<string, Times>> {
  const found: Record<string, Times> = {};
  for (const [name, { what, times }] of Object.entries(OPERATIONS)) {
    const source = readFileSync(join(packageFolder(), 'bench', 'system', `${name}.s`), 'utf8');
    const measured = await onMachines({ name, source, result: BigInt(times) }, rounds, EACH);
    found[what] = mapTimes(measured, (milliseconds) => (milliseconds * 1e6) / times);
  }
  return found;
}

function mapTimes(times: Times, change: (value: number) => number): Times {
  return Object.fromEntries(
    Object.entries(times).map(([machine, { min, median, max }]) => [
      machine,
      { min: change(min), median: change(median), max: change(max) },
    ]),
  );
}

/** How many times as fast as a machine trapline is, over all rows; null where it was not measured. */
export function speedAgainst(machine: MachineName, rows: Record<string, Times>): number | null {
  const ratios = Object.values(rows).flatMap((row) =>
    row[machine] && row.trapline ? row[machine].median / row.trapline.median : [],
  );
  return ratios.length === 0 ? null : geomean(ratios);
}
