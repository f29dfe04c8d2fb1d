// `trapline tour`: the main job in five steps over guests that come with trapline. Each step runs a guest and says what to
// look at; every line shown is from the run itself.

import { join } from 'node:path';
import { COST_MODELS } from '../host/costs.ts';
import { BRIEF_LAZY, compareLazy } from '../lab/lazyTscDeadline.ts';
import { ExitLines, type ExitLine } from '../trace/exitLines.ts';
import { Probes } from '../trace/probes.ts';
import { Machine } from '../vmm/machine.ts';
import type { RunResult } from '../vmm/result.ts';
import { UsageError, type Command } from './command.ts';
import { ownGuest } from './lab.ts';
import { drawLazyBriefly } from './labLazy.ts';
import { packageFolder } from './load.ts';
import { describeOutcome } from './outcome.ts';
import { exitLineText, TRACE_HEAD } from './trace.ts';
import { wishesOf } from './wishes.ts';

export const tour: Command = {
  name: 'tour',
  usage: '',
  summary: 'A short tour: five guests, their exits explained, and what a paravirtual feature saves.',
  details:
    'It runs hello, tick, ipi and fault from guests/, then the experiment lazy-tscdeadline. Every line shown comes from the run.',
  options: [],
  async run(args) {
    if (args.files.length > 0) throw new UsageError('trapline tour takes no arguments');
    for (const step of [intro, hello, tick, ipi, fault, lazy, outro]) {
      for (const line of await step()) process.stdout.write(`${line}\n`);
    }
    return 0;
  },
};

interface Visit {
  readonly machine: Machine;
  readonly result: RunResult;
  readonly lines: readonly ExitLine[];
}

/** Far more than any of these guests needs. */
const PATIENCE = 1_000_000_000;

async function visit(name: string): Promise<Visit> {
  const probes = new Probes();
  const lines: ExitLine[] = [];
  const collector = new ExitLines((line) => lines.push(line));
  probes.subscribe(collector.sink);
  const { maxCycles: _, ...wishes } = wishesOf(join(packageFolder(), 'guests', `${name}.s`));
  const machine = Machine.boot({ image: await ownGuest(name), probes, ...wishes });
  const result = machine.run({ maxCycles: PATIENCE });
  collector.finish(machine.host.cpus[0]!.now);
  return { machine, result, lines };
}

const WIDTH = 100;
const heading = (title: string, command: string): string[] => [
  '',
  `${`── ${title} `.padEnd(WIDTH - command.length - 1, '─')} ${command}`,
  '',
];
const printed = ({ machine }: Visit): string[] =>
  machine.console.text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`);

/** "41 IO_INSTRUCTION, 6 EPT_VIOLATION". */
function exitsOf({ machine }: Visit): string {
  const rows = [...machine.counters.byReason].sort(([, a], [, b]) => b - a);
  return rows.map(([reason, count]) => `${count} ${reason}`).join(', ');
}

const intro = async (): Promise<string[]> => [
  'trapline runs x86-64 kernels in an interpreter under a hypervisor that behaves like KVM. Whenever a guest does something',
  'that hardware would trap, it exits to the hypervisor; trapline shows each exit, why it happened, and what was done.',
];

async function hello(): Promise<string[]> {
  const seen = await visit('hello');
  return [
    ...heading('1. A guest says hello', 'trapline run guests/hello.s'),
    ...printed(seen),
    '',
    `  The guest is assembled, boots in 64-bit mode and exits ${seen.lines.length} times: ${exitsOf(seen)}.`,
    '  Each character is an OUT to the serial port, and each OUT leaves the guest; a page of memory does so when first touched.',
  ];
}

async function tick(): Promise<string[]> {
  const seen = await visit('tick');
  const isWrite = ({ exit }: ExitLine): boolean => exit.reason === 'MSR_WRITE';
  const halts = seen.lines.flatMap(({ exit }, i) => (exit.reason === 'HLT' ? [i] : []));
  // One round, between the second halt and the third.
  const round = seen.lines.slice(halts[1], halts[2]).filter((line) => isWrite(line) || line.exit.reason === 'HLT');
  return [
    ...heading('2. A timer tick, exit by exit', 'trapline trace guests/tick.s'),
    ...printed(seen),
    '',
    `  ${TRACE_HEAD}`,
    ...round.map((line) => `  ${exitLineText(seen.machine, line)}`),
    '',
    '  One round of the tick. HLT puts the vCPU to sleep until the timer fires, and the interrupt is injected on the way back in.',
    '  Its handler arms the next deadline and ends the interrupt: two writes of MSRs, two more exits. Cycles are modelled costs.',
  ];
}

async function ipi(): Promise<string[]> {
  const seen = await visit('ipi');
  const first = seen.lines.findIndex(({ exit }) => exit.reason === 'MSR_WRITE' && exit.value === 0x1000000fbn);
  const isPlay = ({ exit }: ExitLine): boolean => exit.reason === 'MSR_WRITE' || exit.reason === 'HLT';
  return [
    ...heading('3. Two vCPUs play ping-pong', 'trapline trace guests/ipi.s'),
    ...printed(seen),
    '',
    `  ${TRACE_HEAD}`,
    ...seen.lines
      .slice(first + 12)
      .filter(isPlay)
      .slice(0, 6)
      .map((line) => `  ${exitLineText(seen.machine, line)}`),
    '',
    '  An interrupt to another vCPU is a write of the x2APIC ICR. Both vCPUs live in one virtual time: their clocks agree to the',
    '  cycle, and the same input always gives the same run.',
  ];
}

async function fault(): Promise<string[]> {
  const seen = await visit('fault');
  return [
    ...heading('4. A guest crashes', 'trapline run guests/fault.s'),
    ...printed(seen),
    '',
    ...describeOutcome(seen.machine, seen.result).map((line) => `  ${line}`),
    '',
    '  The guest has lost its IDT and its stack. What hardware answers with a reset is told apart here, exception by exception.',
  ];
}

async function lazy(): Promise<string[]> {
  return [
    ...heading('5. What a paravirtual feature saves', 'trapline lab lazy-tscdeadline'),
    ...drawLazyBriefly(compareLazy(await ownGuest('lazy'), COST_MODELS['skylake-2020'], BRIEF_LAZY))
      .split('\n')
      .map((line) => `  ${line}`.trimEnd()),
    '',
    '  Counts come first because they need no model. A kernel under load moves its timer on every sleep and wake-up; a page shared',
    '  with the hypervisor makes nearly all of these moves free of exits.',
  ];
}

const outro = async (): Promise<string[]> => [
  '',
  `${'── Next '.padEnd(WIDTH, '─')}`,
  '',
  '  trapline run FILE       your own guest: AT&T assembler, ELF64 or a flat binary (docs/guests.md says how to write one)',
  '  trapline trace FILE     every exit; --json for programs',
  '  trapline --help         all commands',
];
