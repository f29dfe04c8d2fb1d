// `trapline test`: runs kvm-unit-tests configurations, images and assembler sources as tests, and prints TAP or JUnit.

import { availableParallelism } from 'node:os';
import { DEFAULT_START_TIME } from '../hypervisor/vm.ts';
import { EXIT_STATUS } from '../vmm/result.ts';
import { size, UsageError, type Arguments, type Command } from './command.ts';
import { casesOf, DEFAULT_SUCCESS } from './test/cases.ts';
import { junit } from './test/junit.ts';
import { runPool } from './test/pool.ts';
import { Progress } from './test/progress.ts';
import { tapHead, tapLines } from './test/tap.ts';
import type { TestCase, TestResult } from './test/testCase.ts';
import { cpuModel } from './machineOptions.ts';

const FORMATS = ['tap', 'junit'];

/** As every test runner has it: something failed. */
const FAILED = 1;
const DEFAULT_HOST_SECONDS = 300;
const MOST_HOST_SECONDS = 86_400;
const MOST_JOBS = 256;
const MOST_STATUS = 255;
const ARCHITECTURES = ['x86_64', 'i386'];

export const test: Command = {
  name: 'test',
  usage: '[unittests.cfg | image | source.s]... [options]',
  summary: 'Runs guests as tests, on several threads, and prints TAP or JUnit.',
  details: `A configuration of kvm-unit-tests (unittests.cfg) is a case for each section. An assembler source is judged by its directives
(docs/guests.md), a case for each of them. Any other image passes when it ends with the status of success, 1 (debug exit with 0) or a power-off,
and has printed no line that begins with FAIL: as kvm-unit-tests print; 77 means skipped. Exit status: 0 when nothing failed, 1 when
something did, 2 usage, 4 a configuration that cannot be read.`,
  examples: [
    ['trapline test guests/*.s', 'the guests that come with trapline'],
    ['trapline test x86/unittests.cfg --only apic,ioapic', 'two tests of kvm-unit-tests'],
    ['trapline test kernel.elf --success 33 --format junit', 'a kernel of your own that ends with 0x10 at port 0xf4'],
  ],
  options: [
    { name: 'format', value: 'NAME', help: `${FORMATS.join(' or ')} (default: tap)` },
    { name: 'jobs', value: 'N', help: 'threads (default: as many as the host has CPUs; 1: none but this one)' },
    { name: 'only', value: 'NAMES', multiple: true, help: 'run these cases: names with commas, or repeated' },
    { name: 'group', value: 'NAMES', multiple: true, help: 'run the sections of these groups' },
    {
      name: 'arch',
      value: 'NAME',
      help: `what a configuration was built for: ${ARCHITECTURES.join(' or ')} (default: x86_64)`,
    },
    { name: 'cpu', value: 'MODEL', help: 'processor model of cases that name none (default: max)' },
    {
      name: 'swap',
      value: 'SIZE',
      help: 'memory of each guest that the host keeps, as a memory cgroup would: it pages out the rest (default: all)',
    },
    { name: 'success', value: 'STATUS', help: `exit status of an image that has passed (default: ${DEFAULT_SUCCESS})` },
    {
      name: 'timeout',
      value: 'SECONDS',
      help: `time of the host after which a case has hung (default: ${DEFAULT_HOST_SECONDS})`,
    },
    { name: 'verbose', help: 'TAP: the checks of each guest as a subtest' },
  ],
  async run(args) {
    if (args.files.length === 0) throw new UsageError('trapline test wants a unittests.cfg, images or sources');
    const format = oneOf('format', FORMATS, args) ?? 'tap';
    const cpu = args.text('cpu');
    if (cpu !== undefined) cpuModel(cpu);
    const swap = args.text('swap');
    const names = list(args, 'only');
    const cases = casesOf(args.files, {
      arch: oneOf('arch', ARCHITECTURES, args) ?? 'x86_64',
      groups: list(args, 'group'),
      names,
      cpu,
      swap: swap === undefined ? undefined : size('swap', swap),
      now: DEFAULT_START_TIME,
      success: args.number('success', 0, MOST_STATUS) ?? DEFAULT_SUCCESS,
    });
    const missing = names.filter((name) => !cases.some((each) => each.name === name));
    if (missing.length > 0) throw new UsageError(`there is no case ${missing.join(', ')} in ${args.files.join(', ')}`);
    const results = await runAll(cases, args, format === 'tap');
    if (format === 'junit') process.stdout.write(junit(results));
    return results.some(({ verdict }) => verdict === 'not ok') ? FAILED : EXIT_STATUS.POWER_OFF;
  },
};

/** Runs the cases; TAP lines appear in order, each as soon as all before it are there. */
async function runAll(cases: readonly TestCase[], args: Arguments, tap: boolean): Promise<readonly TestResult[]> {
  const results: (TestResult | undefined)[] = cases.map(() => undefined);
  const progress = process.stderr.isTTY ? new Progress(process.stderr, cases.length) : null;
  const subtests = args.given('verbose');
  const say = (lines: readonly string[]): void => {
    if (!tap) return;
    progress?.clear();
    process.stdout.write(lines.map((line) => `${line}\n`).join(''));
  };
  say(tapHead(cases.length));
  let told = 0;
  await runPool(
    cases,
    {
      threads: args.number('jobs', 1, MOST_JOBS) ?? availableParallelism(),
      limits: { milliseconds: 1000 * (args.number('timeout', 1, MOST_HOST_SECONDS) ?? DEFAULT_HOST_SECONDS) },
      program: process.argv[1]!,
    },
    {
      started: (index) => progress?.started(cases[index]!.name),
      finished: (index, result) => {
        results[index] = result;
        for (let next = results[told]; next !== undefined; next = results[told])
          say(tapLines(++told, next, { subtests }));
        progress?.finished(result.name, result.verdict);
      },
    },
  );
  progress?.clear();
  const all = results.filter((result) => result !== undefined);
  say([`# ${summary(all)}`]);
  return all;
}

function summary(results: readonly TestResult[]): string {
  const count = (verdict: TestResult['verdict']): number => results.filter((each) => each.verdict === verdict).length;
  const checks = results.reduce((sum, each) => sum + each.checks.length, 0);
  return `${count('ok')} ok, ${count('not ok')} not ok, ${count('skip')} skipped; ${checks} checks`;
}

const list = (args: Arguments, name: string): string[] =>
  args.texts(name).flatMap((text) => text.split(',').filter((each) => each !== ''));

function oneOf(name: string, known: readonly string[], args: Arguments): string | undefined {
  const text = args.text(name);
  if (text !== undefined && !known.includes(text))
    throw new UsageError(`--${name} knows ${known.join(' and ')}, not '${text}'`);
  return text;
}
