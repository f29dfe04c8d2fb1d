// Experiment: what the lazy TSC deadline saves. The same guest runs with the feature off and on, and the exits are compared
// in the shape of the series that proposed it (RFC "KVM: x86: add lazy tscdeadline", V2, July 2023). Returns data.
//
// Theory: netperf's TCP_RR over loopback makes a tickless kernel move its timer on every sleep and every wake-up, far more
// often than it expires. Each move is a WRMSR, and each WRMSR an exit; with the feature only a deadline earlier than the
// armed one is. Counts need no model of cost; only the times below do.

import type { ExitName } from '../cpu/exit.ts';
import type { LazyCounters } from '../hypervisor/pv/lazyTscDeadline.ts';
import { shortMsrName } from '../trace/perfReport.ts';
import { COST_MODELS, type CostModel } from '../host/costs.ts';
import type { Image } from '../vmm/image.ts';
import { Machine } from '../vmm/machine.ts';
import type { Experiment, Row } from './experiment.ts';
import { runToPowerOff } from './guestRun.ts';

/** One run, its rows by the names of the series. */
export interface LazyRun {
  /** VM exits by reason. */
  readonly exits: ReadonlyMap<string, number>;
  /** WRMSR that exited, by MSR. */
  readonly msrWrites: ReadonlyMap<string, number>;
  readonly console: string;
  /** When the last vCPU stopped, in modelled cycles from boot. */
  readonly cycles: number;
  /** What the host did to the shared pages, of all vCPUs. */
  readonly lazy: Omit<LazyCounters, 'clears'>;
}

/** A figure of the series beside ours: the share of exits that the feature saves, in percent. */
export interface Claim {
  readonly what: string;
  readonly author: number;
  readonly here: number;
}

export interface LazyComparison {
  readonly guest: string;
  readonly costModel: string;
  readonly off: LazyRun;
  readonly on: LazyRun;
  readonly claims: readonly Claim[];
  /** What differed between the two runs. */
  readonly varied: string;
  /** What differs between the author's test and this one. */
  readonly differs: string;
}

const GUEST = 'lazy';
const VCPUS = 2;
/** Exit reasons that the series has other names for; all others are VMX's in lower case. */
const NAMES: Partial<Record<ExitName, string>> = { EXTERNAL_INTERRUPT: 'intr', HLT: 'halt', IO_INSTRUCTION: 'io' };
/** With APIC virtualisation these do not exit, and the series has no rows for them. */
const VIRTUALISED = ['apic-eoi', 'apic-tpr', 'apic-self-ipi'];
/** The V2 table: exits without and with the feature. */
const SERIES = {
  msrWrites: { off: 10_046_340, on: 2_966_824 },
  deadlines: { off: 7_512_945, on: 185_629 },
} as const;

export const lazyTscDeadline: Experiment<LazyComparison> = {
  name: 'lazy-tscdeadline',
  summary: 'what a shared page saves in writes of the TSC deadline (RFC, 2023)',

  async run(load, costs = COST_MODELS['skylake-2020']) {
    const image = await load(GUEST);
    const off = runToEnd(image, costs, false);
    const on = runToEnd(image, costs, true);
    return {
      guest: `guests/${GUEST}.s`,
      costModel: costs.name,
      off,
      on,
      claims: [
        claim('tsc-deadline writes', SERIES.deadlines, deadlines(off), deadlines(on)),
        claim('msr-write exits, without EOI and TPR', SERIES.msrWrites, relevant(off), relevant(on)),
      ],
      varied: 'KVM_FEATURE_LAZY_TSCDEADLINE (CPUID 0x40000001 EAX bit 18); the guest and everything else were the same',
      differs:
        'EOI and TPR exit here, as there is no APIC virtualisation yet, so compare deadline writes; and the load writes two deadlines for each IPI, netperf wrote three',
    };
  },

  rows: ({ off, on }) => [
    ...tableRows('vm-exit', off.exits, on.exits),
    ...tableRows('msr-write', off.msrWrites, on.msrWrites),
  ],

  scored: 'WRMSR that exit, other than those that APIC virtualisation would take',
  async scores(load, costs) {
    const image = await load(GUEST);
    return [
      { design: 'off', score: relevant(runToEnd(image, costs, false)) },
      { design: 'on', score: relevant(runToEnd(image, costs, true)) },
    ];
  },
};

const deadlines = ({ msrWrites }: LazyRun): number => msrWrites.get('tsc-deadline') ?? 0;
const relevant = ({ msrWrites }: LazyRun): number =>
  [...msrWrites].reduce((sum, [name, count]) => (VIRTUALISED.includes(name) ? sum : sum + count), 0);

const claim = (what: string, author: { off: number; on: number }, off: number, on: number): Claim => ({
  what,
  author: saved(author.off, author.on),
  here: saved(off, on),
});

const tableRows = (table: string, off: ReadonlyMap<string, number>, on: ReadonlyMap<string, number>): Row[] =>
  [...new Set([...off.keys(), ...on.keys()])].map((name) => ({
    table,
    name,
    off: off.get(name) ?? 0,
    on: on.get(name) ?? 0,
  }));

/** Percent of exits that went away. */
const saved = (off: number, on: number): number => (off === 0 ? 0 : (100 * (off - on)) / off);

function runToEnd(image: Image, costs: CostModel, lazy: boolean): LazyRun {
  const machine = Machine.boot({ image, vcpus: VCPUS, costs, features: lazy ? ['lazy-tscdeadline'] : [] });
  runToPowerOff(machine, GUEST);
  const { byReason, msrWrites } = machine.counters;
  const name = (reason: ExitName): string => NAMES[reason] ?? reason.toLowerCase().replaceAll('_', '-');
  const counters = machine.vm.vcpus.map((vcpu) => vcpu.lapic.timer.lazy.counters);
  const total = (field: 'updates' | 'kicks' | 'rearms' | 'spurious'): number =>
    counters.reduce((sum, each) => sum + each[field], 0);
  return {
    exits: new Map([...byReason].map(([reason, count]) => [name(reason), count])),
    msrWrites: new Map([...msrWrites].map(([msr, count]) => [shortMsrName(msr), count])),
    console: machine.console.text,
    cycles: Math.max(...machine.host.cpus.map((cpu) => cpu.now)),
    lazy: { updates: total('updates'), kicks: total('kicks'), rearms: total('rearms'), spurious: total('spurious') },
  };
}
