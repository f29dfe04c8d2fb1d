// `trapline trace FILE`: one line for each VM exit, or one JSON object.

import { describeExit } from '../hypervisor/describe.ts';
import { ExitLines, type ExitLine } from '../trace/exitLines.ts';
import { Probes } from '../trace/probes.ts';
import type { Machine } from '../vmm/machine.ts';
import { exitStatus } from '../vmm/result.ts';
import { onlyFile, wholeNumber, type Command } from './command.ts';
import { instructionText } from './instructionText.ts';
import { loadGuest } from './load.ts';
import { boot, bootOptions, MACHINE_OPTIONS, maxCycles } from './machineOptions.ts';
import { describeDiagnostics, describeOutcome } from './outcome.ts';
import { INTERRUPTED } from './run.ts';
import { runInteractively } from './session.ts';
import { wishesOf } from './wishes.ts';

const HEAD = [
  'vCPU',
  'TSC'.padStart(12),
  'RIP'.padEnd(26),
  'instruction'.padEnd(24),
  'cycles'.padStart(8),
  'exit: what the hypervisor did',
];

export const trace: Command = {
  name: 'trace',
  usage: 'FILE [options]',
  summary:
    'Boots a guest and prints a line for each VM exit: who, when, where, which instruction, why, and what was done.',
  details:
    'Cycles are modelled, from the exit to the next entry, without the time a vCPU waited. The console goes to standard error.',
  options: [
    ...MACHINE_OPTIONS,
    { name: 'json', help: 'one JSON object a line instead of text' },
    { name: 'limit', value: 'N', help: 'print the first N exits only' },
  ],
  async run(args) {
    const image = await loadGuest(onlyFile(trace, args));
    const wishes = wishesOf(args.files[0]!);
    const limit = args.text('limit') === undefined ? Infinity : wholeNumber('limit', args.text('limit')!, 1, 1e9);
    const json = args.given('json');
    const probes = new Probes();
    let printed = 0;
    const lines = new ExitLines((line) => {
      if (printed++ < limit) process.stdout.write(`${json ? asJson(machine, line) : asText(machine, line)}\n`);
    });
    probes.subscribe(lines.sink);
    const machine = boot({ ...bootOptions(args, image, wishes), probes });
    machine.console.listen((byte) => process.stderr.write(Uint8Array.of(byte)));
    if (!json) process.stdout.write(`${HEAD.join('  ')}\n`);
    const result = await runInteractively(machine, maxCycles(args, wishes));
    lines.finish(machine.host.cpus[0]!.now);
    if (result === null) return INTERRUPTED;
    if (printed > limit) process.stderr.write(`trapline: ${printed - limit} more exits\n`);
    for (const line of [...describeDiagnostics(machine), ...describeOutcome(machine, result)])
      process.stderr.write(`${line}\n`);
    return exitStatus(result);
  },
};

function asText(machine: Machine, line: ExitLine): string {
  const { exit } = line;
  const where = machine.image.symbols.format(exit.rip);
  const text = exit.length === 0 ? '' : instructionText(machine, line.vcpu, exit.rip, exit.length);
  const waited = line.waited === 0 ? '' : ` (waited ${line.waited})`;
  const action = line.action === '' ? '' : `: ${line.action}`;
  return [
    String(line.vcpu).padStart(4),
    String(line.tsc).padStart(12),
    where.padEnd(26),
    text.padEnd(24),
    String(line.cost).padStart(8),
    `${describeExit(exit)}${action}${waited}`,
  ].join('  ');
}

function asJson(machine: Machine, line: ExitLine): string {
  const { exit, vcpu, tsc, action, cost, waited } = line;
  const symbol = machine.image.symbols.format(exit.rip);
  const instruction = exit.length === 0 ? null : instructionText(machine, vcpu, exit.rip, exit.length);
  const whole = { vcpu, tsc, symbol, instruction, ...exit, action, cost, waited };
  return JSON.stringify(whole, (_, value: unknown) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value));
}
