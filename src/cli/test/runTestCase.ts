// Runs one case and judges it. An assembler source has kept what its directives promise, or not; any other image has passed
// when it ends with the status of success and none of the checks that it reported has failed.

import { AssemblerError } from '../../assembler/problem.ts';
import { bootCase, brokenPromises, casesOfFile } from '../../testing/guestCases.ts';
import { DirectiveError } from '../../testing/directives.ts';
import type { GuestOptions } from '../../testing/bootGuest.ts';
import { BootError } from '../../vmm/boot/bootError.ts';
import { ImageError } from '../../vmm/image.ts';
import { Machine } from '../../vmm/machine.ts';
import { exitStatus, type RunResult } from '../../vmm/result.ts';
import { loadGuest } from '../load.ts';
import { describeDiagnostics, describeOutcome } from '../outcome.ts';
import { qemuCpu } from './qemuCpu.ts';
import { checksOf, failedChecks, type TestCase, type TestResult, type Verdict } from './testCase.ts';

/** kvm-unit-tests' exit status when every check was skipped. */
const SKIPPED = 77;
/** How many steps of the machine between two looks at the clock. */
const STEPS = 16;

export interface RunLimits {
  /** Milliseconds of the host after which a case counts as hung. */
  readonly milliseconds: number;
}

/** Runs a case. Never throws for what is wrong with a guest or its image: that is a failed case. */
export async function runTestCase(test: TestCase, limits: RunLimits): Promise<TestResult> {
  const { name, file } = test;
  if (test.skip !== null) return finished(test, 'skip', [test.skip], null, 0);
  const start = Date.now();
  try {
    const { machine, maxCycles, judge, notes } = await prepare(test);
    const result = runWithin(machine, maxCycles, start + limits.milliseconds);
    const seconds = (Date.now() - start) / 1000;
    if (result === null) {
      const why = `still running after ${limits.milliseconds / 1000} s of host time (--timeout gives more)`;
      return finished({ ...test, notes }, 'not ok', [why], machine, seconds);
    }
    const { verdict, reasons } = judge(result);
    return finished({ ...test, notes }, verdict, reasons, machine, seconds);
  } catch (error) {
    if (!isGuestsFault(error)) throw new Error(`while ${name} of ${file} ran: ${(error as Error).stack}`);
    const hint = error instanceof ImageError ? ` (try: ${error.hint})` : '';
    return finished(test, 'not ok', [`${error.message}${hint}`], null, (Date.now() - start) / 1000);
  }
}

const isGuestsFault = (error: unknown): error is Error =>
  [ImageError, BootError, AssemblerError, DirectiveError, RangeError].some((kind) => error instanceof kind);

interface Judgement {
  readonly verdict: Verdict;
  readonly reasons: readonly string[];
}

interface Prepared {
  readonly machine: Machine;
  /** Where virtual time ends. */
  readonly maxCycles: number;
  readonly judge: (result: RunResult) => Judgement;
  readonly notes: readonly string[];
}

async function prepare(test: TestCase): Promise<Prepared> {
  const { file, directiveCase, success } = test;
  const image = await loadGuest(file);
  const cpu = test.cpu === undefined ? null : qemuCpu(test.cpu);
  const options: GuestOptions = {
    ...(test.vcpus !== undefined && { vcpus: test.vcpus }),
    ...(test.memory !== undefined && { memory: test.memory }),
    ...(test.commandLine !== undefined && { commandLine: test.commandLine }),
    ...(test.swap !== undefined && { swap: { limit: test.swap } }),
    ...(test.hltInGuest && { params: { hltInGuest: true } }),
    ...(cpu !== null && { model: cpu.model }),
  };
  const notes = [...test.notes, ...(cpu?.refused ?? []).map((what) => `-cpu ${test.cpu}: ${what}`)];
  const promised = directiveCase === null ? undefined : casesOfFile(file).find(({ name }) => name === directiveCase);
  if (promised === undefined) {
    const machine = Machine.boot({ image, ...options });
    return {
      machine,
      notes,
      maxCycles: virtualLimit(test, machine),
      judge: (result) => judgeImage(machine, result, success),
    };
  }
  const machine = bootCase(image, promised, options);
  const judge = (result: RunResult): Judgement => {
    const reasons = brokenPromises(machine, result, promised);
    return { verdict: reasons.length === 0 ? 'ok' : 'not ok', reasons };
  };
  return { machine, notes, maxCycles: promised.directives.maxCycles ?? virtualLimit(test, machine), judge };
}

const virtualLimit = ({ virtualSeconds }: TestCase, { host }: Machine): number =>
  virtualSeconds === null ? Infinity : virtualSeconds * host.tscKhz * 1000;

/** Runs to the end or to the limit of virtual time; null when the host's time is up. */
function runWithin(machine: Machine, maxCycles: number, deadline: number): RunResult | null {
  while (Date.now() < deadline) {
    for (let i = 0; i < STEPS; i++) {
      const result = machine.step(maxCycles);
      if (result !== null) return result;
    }
  }
  return null;
}

function judgeImage(machine: Machine, result: RunResult, success: number): Judgement {
  const checks = checksOf(machine.console.text);
  const reasons = failedChecks(checks).map(({ verdict, text }) => `${verdict}: ${text}`);
  const ended = result.kind === 'debug-exit' || result.kind === 'power-off';
  if (!ended) return { verdict: 'not ok', reasons: [...reasons, ...describeOutcome(machine, result)] };
  const status = exitStatus(result);
  if (status === SKIPPED && success !== SKIPPED && reasons.length === 0) {
    const skipped = checks.filter(({ verdict }) => verdict === 'SKIP').map(({ text }) => text);
    return { verdict: 'skip', reasons: skipped.length === 0 ? ['the guest skipped everything'] : skipped };
  }
  if (status !== success && status !== 0) reasons.push(`ended with exit status ${status}, not ${success}`);
  if (reasons.length > 0) return { verdict: 'not ok', reasons: [...reasons, ...describeDiagnostics(machine)] };
  return { verdict: 'ok', reasons };
}

function finished(
  { name, file, notes }: TestCase,
  verdict: Verdict,
  reasons: readonly string[],
  machine: Machine | null,
  seconds: number,
): TestResult {
  const console = machine?.console.text ?? '';
  const cycles = machine === null ? 0 : Math.max(...machine.vm.vcpus.map(({ cpu }) => cpu.now));
  const virtualSeconds = machine === null ? 0 : cycles / (machine.host.tscKhz * 1000);
  return { name, file, verdict, reasons, checks: checksOf(console), notes, console, virtualSeconds, seconds };
}
