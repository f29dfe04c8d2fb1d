// Experiment: what an IPI costs where it is handled early. The same guest sends a thousand interrupts to a running target
// and as many to a halted one, under every design of the fast path (seed 004: KVM list, November 2019, and what became of
// it), on a quiet host and on one whose interrupts are busy. Returns data.
//
// Theory: what lies between the sender's exit and its IPI is counted at the probes, in primitives of the host; no model of
// cost is needed for that. The latency is the guest's own, from its clock before the WRMSR to its clock in the handler. A
// design that sends before the host has had its interrupts on is not hit by one that became due during the exit; one that
// sends after that window waits for its handler, which shows in p99 and in the maximum.

import { COST, COST_MODELS, type CostModel, type PrimitiveName } from '../host/costs.ts';
import { FASTPATH_DESIGNS, type FastpathDesign } from '../hypervisor/params.ts';
import { Probes } from '../trace/probes.ts';
import type { Image } from '../vmm/image.ts';
import { Machine } from '../vmm/machine.ts';
import { distributionOf, type Distribution } from './distribution.ts';
import type { Experiment, Row } from './experiment.ts';
import { runToPowerOff, samplesOf } from './guestRun.ts';
import { BUSY, BusyInterrupts, type InterruptLoad } from './interruptLoad.ts';

/** In cycles of the guest's clock, from the sender's WRMSR of the ICR on. */
export interface IpiLatency {
  /** Until the handler of a target that ran, and of one that had halted. */
  readonly running: Distribution;
  readonly halted: Distribution;
  /** Until the sender's own next instruction. */
  readonly sender: Distribution;
}

/** Charges of host primitives between an exit that sends an IPI and the IPI, averaged over the IPIs of a run. */
export type BeforeSending = Readonly<Record<CountedStep, number>>;

/** One design, on both hosts. */
export interface IpiRun {
  readonly design: FastpathDesign;
  readonly beforeSending: BeforeSending;
  readonly alone: IpiLatency;
  readonly loaded: IpiLatency;
  /** IPIs of a thousand that waited for a handler of the host before they were sent, under the load. */
  readonly waited: number;
}

/** A difference between two designs, as published and as it is here; in cycles, the median of the running target. */
export interface PublishedDifference {
  readonly what: string;
  readonly published: number;
  readonly here: number;
  readonly source: string;
}

export interface IpiComparison {
  readonly guest: string;
  readonly costModel: string;
  readonly load: InterruptLoad;
  readonly runs: readonly IpiRun[];
  readonly published: readonly PublishedDifference[];
  readonly varied: string;
  readonly differs: string;
}

const GUEST = 'ipilatency';
const DEFAULT_COSTS = COST_MODELS['skylake-2020'];
const SENDER = 0;
/** Samples of each array that the guest leaves in memory. */
const SAMPLES = 1000;

/** The steps that the designs differ in. */
export const COUNTED_STEPS = ['srcu', 'vmread', 'interruptWindow', 'exitDispatch', 'msrDispatch', 'hardirq'] as const;
export type CountedStep = (typeof COUNTED_STEPS)[number] & PrimitiveName;

export const ipiFastpath: Experiment<IpiComparison> = {
  name: 'ipi-fastpath',
  summary: 'what an IPI costs under each design of the fast path (2019 to today)',
  async run(load, costs = DEFAULT_COSTS) {
    const image = await load(GUEST);
    const runs = FASTPATH_DESIGNS.map((design): IpiRun => {
      const alone = send(image, costs, design, null);
      const loaded = send(image, costs, design, BUSY);
      const waited = Math.round(loaded.beforeSending.hardirq * 1000);
      return { design, beforeSending: alone.beforeSending, alone: alone.latency, loaded: loaded.latency, waited };
    });
    return {
      guest: `guests/${GUEST}.s`,
      costModel: costs.name,
      load: BUSY,
      runs,
      published: published(runs),
      varied: 'where KVM handles a WRMSR of the ICR; the guest and everything else were the same',
      differs:
        'the published figures are of whole kernels that differed in more than this, on Skylake servers; here the cycles are modelled',
    };
  },

  rows: ({ runs }) =>
    runs.flatMap(({ design, beforeSending, alone, loaded, waited }): Row[] =>
      (['running', 'halted', 'sender'] as const).map((until) => ({
        design,
        until,
        ...columns('alone', alone[until]),
        ...columns('loaded', loaded[until]),
        ...beforeSending,
        waited,
      })),
    ),

  scored: "the median of the cycles until a running target's handler, on a quiet host",
  async scores(load, costs) {
    const image = await load(GUEST);
    return FASTPATH_DESIGNS.map((design) => {
      return { design, score: send(image, costs, design, null).latency.running.median };
    });
  },
};

const columns = (host: string, { median, p99, max }: Distribution): Row => ({
  [`${host} median`]: median,
  [`${host} p99`]: p99,
  [`${host} max`]: max,
});

function send(image: Image, costs: CostModel, design: FastpathDesign, interrupts: InterruptLoad | null) {
  const probes = new Probes();
  // Guest code must not run further ahead than an IPI takes to arrive, or the IPI would come late.
  const quantum = costs.cycles[COST.ipiLatency]!;
  // The halted target sleeps, so that its wake-up is part of the latency.
  const params = { fastpath: design, haltPollNs: 0 };
  const machine = Machine.boot({ image, vcpus: 2, costs, quantum, probes, params });
  const sender = machine.vm.vcpus[SENDER]!.cpu;
  if (interrupts !== null) new BusyInterrupts(machine.host, sender, interrupts);

  const atExit = new Float64Array(sender.charged.length);
  const charges = new Float64Array(sender.charged.length);
  let sent = 0;
  probes.subscribe((name, event) => {
    if (!('vcpu' in event) || event.vcpu !== SENDER) return;
    if (name === 'kvm_exit') atExit.set(sender.charged);
    if (name !== 'kvm_apic_ipi') return;
    sent++;
    for (let i = 0; i < charges.length; i++) charges[i]! += sender.charged[i]! - atExit[i]!;
  });

  runToPowerOff(machine, GUEST);
  const beforeSending = Object.fromEntries(COUNTED_STEPS.map((step) => [step, charges[COST[step]]! / sent]));
  const latencies = (array: string): Distribution => distributionOf(samplesOf(machine, array, SAMPLES));
  return {
    beforeSending: beforeSending as BeforeSending,
    latency: {
      running: latencies('running'),
      halted: latencies('halted'),
      sender: latencies('running_sender'),
    },
  };
}

function published(runs: readonly IpiRun[]): PublishedDifference[] {
  const median = (design: FastpathDesign): number => runs.find((run) => run.design === design)!.alone.running.median;
  const change = (from: FastpathDesign, to: FastpathDesign): number => median(to) - median(from);
  return [
    { what: 'off -> v1', published: -330, here: change('off', 'v1'), source: 'cover of v1, Nov 2019' },
    { what: 'off -> irqoff', published: -200, here: change('off', 'irqoff'), source: 'v2, Nov 2019 ("200+")' },
    { what: 'v1 -> irqoff', published: 100, here: change('v1', 'irqoff'), source: 'Wanpeng Li, measured' },
    { what: 'v1 -> irqoff', published: 50, here: change('v1', 'irqoff'), source: 'Sean Christopherson, estimated' },
  ];
}
