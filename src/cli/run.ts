// `trapline run FILE`: boots a guest, shows its console, then the exit report.

import { exitName } from '../cpu/vmexit.ts';
import { ExitStatistics } from '../trace/exitStatistics.ts';
import { msrReport, perfReport } from '../trace/perfReport.ts';
import { Probes } from '../trace/probes.ts';
import type { Machine } from '../vmm/machine.ts';
import { exitStatus } from '../vmm/result.ts';
import { onlyFile, type Command } from './command.ts';
import { loadGuest } from './load.ts';
import { boot, bootOptions, MACHINE_OPTIONS, maxCycles } from './machineOptions.ts';
import { describeDiagnostics, describeOutcome } from './outcome.ts';
import { runInteractively, showConsole } from './session.ts';
import { wishesOf } from './wishes.ts';

/** Exit status of a run that the user interrupted, as shells have it. */
export const INTERRUPTED = 130;

export const run: Command = {
  name: 'run',
  usage: 'FILE [options]',
  summary: 'Boots a guest (assembler source, ELF64 or flat binary), shows its console, then a report of its VM exits.',
  details: `The exit status is the guest's own: (v << 1 | 1) & 255 after a write of v to the debug exit port 0xf4, 0 after a power-off.
trapline's own are even: 2 usage, 4 image or assembly, 6 triple fault, 8 nothing can happen any more, 10 budget, 12 not implemented.`,
  options: [...MACHINE_OPTIONS, { name: 'quiet', help: 'the console only, no report' }],
  async run(args) {
    const image = await loadGuest(onlyFile(run, args));
    const wishes = wishesOf(args.files[0]!);
    const probes = new Probes();
    const statistics = new ExitStatistics();
    const quiet = args.given('quiet');
    if (!quiet) probes.subscribe(statistics.sink);
    const machine = boot({ ...bootOptions(args, image, wishes), probes });
    showConsole(machine);
    const result = await runInteractively(machine, maxCycles(args, wishes));
    if (result === null) {
      process.stderr.write('\ntrapline: interrupted\n');
      return INTERRUPTED;
    }
    statistics.finish(machine.host.cpus[0]!.now);
    for (const line of [...describeDiagnostics(machine), ...describeOutcome(machine, result)])
      process.stderr.write(`${line}\n`);
    if (!quiet) process.stdout.write(`\n${report(machine, statistics)}`);
    return exitStatus(result);
  },
};

/** The exit report and the table of MSR writes. */
export function report(machine: Machine, statistics: ExitStatistics): string {
  const { tscKhz } = machine.host;
  return [perfReport(statistics, { nameOf: exitName, tscKhz }), msrReport(machine.counters.msrWrites)].join('\n');
}
