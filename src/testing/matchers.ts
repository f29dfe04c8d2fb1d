// Matchers for vitest: what a machine printed, how it ended, how often it exited. Importing `trapline/testing` installs them.

import type { ExitName } from '../cpu/exit.ts';
import { EXIT } from '../cpu/exit.ts';
import { MSRS, nameOfMsr } from '../hypervisor/msrs.ts';
import { shortMsrName } from '../trace/perfReport.ts';
import { Machine } from '../vmm/machine.ts';
import { exitStatus, type RunResultKind } from '../vmm/result.ts';
import { matchesLine } from './directives.ts';

/** How often: exactly, or between bounds; left out: at least once. */
export type Times = number | { readonly least?: number; readonly most?: number };

export interface TraplineMatchers<R = unknown> {
  /** The console contains the text (`*` stands for any characters of a line), or matches the expression. */
  toPrint(expected: string | RegExp): R;
  /** The machine ended this way: the kind of its result, or the exit status of `trapline run`. */
  toEndWith(expected: RunResultKind | number): R;
  /** VM exits for a reason, by its VMX name, on all vCPUs. */
  toExit(reason: ExitName, times?: Times): R;
  /** WRMSR that exited, by MSR: `MSR_TSC_DEADLINE`, or `tsc-deadline`, `apic-icr`, as the reports call them. */
  toWriteMsr(name: string, times?: Times): R;
}

/** Every name that an MSR goes by: the manual's and the short one. */
const MSR_NAMES: ReadonlySet<string> = new Set(
  [...MSRS.keys()].flatMap((index) => [nameOfMsr(index), shortMsrName(nameOfMsr(index))]),
);

interface Verdict {
  readonly pass: boolean;
  message(): string;
}

const verdict = (pass: boolean, expected: string, found: string): Verdict => ({
  pass,
  message: () => `expected the guest ${pass ? 'not ' : ''}to ${expected}; ${found}`,
});

function machineOf(received: unknown, matcher: string): Machine {
  if (received instanceof Machine) return received;
  throw new TypeError(`${matcher} is asked of a Machine: expect(machine).${matcher}(…)`);
}

const range = (times: Times | undefined): { least: number; most: number } =>
  typeof times === 'number'
    ? { least: times, most: times }
    : { least: times?.least ?? (times ? 0 : 1), most: times?.most ?? Infinity };

function inWords(times: Times | undefined): string {
  const { least, most } = range(times);
  if (least === most) return `${least} times`;
  if (most === Infinity) return `at least ${least} times`;
  return least === 0 ? `at most ${most} times` : `${least} to ${most} times`;
}

function counted(what: string, count: number, times: Times | undefined, all: ReadonlyMap<string, number>): Verdict {
  const { least, most } = range(times);
  const others = [...all].map(([name, n]) => `${name} ${n}`).join(', ');
  return verdict(
    count >= least && count <= most,
    `${what} ${inWords(times)}`,
    `it was ${count} (${others || 'nothing at all'})`,
  );
}

export const matchers = {
  toPrint(received: unknown, expected: string | RegExp): Verdict {
    const { text } = machineOf(received, 'toPrint').console;
    const pass =
      typeof expected !== 'string'
        ? expected.test(text)
        : text.includes(expected) || text.split('\n').some((line) => matchesLine(expected, line));
    return verdict(pass, `print ${String(expected)}`, text === '' ? 'it printed nothing' : `it printed:\n${text}`);
  },

  toEndWith(received: unknown, expected: RunResultKind | number): Verdict {
    const { result } = machineOf(received, 'toEndWith');
    const kind = result?.kind ?? 'budget';
    const status = result === null ? null : exitStatus(result);
    const pass = typeof expected === 'number' ? status === expected : kind === expected;
    const found =
      result === null ? 'it has not ended: it was stopped, or never run' : `it ended with ${kind}, status ${status}`;
    return verdict(pass, `end with ${expected}`, found);
  },

  toExit(received: unknown, reason: ExitName, times?: Times): Verdict {
    if (!Object.hasOwn(EXIT, reason))
      throw new TypeError(`there is no exit reason ${reason}; HLT and MSR_WRITE are such`);
    const { byReason } = machineOf(received, 'toExit').counters;
    return counted(`exit with ${reason}`, byReason.get(reason) ?? 0, times, byReason);
  },

  toWriteMsr(received: unknown, name: string, times?: Times): Verdict {
    const { msrWrites } = machineOf(received, 'toWriteMsr').counters;
    if (!MSR_NAMES.has(name)) {
      throw new TypeError(
        `there is no MSR '${name}'; names are those of the run report, such as tsc-deadline or MSR_TSC_DEADLINE`,
      );
    }
    const count = [...msrWrites].reduce(
      (sum, [own, n]) => sum + (own === name || shortMsrName(own) === name ? n : 0),
      0,
    );
    return counted(`write ${name}`, count, times, msrWrites);
  },
};
