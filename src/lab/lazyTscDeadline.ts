// Experiment: what the lazy TSC deadline saves, and what its versions cost. The same guest runs without the feature, and with
// a host that speaks V2, V3 or the fixed protocol; exits are compared in the shape of the series that proposed it (RFC "KVM:
// x86: add lazy tscdeadline", July 2023), for as many transactions and for as much time. Returns data.
//
// Theory: netperf's TCP_RR over loopback makes a tickless kernel move its timer three times for every sleep: the tick is put
// off on the way into idle, cancelled on the way out (which brings up the next hrtimer), and started again. Each move is a
// WRMSR, and each WRMSR an exit; with the feature only a deadline earlier than the armed one is. So what is saved hangs on
// how often the timer moves for each time it expires: that is the sweep. Counts need no model of cost; only the times do.

import type { ExitName } from '../cpu/exit.ts';
import { COST_MODELS, type CostModel } from '../host/costs.ts';
import type { PvFeature } from '../hypervisor/pv/features.ts';
import type { KvmParams } from '../hypervisor/params.ts';
import { shortMsrName } from '../trace/perfReport.ts';
import type { Image } from '../vmm/image.ts';
import { Machine } from '../vmm/machine.ts';
import type { Experiment, Row } from './experiment.ts';
import { runToPowerOff, samplesOf, tell, told } from './guestRun.ts';
import { PUBLISHED, type PublishedTable } from './lazyPublished.ts';

const LAZY: readonly PvFeature[] = ['lazy-tscdeadline'];
/** The positions of the switch; the APIC is virtualised in all, as the author's was by his rows. */
export const LAZY_DESIGNS = {
  off: { features: [], params: { apicv: true } },
  v2: { features: LAZY, params: { apicv: true, lazyTscdeadline: 'v2' } },
  v3: { features: LAZY, params: { apicv: true, lazyTscdeadline: 'v3' } },
  fixed: { features: LAZY, params: { apicv: true, lazyTscdeadline: 'fixed' } },
} as const satisfies Record<string, { features: readonly PvFeature[]; params: Partial<KvmParams> }>;
export type LazyDesign = keyof typeof LAZY_DESIGNS;
export const lazyDesigns = Object.keys(LAZY_DESIGNS) as LazyDesign[];

/** Why the guest programmed its clock-event device, in its own order. */
export const LAZY_CAUSES = [
  'idle enter: tick put off to the wheel',
  'idle exit: tick cancelled, next hrtimer',
  'idle exit: tick started again',
  'tick or watchdog expired',
  'interrupt, but nothing had expired',
] as const;

/** What the guest does: as many transactions, or as much time. */
export interface LazyLoad {
  readonly transactions?: number;
  /** Cycles of the guest's clock. */
  readonly cycles?: number;
  /** Turns of a loop of two instructions for each request and each answer; the guest's own choice when left out. */
  readonly work?: number;
}

export interface LazyRun {
  readonly design: LazyDesign;
  readonly transactions: number;
  /** From the first request to the end of the last, by the guest's clock. */
  readonly cycles: number;
  /** Exits by the series' names, `sum` among them. */
  readonly exits: ReadonlyMap<string, number>;
  /** WRMSR that exited, by MSR, with `msr sum`. */
  readonly msrWrites: ReadonlyMap<string, number>;
  /** Interrupts that the guest took, by V3's names of their vectors. */
  readonly interrupts: ReadonlyMap<string, number>;
  /** Exits before and behind the load, for which the series has no rows. */
  readonly others: number;
  /** Deadlines that the guest programmed, and those that became WRMSR, by LAZY_CAUSES. */
  readonly asked: readonly number[];
  readonly written: readonly number[];
  /** Retransmit timers that were armed, and those that moved the wheel's next expiry. */
  readonly rtoArmed: number;
  readonly rtoMoved: number;
  /** What the guest found out about its own ticks. Late: by more than 10 us. Cycles. */
  readonly ticks: { readonly taken: number; readonly late: number; readonly lost: number; readonly latest: number };
  /** What the host did to the shared pages. */
  readonly host: { readonly kicks: number; readonly rearms: number; readonly spurious: number };
}

export interface SweepPoint {
  readonly work: number;
  /** Deadlines programmed for each timer interrupt, without the feature. */
  readonly rearmsPerExpiry: number;
  readonly cyclesPerTransaction: number;
  /** Percent of what exited without the feature. */
  readonly saved: Readonly<Record<'v2' | 'fixed', { deadlines: number; msrWrites: number; exits: number }>>;
}

export interface LazyComparison {
  readonly guest: string;
  readonly costModel: string;
  readonly equalTransactions: readonly LazyRun[];
  readonly equalTime: readonly LazyRun[];
  readonly published: readonly PublishedTable[];
  readonly sweep: readonly SweepPoint[];
  /** What differed between the runs. */
  readonly varied: string;
  /** What differs between the author's test and this one. */
  readonly differs: string;
}

const GUEST = 'lazy';
const VCPUS = 2;
const ENDLESS = 1e9;
const SCORED_TRANSACTIONS = 300;

/** How much of the load a comparison takes: transactions, cycles of equal time, and each point of the sweep. */
export interface LazyExtent {
  readonly transactions: number;
  readonly cycles: number;
  readonly sweep: { readonly cycles: number; readonly work: readonly number[] };
}
/** 40 ms, and 12 ms for each point. */
const FULL: LazyExtent = {
  transactions: 2000,
  cycles: 100e6,
  sweep: { cycles: 30e6, work: [2000, 7500, 25_000, 100_000, 400_000, 1_500_000] },
};
/** For a first look: no sweep. */
export const BRIEF_LAZY: LazyExtent = { transactions: 300, cycles: 10e6, sweep: { cycles: 0, work: [] } };

/** The series' rows; other reasons are the guest's boot and its console. */
const EXITS: Partial<Record<ExitName, string>> = {
  EXTERNAL_INTERRUPT: 'intr',
  CPUID: 'cpuid',
  HLT: 'halt',
  MSR_WRITE: 'msr-write',
  PAUSE_INSTRUCTION: 'pause',
  EPT_VIOLATION: 'ept-violation',
  EPT_MISCONFIG: 'ept-misconfig',
  PREEMPTION_TIMER: 'preemption-timer',
};

export const lazyTscDeadline: Experiment<LazyComparison> = {
  name: 'lazy-tscdeadline',
  summary: 'what a shared page saves in writes of the TSC deadline (RFC, 2023), and the races of its versions',

  async run(load, costs = COST_MODELS['skylake-2020']) {
    return compareLazy(await load(GUEST), costs);
  },

  rows: ({ equalTransactions, equalTime, sweep }) => [
    ...tableRows('equal transactions', equalTransactions),
    ...tableRows('equal time', equalTime),
    ...sweep.flatMap(({ rearmsPerExpiry, saved }) =>
      (['deadlines', 'msrWrites', 'exits'] as const).map((what) => ({
        table: `${what} saved in percent, by deadlines per expiry`,
        name: rearmsPerExpiry.toFixed(1),
        off: 0,
        v2: rounded(saved.v2[what]),
        v3: '',
        fixed: rounded(saved.fixed[what]),
      })),
    ),
  ],

  scored: `the modelled cycles of a transaction, of ${SCORED_TRANSACTIONS}`,
  async scores(load, costs) {
    const image = await load(GUEST);
    return lazyDesigns.map((design) => {
      const { cycles, transactions } = runLazy(image, costs, design, { transactions: SCORED_TRANSACTIONS });
      return { design, score: cycles / transactions };
    });
  },
};

/** Runs the guest under every position of the switch. */
export function compareLazy(image: Image, costs: CostModel, extent = FULL): LazyComparison {
  const { transactions, cycles, sweep } = extent;
  const under = (what: LazyLoad): LazyRun[] => lazyDesigns.map((design) => runLazy(image, costs, design, what));
  return {
    guest: `guests/${GUEST}.s`,
    costModel: costs.name,
    equalTransactions: under({ transactions }),
    equalTime: under({ cycles }),
    published: PUBLISHED,
    sweep: sweep.work.map((work) => sweepPoint(image, costs, { work, cycles: sweep.cycles })),
    varied:
      'KVM_FEATURE_LAZY_TSCDEADLINE (CPUID 0x40000001 EAX bit 18) and the protocol of the host; in the sweep the work of each message; the guest and everything else were the same',
    differs:
      'a guest of 400 lines with the timer code of Linux and 6 us of a loop in place of TCP for each message; HZ = 1000; a host without interrupts of its own; hardware, length and HZ of his runs are not published',
  };
}

/** Runs the guest once, to its end. */
export function runLazy(image: Image, costs: CostModel, design: LazyDesign, load: LazyLoad): LazyRun {
  const machine = Machine.boot({ image, vcpus: VCPUS, costs, ...LAZY_DESIGNS[design] });
  tell(machine, 'requests', load.transactions ?? ENDLESS);
  tell(machine, 'run_cycles', load.cycles ?? 0);
  if (load.work !== undefined) tell(machine, 'work', load.work);
  runToPowerOff(machine, GUEST);

  const { byReason, msrWrites } = machine.counters;
  const writes = new Map([
    ['msr sum', 0],
    ['apic-icr', 0],
    ['tsc-deadline', 0],
  ]);
  for (const [msr, count] of msrWrites) {
    writes.set(shortMsrName(msr), count);
    writes.set('msr sum', writes.get('msr sum')! + count);
  }
  const exits = new Map([['sum', 0]]);
  let others = 0;
  for (const name of Object.values(EXITS)) exits.set(name, 0);
  for (const [reason, count] of byReason) {
    const name = EXITS[reason];
    if (name === undefined) others += count;
    else exits.set(name, count);
  }
  exits.set('sum', total([...exits.values()]));

  const guest = machine.vm.vcpus.map(({ id }) => countsOf(machine, id));
  const sum = (field: (counts: GuestCounts) => number): number => total(guest.map(field));
  const hosts = machine.vm.vcpus.map((vcpu) => vcpu.lapic.timer.lazy.counters);
  return {
    design,
    transactions: told(machine, 'requests'),
    cycles: told(machine, 'run_cycles'),
    exits,
    msrWrites: writes,
    interrupts: new Map([
      ['vector 236', sum((counts) => counts.timerInterrupts)],
      ['vector 251', sum((counts) => counts.ipis)],
    ]),
    others,
    asked: LAZY_CAUSES.map((_, cause) => sum(({ asked }) => asked[cause]!)),
    written: LAZY_CAUSES.map((_, cause) => sum(({ written }) => written[cause]!)),
    rtoArmed: sum((counts) => counts.rtoArmed),
    rtoMoved: sum((counts) => counts.rtoMoved),
    ticks: {
      taken: sum((counts) => counts.ticks),
      late: sum((counts) => counts.late),
      lost: sum((counts) => counts.lost),
      latest: Math.max(...guest.map(({ latest }) => latest)),
    },
    host: {
      kicks: total(hosts.map(({ kicks }) => kicks)),
      rearms: total(hosts.map(({ rearms }) => rearms)),
      spurious: total(hosts.map(({ spurious }) => spurious)),
    },
  };
}

const COUNTERS = ['timerInterrupts', 'ipis', 'ticks', 'late', 'latest', 'lost', 'rtoArmed', 'rtoMoved'] as const;
type GuestCounts = Readonly<Record<(typeof COUNTERS)[number], number>> & {
  readonly asked: readonly number[];
  readonly written: readonly number[];
};

/** What lies at `counts` in the guest. */
function countsOf(machine: Machine, vcpu: number): GuestCounts {
  const causes = LAZY_CAUSES.length;
  const words = [...samplesOf(machine, 'counts', 2 * causes + COUNTERS.length, vcpu)];
  const rest = words.slice(2 * causes);
  const counters = Object.fromEntries(COUNTERS.map((name, i) => [name, rest[i]!])) as Record<
    (typeof COUNTERS)[number],
    number
  >;
  return { ...counters, asked: words.slice(0, causes), written: words.slice(causes, 2 * causes) };
}

function sweepPoint(image: Image, costs: CostModel, load: LazyLoad & { work: number }): SweepPoint {
  const run = (design: LazyDesign): LazyRun => runLazy(image, costs, design, load);
  const off = run('off');
  const than = (on: LazyRun) => ({
    deadlines: savedOf(off, on, 'tsc-deadline'),
    msrWrites: savedOf(off, on, 'msr-write'),
    exits: savedOf(off, on, 'sum'),
  });
  return {
    work: load.work,
    rearmsPerExpiry: total(off.asked) / countOf(off, 'vector 236'),
    cyclesPerTransaction: off.cycles / off.transactions,
    saved: { v2: than(run('v2')), fixed: than(run('fixed')) },
  };
}

/** A row of a run by its name, of whichever table. */
export const countOf = ({ exits, msrWrites, interrupts }: LazyRun, name: string): number =>
  exits.get(name) ?? msrWrites.get(name) ?? interrupts.get(name) ?? 0;

/** By how many percent a row changed; null where there was none. */
export function changeOf(before: number, after: number): number | null {
  return before === 0 ? null : 100 * (after / before - 1);
}

/** Percent of a row that went away, for each transaction. */
export function savedOf(off: LazyRun, on: LazyRun, name: string): number {
  const before = countOf(off, name) / off.transactions;
  return before === 0 ? 0 : 100 * (1 - countOf(on, name) / on.transactions / before);
}

const rounded = (percent: number): number => Number(percent.toFixed(2));
const total = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

function tableRows(table: string, runs: readonly LazyRun[]): Row[] {
  const row = (name: string, of: (run: LazyRun) => number): Row => ({
    table,
    name,
    ...Object.fromEntries(runs.map((run) => [run.design, of(run)])),
  });
  const [off] = runs;
  return [
    row('transactions', (run) => run.transactions),
    row('cycles', (run) => run.cycles),
    ...[...off!.exits.keys(), ...off!.msrWrites.keys(), ...off!.interrupts.keys()].map((name) =>
      row(name, (run) => countOf(run, name)),
    ),
    ...LAZY_CAUSES.map((cause, i) => row(`asked: ${cause}`, (run) => run.asked[i]!)),
    ...LAZY_CAUSES.map((cause, i) => row(`written: ${cause}`, (run) => run.written[i]!)),
    row('ticks', ({ ticks }) => ticks.taken),
    row('ticks late', ({ ticks }) => ticks.late),
    row('ticks lost', ({ ticks }) => ticks.lost),
  ];
}
