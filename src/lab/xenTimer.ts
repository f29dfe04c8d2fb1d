// Experiment: how late Xen's singleshot timer is, and what becomes of its ticks, by who raises the event: the vCPU in its run loop, or
// the timer's callback (seed 000). The same guest sleeps three hundred times while it runs, and as often halted. Returns data.
//
// Theory: the event is the same work in either place; what the callback saves is the way to it. A vCPU whose timer expires on its
// own CPU has left guest mode for that interrupt anyway, and one that has halted must wake up in any case: there it is the request
// to look at the timer, and the round through the run loop. Where the interrupt could be posted, because the vCPU has a vector of
// its own on a virtualised APIC, and where another CPU of the host keeps the timer, a vCPU that has to do it must be brought out of guest
// mode only for that.
//
// In hard interrupt context shared_info may not be waited for. When it is away, the callback leaves the tick to the vCPU; when
// only vcpu_info is away, the word goes to the hypervisor's shadow. Ticks are counted by the guest, which has a watchdog that
// knows nothing of Xen: a tick that does not come is lost. Whoever moves the guest reads the timer, and what he reads is all that
// arrives there: here the VMM stops the vCPU at chance moments, reads the timer some time later and writes the same back, so
// that a tick which was neither in the timer nor in guest memory is lost for the guest, as it would be on another host.

import { COST_MODELS, type CostModel } from '../host/costs.ts';
import { Random } from '../host/random.ts';
import { XEN_TIMER_DESIGNS, type KvmParams, type XenTimerDesign } from '../hypervisor/params.ts';
import { getXenVcpuAttr, setXenVcpuAttr } from '../hypervisor/xen/attributes.ts';
import type { BootOptions } from '../vmm/bootOptions.ts';
import type { Image } from '../vmm/image.ts';
import { Machine } from '../vmm/machine.ts';
import { AtChance, takePage } from './atChance.ts';
import { distributionOf, type Distribution } from './distribution.ts';
import type { Experiment, Row } from './experiment.ts';
import { runToPowerOff, samplesOf, tell, told } from './guestRun.ts';
import { BUSY, BusyInterrupts, type InterruptLoad } from './interruptLoad.ts';

/** What would hide the path that is measured: a vCPU that has halted sleeps at once. */
const PLAIN = { haltPollNs: 0, lapicTimerAdvance: false } as const;
/** A CPU of the host that does nothing else. */
const ELSEWHERE = 1;

interface Setting {
  readonly options?: Partial<BootOptions>;
  readonly params?: Partial<KvmParams>;
  /** The vCPU has an upcall vector of its own, instead of the callback vector. */
  readonly ownVector?: boolean;
  readonly load?: boolean;
  readonly pagesAway?: boolean;
  readonly moves?: boolean;
}

/**
 * `alone`: nothing else on the host. `loaded`: interrupts of devices on the vCPU's CPU. `posted`: interrupts are posted, and another
 * CPU keeps the timers. `away`: the host takes the guest's pages. `moved`: that, and the VMM carries the timer over.
 */
export const XEN_TIMER_SETTINGS = {
  alone: {},
  loaded: { load: true },
  posted: { ownVector: true, params: { apicv: true }, options: { housekeeping: ELSEWHERE } },
  away: { pagesAway: true },
  moved: { pagesAway: true, moves: true },
} as const satisfies Record<string, Setting>;
export type XenTimerSetting = keyof typeof XEN_TIMER_SETTINGS;

export interface XenTimerCase {
  /** From the time that was asked for to the handler, in nanoseconds of the guest's clock; each sample in order. */
  readonly running: readonly number[];
  readonly halted: readonly number[];
  /** From before the hypercall that arms the timer to the next instruction, in nanoseconds. */
  readonly arming: Distribution;
  /** As the guest counts them. */
  readonly ticks: { readonly armed: number; readonly taken: number; readonly lost: number };
  /** As the hypervisor counts them: raised by the callback, by the vCPU; and of all, by the shadow. */
  readonly paths: { readonly fast: number; readonly deferred: number; readonly shadowed: number };
  readonly exits: number;
  readonly pagesTaken: number;
  /** How often the timer was read and written back, and how often then an event waited in the shadow. */
  readonly moves: Moves;
}

export interface Moves {
  readonly times: number;
  readonly held: number;
}

export interface XenTimerRun {
  readonly design: XenTimerDesign;
  readonly cases: Readonly<Record<XenTimerSetting, XenTimerCase>>;
}

export interface XenTimerComparison {
  readonly guest: string;
  readonly costModel: string;
  readonly load: InterruptLoad;
  /** Nanoseconds between two pages that the host takes, and between two moves, on average. */
  readonly pageEvery: number;
  readonly moveEvery: number;
  /** Nanoseconds at most from the stop of the vCPU until its timer is read. */
  readonly readAfter: number;
  readonly runs: readonly XenTimerRun[];
  readonly varied: string;
  readonly differs: string;
}

const GUEST = 'xenlatency';
const SAMPLES = 300;
const SEED = 1;
const CYCLES_PER_NS = 2.5;
/** Cycles. */
const PAGE_EVERY = 125_000;
const MOVE_EVERY = 250_000;
/** What the VMM does before it reads the timer takes up to so many cycles. */
const READ_AFTER = 125_000;
const settings = Object.keys(XEN_TIMER_SETTINGS) as XenTimerSetting[];

export const xenTimer: Experiment<XenTimerComparison> = {
  name: 'xen-timer',
  summary: "how late Xen's singleshot timer is and which ticks get lost, by who raises its event (2022 to 2023)",

  async run(load, costs = COST_MODELS['skylake-2020']) {
    const image = await load(GUEST);
    const runs = XEN_TIMER_DESIGNS.map((design): XenTimerRun => {
      const cases = settings.map((setting) => [setting, sleep(image, costs, design, XEN_TIMER_SETTINGS[setting])]);
      return { design, cases: Object.fromEntries(cases) as XenTimerRun['cases'] };
    });
    return {
      guest: `guests/${GUEST}.s`,
      costModel: costs.name,
      load: BUSY,
      pageEvery: PAGE_EVERY / CYCLES_PER_NS,
      moveEvery: MOVE_EVERY / CYCLES_PER_NS,
      readAfter: READ_AFTER / CYCLES_PER_NS,
      runs,
      varied:
        "who raises the event of Xen's singleshot timer; the guest, its sleeps and the chance moments were the same",
      differs:
        "halt polling, which KVM has on by default, is off so as not to hide the way; looking a page up again costs nothing but the page fault of the guest's own access; and a timer's callback is one piece here, so that the race of v1, whose window lies inside it, cannot come up (test/explore forces it)",
    };
  },

  rows: ({ runs }) =>
    runs.flatMap(({ design, cases }): Row[] =>
      settings.flatMap((setting) =>
        (['running', 'halted'] as const).map((guest) => {
          const { ticks, paths, exits, pagesTaken, moves, [guest]: samples } = cases[setting];
          const { count, median, p99, max } = distributionOf(samples);
          return {
            design,
            setting,
            guest,
            count,
            median,
            p99,
            max,
            ...ticks,
            ...paths,
            exits,
            pagesTaken,
            moves: moves.times,
            held: moves.held,
          };
        }),
      ),
    ),

  scored: 'the median of the nanoseconds from the time asked for to the handler of a running guest, interrupts posted',
  async scores(load, costs) {
    const image = await load(GUEST);
    return XEN_TIMER_DESIGNS.map((design) => {
      const { running } = sleep(image, costs, design, XEN_TIMER_SETTINGS.posted);
      return { design, score: distributionOf(running).median };
    });
  },
};

function sleep(image: Image, costs: CostModel, design: XenTimerDesign, setting: Setting): XenTimerCase {
  const { options, params, ownVector = false, load = false, pagesAway = false, moves = false } = setting;
  const machine = Machine.boot({
    image,
    costs,
    xen: 'domain',
    hostCpus: 1 + ELSEWHERE,
    ...options,
    params: { ...PLAIN, ...params, xenTimer: design },
  });
  const { host, vm } = machine;
  tell(machine, 'own_vector', Number(ownVector));
  if (load) new BusyInterrupts(host, host.cpus[0]!, BUSY);
  const pages = [vm.xen!.sharedInfo.page, vm.vcpus[0]!.xen!.vcpuInfo];
  const takeOne = (random: Random): void => takePage(vm.memslots, pages[random.below(pages.length)]!);
  const pressure = pagesAway
    ? new AtChance('the memory pressure', host, host.cpus[ELSEWHERE]!, { from: 1, to: 2 * PAGE_EVERY }, takeOne)
    : null;
  const moved = moves ? moveAgainAndAgain(machine) : { times: 0, held: 0 };
  runToPowerOff(machine, GUEST);

  const { timersFast: fast, timersDeferred: deferred, shadowed } = vm.xen!.stat;
  const inNs = (cycles: number): number => Math.round(cycles / CYCLES_PER_NS);
  return {
    running: [...samplesOf(machine, 'running', SAMPLES)],
    halted: [...samplesOf(machine, 'halted', SAMPLES)],
    arming: distributionOf(samplesOf(machine, 'running_arming', SAMPLES).map(inNs)),
    ticks: { armed: told(machine, 'armed'), taken: told(machine, 'handled'), lost: told(machine, 'lost') },
    paths: { fast, deferred, shadowed },
    exits: machine.counters.exits,
    pagesTaken: pressure?.times ?? 0,
    moves: moved,
  };
}

/** Until the machine ends: at a chance moment stops it, reads its timer a while later, and writes the same back. */
function moveAgainAndAgain(machine: Machine): Moves {
  const { host, vm } = machine;
  const [vcpu] = vm.vcpus;
  const random = new Random(SEED);
  let held = 0;
  for (let times = 0; ; times++) {
    const at = vcpu!.cpu.now + 1 + random.below(2 * MOVE_EVERY);
    if (machine.run({ maxCycles: at }).kind !== 'budget' || machine.pause() !== null) return { times, held };
    host.stopAt = vcpu!.cpu.now + 1 + random.below(READ_AFTER);
    while (host.step() === 'progress');
    host.thisCpu = vcpu!.cpu;
    if (vcpu!.xen!.shadow.pending) held++;
    setXenVcpuAttr(vcpu!, getXenVcpuAttr(vcpu!, 'TIMER'));
    machine.resume();
  }
}
