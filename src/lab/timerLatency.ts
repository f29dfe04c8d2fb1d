// Experiment: how late a deadline's interrupt is, by what carries the deadline. The same guest arms a thousand deadlines that
// find it running, and as many that find it halted. Returns data.
//
// Theory: the deadline of a running vCPU is kept by an hrtimer of the host, whose interrupt ends guest mode before its
// callback makes the guest's timer expire; or by the VMX preemption timer, which ends guest mode by itself and needs
// neither interrupt nor callback. A fast path makes arming cheaper, but not the interrupt sooner: whoever has an interrupt
// to inject leaves the inner loop. With APIC virtualisation nothing is injected, and the guest goes on from the inner loop. A
// vCPU that has halted cannot count in guest mode: an hrtimer wakes it in any case. A posted timer interrupt costs the vCPU
// no exit, running or halted, and the way over another CPU instead; as that guest halts in guest mode, its HLT does not exit
// either. The preemption timer's grain is 32 cycles, so the guest arms at chance distances from it; in step, each design would be early
// by a figure of its own.

import { COST, COST_MODELS, type CostModel } from '../host/costs.ts';
import type { KvmParams } from '../hypervisor/params.ts';
import type { Image } from '../vmm/image.ts';
import { Machine } from '../vmm/machine.ts';
import { distributionOf, type Distribution } from './distribution.ts';
import type { Experiment, Row } from './experiment.ts';
import { runToPowerOff, samplesOf } from './guestRun.ts';
import { BUSY, BusyInterrupts, type InterruptLoad } from './interruptLoad.ts';

/** What would hide the path that is measured: a vCPU that has halted sleeps at once. */
const PLAIN = { haltPollNs: 0, lapicTimerAdvance: false } as const;

/**
 * `sw`: an hrtimer. `hv`: the preemption timer. `hv+fast`: that, and fast paths. `hv+apicv`: and APIC virtualisation. `posted`: an
 * hrtimer on a housekeeping CPU, which posts the interrupt; HLT does not exit, as KVM demands for it.
 */
export const TIMER_DESIGNS = {
  sw: { ...PLAIN, preemptionTimer: false, fastpath: 'off' },
  hv: { ...PLAIN, preemptionTimer: true, fastpath: 'off' },
  'hv+fast': { ...PLAIN, preemptionTimer: true, fastpath: 'reenter' },
  'hv+apicv': { ...PLAIN, preemptionTimer: true, fastpath: 'reenter', apicv: true },
  posted: { ...PLAIN, preemptionTimer: true, fastpath: 'reenter', apicv: true, piInjectTimer: true, hltInGuest: true },
} as const satisfies Record<string, Partial<KvmParams>>;
export type TimerDesign = keyof typeof TIMER_DESIGNS;

/** In cycles of the guest's clock. */
export interface Lateness {
  /** From the deadline to the handler, of a guest that ran and of one that had halted; each sample in order. */
  readonly running: readonly number[];
  readonly halted: readonly number[];
  /** From before the WRMSR of TSC_DEADLINE to the next instruction. */
  readonly arming: Distribution;
}

export interface TimerRun {
  readonly design: TimerDesign;
  readonly exits: number;
  /** Interrupts of the host that its CPU took, timers and the load's. */
  readonly hostInterrupts: number;
  readonly alone: Lateness;
  readonly loaded: Lateness;
}

export interface TimerComparison {
  readonly guest: string;
  readonly costModel: string;
  readonly load: InterruptLoad;
  readonly runs: readonly TimerRun[];
  readonly varied: string;
  readonly differs: string;
}

const GUEST = 'timerlatency';
const SAMPLES = 1000;
const HOUSEKEEPING = 1;
const designs = Object.keys(TIMER_DESIGNS) as TimerDesign[];

export const timerLatency: Experiment<TimerComparison> = {
  name: 'timer-latency',
  summary: 'how late a deadline is, by what carries it: hrtimer, preemption timer, posted interrupt',

  async run(load, costs = COST_MODELS['skylake-2020']) {
    const image = await load(GUEST);
    const runs = designs.map((design): TimerRun => {
      const { exits, hostInterrupts, lateness } = wait(image, costs, design, null);
      return { design, exits, hostInterrupts, alone: lateness, loaded: wait(image, costs, design, BUSY).lateness };
    });
    return {
      guest: `guests/${GUEST}.s`,
      costModel: costs.name,
      load: BUSY,
      runs,
      varied:
        'what carries the deadline of a vCPU (kvm_intel.preemption_timer, kvm.pi_inject_timer), fast paths, and APIC virtualisation',
      differs:
        'lapic_timer_advance and halt polling, which KVM has on by default, are off so as not to hide the carrier; and a timer always moves to the housekeeping CPU, where Linux keeps one that would be the first there',
    };
  },

  rows: ({ runs }) =>
    runs.flatMap(({ design, alone, loaded }): Row[] =>
      (['alone', 'loaded'] as const).flatMap((host) =>
        (['running', 'halted'] as const).map((guest) => {
          const { count, median, p99, max } = distributionOf((host === 'alone' ? alone : loaded)[guest]);
          return { design, host, guest, count, median, p99, max };
        }),
      ),
    ),

  scored: 'the median of the cycles from a deadline to the handler of a running guest, on a quiet host',
  async scores(load, costs) {
    const image = await load(GUEST);
    return designs.map((design) => {
      return { design, score: distributionOf(wait(image, costs, design, null).lateness.running).median };
    });
  },
};

function wait(image: Image, costs: CostModel, design: TimerDesign, interrupts: InterruptLoad | null) {
  // Each has a housekeeping CPU; only `posted` has timers there.
  const elsewhere = design === 'posted' ? { housekeeping: HOUSEKEEPING } : {};
  const machine = Machine.boot({
    image,
    costs,
    hostCpus: 1 + HOUSEKEEPING,
    params: TIMER_DESIGNS[design],
    ...elsewhere,
  });
  const [cpu] = machine.host.cpus;
  if (interrupts !== null) new BusyInterrupts(machine.host, cpu!, interrupts);
  runToPowerOff(machine, GUEST);
  const { exits } = machine.counters;
  const lateness: Lateness = {
    running: [...samplesOf(machine, 'running', SAMPLES)],
    halted: [...samplesOf(machine, 'halted', SAMPLES)],
    arming: distributionOf(samplesOf(machine, 'running_arming', SAMPLES)),
  };
  return { exits, hostInterrupts: cpu!.charged[COST.hardirq]!, lateness };
}
