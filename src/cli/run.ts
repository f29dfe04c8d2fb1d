// `trapline run FILE`: boots a guest, shows its console, then the exit report.

import { ExitLines, type ExitLine } from '../trace/exitLines.ts';
import { ExitStatistics } from '../trace/exitStatistics.ts';
import { msrReport, perfReport } from '../trace/perfReport.ts';
import { Probes } from '../trace/probes.ts';
import type { Machine } from '../vmm/machine.ts';
import type { InputDevice } from '../vmm/input.ts';
import { DEFAULT_ORIGIN } from '../vmm/image.ts';
import { loadRaw } from '../vmm/loaders/raw.ts';
import { EXIT_STATUS, exitStatus, type RunResult } from '../vmm/result.ts';
import { bootLines } from './bootLine.ts';
import { onlyFile, UsageError, type Arguments, type Command } from './command.ts';
import { cpuidDump } from './cpuidText.ts';
import { loadGuest } from './load.ts';
import { askedProtocol, bootMachine, MACHINE_OPTIONS, maxCycles, type Wishes } from './machineOptions.ts';
import { describeDiagnostics, describeOutcome, describePostCode } from './outcome.ts';
import { recordedRun } from './recordedRun.ts';
import { framedScreen, LiveScreen } from './screenText.ts';
import { reportInterrupt, runInteractively } from './session.ts';
import { restoredMachine, Saving, SNAPSHOT_OPTIONS, snapshotWish } from './snapshotOptions.ts';
import { exitLineText, TRACE_HEAD } from './trace.ts';
import { TypedInput } from './typedInput.ts';
import { wishesOf } from './wishes.ts';
import { xenReport } from './xenPaths.ts';

const HLT = 0xf4;

/** How many exits are kept to explain an unhappy end. */
const LAST_EXITS = 5;

export const run: Command = {
  name: 'run',
  usage: 'FILE [options] | --restore FILE [options]',
  summary:
    'Boots a guest (assembler source, kernel, boot sector or flat binary), shows its console, then a report of its VM exits.',
  details: `Exit status: the guest's own, (v << 1 | 1) & 255 after a write of v to the debug exit port 0xf4, or 0 after a power-off; trapline's
own are even: 2 usage, 4 image or assembly, 6 triple fault, 8 nothing can happen any more, 10 budget, 12 not implemented,
14 the guest reset the machine, 16 a replay that went another way, 18 a Xen guest that reports its crash. What is typed, or piped
in, is the guest's serial line. Ctrl-C (or Ctrl-A x) stops the guest and says where its vCPUs stand (130).`,
  examples: [
    ['trapline run guests/tick.s', 'a timer tick'],
    ['trapline run guests/lazy.s --feature lazy-tscdeadline', 'with a paravirtual feature'],
    ['trapline run kernel.elf --vcpus 2 --memory 256M --max-cycles 5G', ''],
    ['trapline run guests/tick.s --snapshot-at 1M --snapshot-to tick.snap', 'save the machine on its way'],
    ['trapline run --restore tick.snap', '... and go on from there'],
  ],
  options: [
    ...MACHINE_OPTIONS,
    ...SNAPSHOT_OPTIONS,
    {
      name: 'keyboard',
      help: 'what is typed goes to the PS/2 keyboard instead of the serial line',
    },
    {
      name: 'xen-console',
      help: "what is typed goes to the console of a Xen guest (Linux's hvc0) instead of the serial line; with --xen",
    },
    {
      name: 'screen',
      help: "show the guest's text screen: live on a terminal, else at the end (without it: at the end, if the guest used it)",
    },
    { name: 'record', value: 'FILE', help: 'write down what is typed, and when, so that the run can be repeated' },
    {
      name: 'replay',
      value: 'FILE',
      help: 'repeat a recorded run, with the options that it was recorded with, and say whether it went the same way',
    },
    { name: 'quiet', help: 'the console only, no report' },
    { name: 'cpuid', help: 'do not run, but print the CPUID leaves that the guest would see; a file is not needed' },
  ],
  async run(given) {
    if (given.given('cpuid')) return printCpuid(given);
    const recorded = recordedRun(run, given);
    const args = recorded?.args ?? given;
    const wish = snapshotWish(args);
    const quiet = args.given('quiet');
    const probes = new Probes();
    const statistics = new ExitStatistics();
    const last: ExitLine[] = [];
    const lines = new ExitLines((line) => {
      last.push(line);
      if (last.length > LAST_EXITS) last.shift();
    });
    if (!quiet) {
      probes.subscribe(statistics.sink);
      probes.subscribe(lines.sink);
    }
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    const { machine, limit, wishes } = await machineOf(args, probes);
    if (!quiet && !args.given('restore')) bootLines(machine.image).forEach(say);
    const device = inputDevice(args);
    if (device === 'xen-console' && machine.xen === null)
      throw new UsageError('--xen-console is for guests of Xen, and this is none: add --xen');
    machine.input.attach(device);
    recorded?.prepare(machine, machine.image, wishes);
    const live = args.given('screen') && process.stdout.isTTY ? new LiveScreen(process.stdout) : null;
    const most = Math.min(limit, recorded?.limit ?? Infinity);
    const saving = wish === null ? null : new Saving(machine, wish, most, say);
    const result = await runInteractively(machine, saving?.at ?? most, {
      ...(saving !== null && { goOn: () => saving.take() }),
      ...(live === null ? { stream: process.stdout } : { onTurn: () => live.draw(machine) }),
      ...(recorded?.replays !== true && { typed: { input: new TypedInput(), device } }),
    });
    live?.end();
    saving?.end();
    for (const collected of [statistics, lines]) collected.finish(machine.host.cpus[0]!.now);
    const differs = recorded?.finish(machine, result, say) === false;
    describeDiagnostics(machine).forEach(say);
    if (result !== null) {
      if (isFailure(result)) {
        if (last.length > 0)
          ['trapline: the last exits', TRACE_HEAD, ...last.map((line) => exitLineText(machine, line))].forEach(say);
        describePostCode(machine).forEach(say);
      }
      describeOutcome(machine, result).forEach(say);
    }
    const status = result === null ? reportInterrupt(machine) : exitStatus(result);
    const { screen } = machine;
    if (screen !== null && live === null && (args.given('screen') || !quiet))
      process.stdout.write(`\n${framedScreen(screen).join('\n')}\n`);
    if (!quiet) process.stdout.write(`\n${report(machine, statistics)}`);
    return differs ? EXIT_STATUS.DIFFERS : status;
  },
};

interface Started {
  readonly machine: Machine;
  /** How far it may run. */
  readonly limit: number;
  readonly wishes: Wishes;
}

/** The machine, booted or restored. */
async function machineOf(args: Arguments, probes: Probes): Promise<Started> {
  const restored = await restoredMachine(args, probes);
  if (restored !== null) return { machine: restored, limit: maxCycles(args, {}), wishes: {} };
  const image = await loadGuest(onlyFile(run, args), askedProtocol(args));
  const wishes = wishesOf(args.files[0]!);
  return { machine: bootMachine(args, image, wishes, probes), limit: maxCycles(args, wishes), wishes };
}

/** The leaves of a machine with these options, which needs a guest to be one. */
async function printCpuid(args: Arguments): Promise<number> {
  const [file] = args.files;
  const image =
    file === undefined ? loadRaw(Uint8Array.of(HLT), DEFAULT_ORIGIN) : await loadGuest(file, askedProtocol(args));
  const machine = bootMachine(args, image, file === undefined ? {} : wishesOf(file), new Probes());
  process.stdout.write(cpuidDump(machine));
  return EXIT_STATUS.POWER_OFF;
}

function inputDevice(args: Arguments): InputDevice {
  const [device = 'serial', other] = (['keyboard', 'xen-console'] as const).filter((name) => args.given(name));
  if (other !== undefined) throw new UsageError('what is typed goes to one place: --keyboard or --xen-console');
  return device;
}

const FAILURES: ReadonlySet<RunResult['kind']> = new Set(['triple-fault', 'guest-crash', 'not-implemented']);
const isFailure = ({ kind }: RunResult): boolean => FAILURES.has(kind);

/** The exit report, the table of MSR writes, and the paths of a Xen guest's events. */
export function report(machine: Machine, statistics: ExitStatistics): string {
  const { tscKhz } = machine.host;
  const { msrWrites, xen } = machine.counters;
  const parts = [perfReport(statistics, { tscKhz }), msrReport(msrWrites), xen === null ? '' : xenReport(xen)];
  return parts.filter((part) => part !== '').join('\n');
}
