// `trapline trace FILE`: one line or one JSON object for each VM exit, or the lines of a tracing tool (eventTrace.ts).

import { describeExit } from '../hypervisor/describe.ts';
import { eventLines } from '../trace/eventLines.ts';
import { ExitLines, type ExitLine } from '../trace/exitLines.ts';
import { Probes } from '../trace/probes.ts';
import type { Machine } from '../vmm/machine.ts';
import { exitStatus } from '../vmm/result.ts';
import { vectorName } from '../x86/names/vectors.ts';
import { onlyFile, type Command } from './command.ts';
import { chosenVcpu, EVENT_OPTIONS, eventOptions } from './eventTrace.ts';
import { instructionText } from './instructionText.ts';
import { loadGuest } from './load.ts';
import { askedProtocol, bootMachine, MACHINE_OPTIONS, maxCycles } from './machineOptions.ts';
import { describeDiagnostics, describeOutcome } from './outcome.ts';
import { reportInterrupt, runInteractively } from './session.ts';
import { wishesOf } from './wishes.ts';

/** Widths of the columns in front of the last one. */
const WIDTH = { vcpu: 4, tsc: 10, where: 22, place: 46, cycles: 6 } as const;

export const TRACE_HEAD = columns('vCPU', 'TSC', 'RIP', 'instruction', 'cycles', 'exit: what the hypervisor did');

export const trace: Command = {
  name: 'trace',
  usage: 'FILE [options]',
  summary: 'Boots a guest and prints a line for each VM exit: who, when, where, why, what was done, and its cost.',
  details: `TSC is the guest's at the exit. Cycles are modelled, from the exit to the next entry, without the time a vCPU waited. A line appears
when its vCPU enters again. The guest's console goes to standard error, so that a trace can be piped. docs/tracing.md tells more.`,
  examples: [
    ['trapline trace guests/ipi.s --limit 40', 'the first exits of two vCPUs'],
    ['trapline trace guests/tick.s --json | jq .action', 'for programs'],
    ['trapline trace guests/lazy.s --feature lazy-tscdeadline | grep DEADLINE', ''],
    ['trapline trace guests/tick.s --format trace-cmd --event kvm_exit --event kvm_entry', 'as on a host of KVM'],
  ],
  options: [
    ...MACHINE_OPTIONS,
    { name: 'json', help: 'one JSON object a line instead of text' },
    { name: 'limit', value: 'N', help: 'print the first N lines only' },
    ...EVENT_OPTIONS,
  ],
  async run(args) {
    const image = await loadGuest(onlyFile(trace, args), askedProtocol(args));
    const wishes = wishesOf(args.files[0]!);
    const limit = args.number('limit', 1, 1_000_000_000) ?? Infinity;
    const cycles = maxCycles(args, wishes);
    const json = args.given('json');
    const events = eventOptions(args);
    const machine = bootMachine(args, image, wishes, new Probes());
    const vcpu = chosenVcpu(args, machine);
    let printed = 0;
    const print = (line: () => string): void => {
      if (printed++ < limit) process.stdout.write(`${line()}\n`);
    };
    const lines = new ExitLines((line) => {
      if (vcpu === undefined || line.vcpu === vcpu)
        print(() => (json ? asJson(machine, line) : exitLineText(machine, line)));
    });
    if (events === null) machine.probes.subscribe(lines.sink);
    else {
      const task = vcpu === undefined ? null : machine.vm.vcpus[vcpu]!.thread;
      const options = { ...events, ...(task !== null && { task }) };
      machine.probes.subscribe(eventLines(machine.host, options, (line) => print(() => line)));
    }
    if (!json && events === null) process.stdout.write(`${TRACE_HEAD}\n`);
    const result = await runInteractively(machine, cycles, { stream: process.stderr });
    lines.finish(machine.host.cpus[0]!.now);
    if (result === null) return reportInterrupt(machine);
    if (printed > limit)
      process.stderr.write(`trapline: ${printed - limit} more ${events === null ? 'exits' : 'events'}\n`);
    for (const line of [...describeDiagnostics(machine), ...describeOutcome(machine, result)])
      process.stderr.write(`${line}\n`);
    return exitStatus(result);
  },
};

/** A trace line as text. */
export function exitLineText(machine: Machine, line: ExitLine): string {
  const { exit } = line;
  const notes = [line.action];
  if (line.waited > 0) notes.push(`woken after ${line.waited} cycles`);
  if (line.rearmed !== null) notes.push(`the guest had put it off: armed anew for TSC ${line.rearmed}`);
  if (line.injects !== null) notes.push(`injects ${vectorName(line.injects)}`);
  const done = notes.filter((note) => note !== '').join('; ');
  return columns(
    line.vcpu,
    line.tsc,
    machine.image.symbols.format(line.code.linear),
    instructionOf(machine, line) ?? '',
    line.cost,
    `${describeExit(exit)}${done === '' ? '' : `: ${done}`}`,
  );
}

function columns(
  vcpu: unknown,
  tsc: unknown,
  where: string,
  instruction: string,
  cycles: unknown,
  what: string,
): string {
  // A long symbol takes room from the instruction, a long instruction is cut: the other columns stand still.
  const place = `${where.padEnd(WIDTH.where)}  ${instruction}`;
  return [
    String(vcpu).padStart(WIDTH.vcpu),
    String(tsc).padStart(WIDTH.tsc),
    place.length > WIDTH.place ? `${place.slice(0, WIDTH.place - 1)}…` : place.padEnd(WIDTH.place),
    String(cycles).padStart(WIDTH.cycles),
    what,
  ].join('  ');
}

/** Exits that come between two instructions, so that the one at RIP has nothing to do with them. */
const BETWEEN = new Set(['EXTERNAL_INTERRUPT', 'INTERRUPT_WINDOW', 'NMI_WINDOW']);

function instructionOf(machine: Machine, { exit, vcpu, code }: ExitLine): string | null {
  return BETWEEN.has(exit.reason) ? null : instructionText(machine, vcpu, code);
}

function asJson(machine: Machine, line: ExitLine): string {
  const { exit, code, vcpu, tsc, ...done } = line;
  const symbol = machine.image.symbols.format(code.linear);
  const whole = { vcpu, tsc, symbol, instruction: instructionOf(machine, line), ...code, ...exit, ...done };
  return JSON.stringify(whole, (_, value: unknown) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value));
}
