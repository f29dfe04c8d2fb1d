// Experiment: what it costs to own a vCPU's timer from load to put, instead of from entry to exit (seed 003: Linux commit
// b103cc3f10, 2017). The same guest runs under both policies, on a host at EL2 and below, over loads with few context
// switches and with many. Returns data. Hypothetical on x86: no x86 processor has such a timer.
//
// Theory: either policy moves the same few registers between hardware and memory; they differ in how often. The older one does it
// at each exit and entry, the newer one when the vCPU's thread gets or loses its CPU, and when it blocks. So what it saves
// hangs on how many exits there are for each load and put; and a host below EL2 pays more for each access to what belongs to
// EL2. The counts are the accesses themselves; cycles come after them.

import { COST_MODELS, type CostModel } from '../host/costs.ts';
import { OWNERSHIP_DESIGNS, type OwnershipDesign } from '../hypervisor/params.ts';
import { ACCESSES, OPERATIONS, type Access, type Operation } from '../hypervisor/vtimer/accesses.ts';
import type { Image } from '../vmm/image.ts';
import type { BootOptions } from '../vmm/bootOptions.ts';
import { Machine } from '../vmm/machine.ts';
import type { Experiment, Row } from './experiment.ts';
import { runToPowerOff, tell } from './guestRun.ts';

const designs = Object.keys(OWNERSHIP_DESIGNS) as OwnershipDesign[];

/** Cycles for which one of two vCPUs keeps the CPU that they share: half of a deadline's distance. */
const SLICE = 25_000;

/** What the guest's variable `halts` says, and the host that it runs on. */
export const OWNERSHIP_LOADS = {
  'one busy vCPU': { halts: 0, machine: { vcpus: 1 } },
  'one vCPU that halts': { halts: 1, machine: { vcpus: 1 } },
  'two busy vCPUs on one CPU': { halts: 0, machine: { vcpus: 2, hostCpus: 1, slice: SLICE } },
} as const satisfies Record<string, { readonly halts: 0 | 1; readonly machine: Partial<BootOptions> }>;
export type OwnershipLoad = keyof typeof OWNERSHIP_LOADS;
const loads = Object.keys(OWNERSHIP_LOADS) as OwnershipLoad[];
const SWITCHING: OwnershipLoad = 'two busy vCPUs on one CPU';
const STEADY: OwnershipLoad = 'one busy vCPU';

export type AccessCounts = Readonly<Record<Access, number>>;

/** One operation of the hypervisor in one run: how often, and what it touched in total. */
export interface OperationCounts {
  readonly times: number;
  readonly accesses: AccessCounts;
  /** Modelled cycles of the accesses. */
  readonly cycles: number;
}

export interface OwnershipRun {
  readonly load: OwnershipLoad;
  readonly design: OwnershipDesign;
  readonly exits: number;
  /** Deadlines that passed and were told to the guest. */
  readonly expiries: number;
  /** Interrupts of the timer for which the host's handler found no reason, or did not expect them. */
  readonly spurious: number;
  readonly operations: Readonly<Record<Operation, OperationCounts>>;
  readonly total: AccessCounts;
  /** Modelled cycles of all of these accesses, and of the whole run. */
  readonly timerCycles: number;
  readonly cycles: number;
}

/** Accesses of one operation, as counted in the kernel's source and as they are here, on average. */
export interface SourceCount {
  readonly what: string;
  readonly expected: number;
  readonly here: number;
  readonly source: string;
}

export interface OwnershipComparison {
  readonly guest: string;
  readonly costModel: string;
  readonly runs: readonly OwnershipRun[];
  readonly source: readonly SourceCount[];
  readonly varied: string;
  readonly differs: string;
}

const GUEST = 'ownership';

export const timerOwnership: Experiment<OwnershipComparison> = {
  name: 'timer-ownership',
  summary: "who owns a vCPU's timer: save and restore by load and put, or by entry and exit (2017)",

  async run(load, costs = COST_MODELS['skylake-2020']) {
    const image = await load(GUEST);
    const runs = loads.flatMap((each) => designs.map((design) => runLoad(image, costs, each, design)));
    return {
      guest: `guests/${GUEST}.s`,
      costModel: costs.name,
      runs,
      source: inSource(runs),
      varied: 'when the registers of the timer are saved and restored, and whether the host runs at EL2 or below (nvhe); in each load the guest and everything else were the same', // prettier-ignore
      differs:
        'hypothetical on x86: the guest programs a timer of its CPU as TSC_DEADLINE without an exit, and its EOI ends the physical interrupt. No measurement of the commit itself was found; the counts are those of its source, and the costs of ARM registers are estimates', // prettier-ignore
    };
  },

  rows: ({ runs }) =>
    runs.flatMap(({ load, design, exits, expiries, operations }): Row[] =>
      OPERATIONS.map((operation) => {
        const { times, accesses, cycles } = operations[operation];
        return { load, design, machine: 'hypothetical on x86', exits, expiries, operation, times, ...accesses, cycles };
      }),
    ),

  scored: `modelled cycles on the timer's hardware (hypothetical on x86) for each exit, ${SWITCHING}`,
  async scores(load, costs) {
    const image = await load(GUEST);
    return designs.map((design) => {
      const { timerCycles, exits } = runLoad(image, costs, SWITCHING, design);
      return { design, score: timerCycles / exits };
    });
  },
};

function runLoad(image: Image, costs: CostModel, load: OwnershipLoad, design: OwnershipDesign): OwnershipRun {
  const { halts, machine: options } = OWNERSHIP_LOADS[load];
  // A halted vCPU blocks at once: polling would hide what blocking costs.
  const params = { ...OWNERSHIP_DESIGNS[design], haltPollNs: 0 };
  const machine = Machine.boot({ image, costs, params, ...options });
  tell(machine, 'halts', halts);
  runToPowerOff(machine, GUEST);

  const timers = machine.vm.vcpus.map(({ directTimer }) => directTimer!.timer);
  const sum = (of: (timer: (typeof timers)[number]) => number): number =>
    timers.reduce((all, each) => all + of(each), 0);
  const operations = table(OPERATIONS, (operation) => ({
    times: sum(({ accesses }) => accesses.times(operation)),
    accesses: table(ACCESSES, (access) => sum(({ accesses }) => accesses.of(operation, access))),
    cycles: sum(({ accesses }) => accesses.cycles(operation)),
  }));
  const all = Object.values(operations);
  return {
    load,
    design,
    exits: machine.counters.exits,
    expiries: sum(({ expiries }) => expiries),
    spurious: sum(({ spurious, unexpected }) => spurious + unexpected),
    operations,
    total: table(ACCESSES, (access) => all.reduce((count, { accesses }) => count + accesses[access], 0)),
    timerCycles: all.reduce((cycles, each) => cycles + each.cycles, 0),
    cycles: Math.max(...machine.host.cpus.map(({ now }) => now)),
  };
}

function table<Name extends string, Value>(names: readonly Name[], value: (name: Name) => Value): Record<Name, Value> {
  return Object.fromEntries(names.map((name) => [name, value(name)])) as Record<Name, Value>;
}

/** Operations that belong together. What is done after an expiry, apart from entries and exits, is the interrupt's. */
export const GROUPS: readonly (readonly [title: string, operations: readonly [Operation, ...Operation[]]])[] = [
  ['exit and entry', ['exit', 'entry']],
  ['load', ['load']],
  ['put', ['put']],
  ['block and unblock', ['schedule', 'unschedule']],
  ['timer interrupt', ['interrupt', 'emulation']],
];

/** Accesses of some kinds in operations, for each time that the first of these was done, over several runs. */
export function perOperation(
  runs: readonly OwnershipRun[],
  together: readonly [Operation, ...Operation[]],
  kinds: readonly Access[],
): number {
  let times = 0;
  let count = 0;
  for (const { operations } of runs) {
    times += operations[together[0]].times;
    for (const operation of together) for (const kind of kinds) count += operations[operation].accesses[kind];
  }
  return times === 0 ? 0 : count / times;
}

const OF_ONE_MOVE: readonly Access[] = ['reads', 'writes', 'isbs', 'distributorWrites'];
const OLDER = 'Linux 4.14, hyp/timer-sr.c';
const NEWER = 'Linux 4.19, arch_timer.c';

/** What the source says of an operation that finds something to do: so loads and puts of vCPUs that do not block. */
function inSource(runs: readonly OwnershipRun[]): SourceCount[] {
  const count = (
    design: OwnershipDesign,
    [what, operations, kinds]: readonly [string, readonly [Operation, ...Operation[]], readonly Access[]],
    expected: number,
    load: OwnershipLoad = STEADY,
  ): SourceCount => {
    const run = runs.find((each) => each.load === load && each.design === design)!;
    const here = perOperation([run], operations, kinds);
    return { what: `${design}: ${what}`, expected, here, source: design.startsWith('entry') ? OLDER : NEWER };
  };
  const reads = ['reads of an exit and entry', ['exit', 'entry'], ['reads']] as const;
  const writes = ['writes of an exit and entry', ['exit', 'entry'], ['writes']] as const;
  const loading = ['accesses of a load', ['load'], OF_ONE_MOVE] as const;
  const putting = ['accesses of a put', ['put'], OF_ONE_MOVE] as const;
  const handling = ['reads of a timer interrupt', ['interrupt'], ['reads']] as const;
  return [
    count('entry-exit', reads, 2),
    count('entry-exit', writes, 5),
    count('entry-exit-nvhe', reads, 4),
    count('entry-exit-nvhe', writes, 7),
    count('load-put', reads, 0),
    count('load-put', writes, 0),
    count('load-put', loading, 5, SWITCHING),
    count('load-put', putting, 4, SWITCHING),
    count('load-put', handling, 1),
  ];
}
