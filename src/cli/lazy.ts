// `trapline lazy FILE`: runs a guest up to a position and shows the lazy TSC deadline of each vCPU, as the series' file in
// debugfs does; and may force a kick, as a write to that file does.

import type { LazyView } from '../hypervisor/pv/lazyDebugfs.ts';
import { Probes } from '../trace/probes.ts';
import type { Machine } from '../vmm/machine.ts';
import { exitStatus, type RunResult } from '../vmm/result.ts';
import { onlyFile, UsageError, type Command } from './command.ts';
import { loadGuest } from './load.ts';
import { askedProtocol, bootMachine, MACHINE_OPTIONS, maxCycles } from './machineOptions.ts';
import { describeOutcome } from './outcome.ts';
import { reportInterrupt, runInteractively } from './session.ts';
import { wishesOf } from './wishes.ts';

/** How long the guest runs on after a kick before it is looked at again, in cycles. */
const AFTER_KICK = 100_000;

export const lazy: Command = {
  name: 'lazy',
  usage: 'FILE [options]',
  summary:
    'Runs a guest up to a position and shows the lazy TSC deadline of each vCPU: what is armed, what is pending.',
  details: `Deadlines are TSCs of the guest, with their distance from now. States: not in CPUID (offer --feature lazy-tscdeadline), not open in guest,
idle, armed, extended (put off by the guest without an exit), stale (no timer is behind what the guest trusts: it may wait for ever).
The guest's console goes to standard error.`,
  examples: [
    ['trapline lazy guests/lazy.s --feature lazy-tscdeadline --at 20M', ''],
    ['trapline lazy guests/lazy.s --feature lazy-tscdeadline --at 20M --kick 1', 'forces vCPU 1 to look at its page'],
  ],
  options: [
    { name: 'at', value: 'N', help: 'look after N cycles from boot (default: when the guest ends)' },
    { name: 'kick', value: 'VCPU', help: 'then force a kick, and look again a little later' },
    { name: 'after', value: 'N', help: `how many cycles later (default: ${AFTER_KICK})` },
    { name: 'json', help: 'one JSON object for each look' },
    ...MACHINE_OPTIONS,
  ],
  async run(args) {
    const image = await loadGuest(onlyFile(lazy, args), askedProtocol(args));
    const wishes = wishesOf(args.files[0]!);
    const limit = maxCycles(args, wishes);
    const at = args.number('at', 1, Number.MAX_SAFE_INTEGER);
    const machine = bootMachine(args, image, wishes, new Probes());
    const vcpu = args.number('kick', 0, machine.vm.vcpus.length - 1);
    const after = args.number('after', 1, Number.MAX_SAFE_INTEGER);
    if (vcpu !== undefined && at === undefined)
      throw new UsageError('--kick wants a position too, since nothing can be kicked when the guest has ended: --at N');
    if (after !== undefined && vcpu === undefined) throw new UsageError('--after says how long after --kick VCPU');

    const look = (): void => {
      const views = machine.lazyDeadlines;
      process.stdout.write(`${args.given('json') ? asJson(views) : drawViews(views)}\n`);
    };
    let result = await runInteractively(machine, Math.min(at ?? Infinity, limit), { stream: process.stderr });
    if (result === null) return reportInterrupt(machine);
    look();
    if (vcpu !== undefined) {
      if (machine.kickLazyDeadline(vcpu)) {
        result = await runInteractively(machine, at! + (after ?? AFTER_KICK), { stream: process.stderr });
        if (result === null) return reportInterrupt(machine);
        look();
      } else process.stderr.write(`trapline: vCPU ${vcpu} was not kicked: ${whyNot(machine, vcpu)}\n`);
    }
    // To stop where one asked to is no failure.
    if (result.kind === 'budget' && at !== undefined) return 0;
    return outcome(machine, result);
  },
};

function outcome(machine: Machine, result: RunResult): number {
  for (const line of describeOutcome(machine, result)) process.stderr.write(`${line}\n`);
  return exitStatus(result);
}

const whyNot = (machine: Machine, vcpu: number): string =>
  machine.result === null ? `its page is ${machine.lazyDeadlines[vcpu]!.state}` : 'the guest has ended by then';

const asJson = (views: readonly LazyView[]): string =>
  JSON.stringify(views, (_, value: unknown) => (typeof value === 'bigint' ? `0x${value.toString(16)}` : value));

const WIDTH = { vcpu: 4, tsc: 14, word: 34 } as const;

function drawViews(views: readonly LazyView[]): string {
  const line = (vcpu: unknown, tsc: unknown, pending: string, armed: string, state: string): string =>
    [
      String(vcpu).padStart(WIDTH.vcpu),
      String(tsc).padStart(WIDTH.tsc),
      pending.padEnd(WIDTH.word),
      armed.padEnd(WIDTH.word),
      state,
    ]
      .join('  ')
      .trimEnd();
  const lines = [line('vCPU', 'TSC', 'pending', 'armed', 'state')];
  for (const view of views) {
    if (!('counters' in view)) {
      lines.push(line(view.vcpu, '', '', '', view.state));
      continue;
    }
    const word = (value: bigint | null): string => (value === null ? 'no memory there' : distance(value, view.now));
    lines.push(line(view.vcpu, view.now, word(view.pending), word(view.armed), view.state));
  }
  for (const view of views) if ('counters' in view) lines.push(countersLine(view));
  return lines.join('\n');
}

function distance(deadline: bigint, now: bigint): string {
  if (deadline === 0n) return '0';
  const ahead = deadline - now;
  return `${deadline} (${ahead >= 0n ? `in ${ahead}` : `${-ahead} ago`})`;
}

function countersLine({ vcpu, counters }: Extract<LazyView, { counters: unknown }>): string {
  const { updates, kicks, rearms, clears, spurious } = counters;
  const causes = Object.entries(clears).filter(([, count]) => count > 0);
  const cleared = causes.length === 0 ? '0' : causes.map(([cause, count]) => `${count} ${cause}`).join(', ');
  return `vCPU ${vcpu}: published ${updates}, fired ${kicks}, armed anew ${rearms}, cleared ${cleared}; early interrupts ${spurious}`;
}
