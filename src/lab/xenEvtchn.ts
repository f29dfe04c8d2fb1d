// Experiment: what it takes to bring an event to a Xen guest, by the way that it goes (seed 001). IPIs, timers and interrupts of a
// device come to a guest that runs and to one that has halted, by each way. Returns data.
//
// Theory: an event is two bits in pages that guest and hypervisor share. Where it arises in the hypervisor, which knows the port, they
// are set on the spot. By the design of October 2021 the vCPU sets the second one itself, from a shadow, when interrupts are looked for.
// An eventfd that leads to the port is one call more. A work queue leaves the bits to a thread, which needs a CPU; and userspace must be
// returned to, or woken. What follows depends on how the vCPU is interrupted: the callback vector is a level, injected at an
// entry and looked for again until the guest has taken it, a vector of the vCPU's own is an edge of its LAPIC, which may be posted.

import { COST, COST_MODELS, type CostModel } from '../host/costs.ts';
import type { KvmParams } from '../hypervisor/params.ts';
import { Probes, type ProbeEvents, type ProbeName } from '../trace/probes.ts';
import { exitReasons, symbolic } from '../trace/symbols.ts';
import type { BootOptions } from '../vmm/bootOptions.ts';
import type { Image } from '../vmm/image.ts';
import { Machine } from '../vmm/machine.ts';
import { XEN_SOURCES, type XenRoute, type XenSource } from '../vmm/xen/routing.ts';
import { AtChance } from './atChance.ts';
import { distributionOf, type Distribution } from './distribution.ts';
import type { Experiment, GuestLoader, Row } from './experiment.ts';
import { runToPowerOff, samplesOf, tell, watched } from './guestRun.ts';

/** What would hide the way that is measured: a vCPU that has halted sleeps at once. */
const PLAIN = { haltPollNs: 0, lapicTimerAdvance: false } as const;

interface Way {
  readonly route: XenRoute;
  readonly params?: Partial<KvmParams>;
}
/** `hypervisor`: both bits on the spot. `shadow`: the second one by the vCPU. The others are routes by their names. */
export const EVENT_WAYS = {
  hypervisor: { route: 'hypervisor' },
  shadow: { route: 'hypervisor', params: { xenEvtchn: 'shadow' } },
  eventfd: { route: 'eventfd' },
  workqueue: { route: 'workqueue' },
  userspace: { route: 'userspace' },
} as const satisfies Record<string, Way>;
export type EventWay = keyof typeof EVENT_WAYS;

/** How vCPUs are interrupted: by the callback vector, or by vectors of their own that are posted, with timers on another CPU. */
export const UPCALLS = ['callback', 'posted'] as const;
export type Upcall = (typeof UPCALLS)[number];

interface SourceGuest {
  readonly guest: string;
  /** One CPU of the host for each, and one for devices, or for timers. */
  readonly vcpus: number;
  readonly nsPerUnit: number;
  readonly options?: Partial<BootOptions>;
}
const NS_PER_CYCLE = 0.4;
const GUESTS: Readonly<Record<XenSource, SourceGuest>> = {
  ipi: { guest: 'xenipilatency', vcpus: 2, nsPerUnit: NS_PER_CYCLE },
  timer: { guest: 'xenlatency', vcpus: 1, nsPerUnit: 1 },
  pirq: { guest: 'xenpirqlatency', vcpus: 1, nsPerUnit: NS_PER_CYCLE, options: { devices: ['msix-test'] } },
};

/** What the events of one kind of guest took. */
export interface EventCost {
  /** Nanoseconds until the guest's handler. */
  readonly latency: Distribution;
  /** For each event, on average: exits of all vCPUs by their names, returns from KVM_RUN, threads that a CPU switched to. */
  readonly exits: Readonly<Record<string, number>>;
  readonly userspace: number;
  readonly switches: number;
}

export interface EventCase {
  readonly source: XenSource;
  readonly upcall: Upcall;
  readonly way: EventWay;
  readonly running: EventCost;
  readonly halted: EventCost;
}

export interface EventComparison {
  readonly guests: Readonly<Record<XenSource, string>>;
  readonly costModel: string;
  readonly cases: readonly EventCase[];
  readonly varied: string;
  readonly differs: string;
}

const SAMPLES = 300;
/** Cycles between two interrupts of the device. */
const DEVICE_INTERVAL = { from: 60_000, to: 120_000 } as const;
const ways = Object.keys(EVENT_WAYS) as EventWay[];

export const xenEvtchn: Experiment<EventComparison> = {
  name: 'xen-evtchn',
  summary: 'what an event of a Xen guest takes: in the hypervisor, by an eventfd, a work queue or userspace',

  async run(load, costs = COST_MODELS['skylake-2020']) {
    const images = await imagesOf(load);
    const cases = XEN_SOURCES.flatMap((source) =>
      UPCALLS.flatMap((upcall) => ways.map((way) => bring(images, costs, source, upcall, way))),
    );
    const guests = Object.fromEntries(XEN_SOURCES.map((source) => [source, `guests/${GUESTS[source].guest}.s`]));
    return {
      guests: guests as EventComparison['guests'],
      costModel: costs.name,
      cases,
      varied: 'the way of the events, and how vCPUs are interrupted; guests and their chance moments were the same',
      differs:
        "halt polling, which KVM has on by default, is off so as not to hide the way; KVM's timer signals no eventfd, and an interrupt of a device always comes by one: a timer by eventfd or workqueue, and a PIRQ by the hypervisor or shadow, are there to be compared",
    };
  },

  rows: ({ cases }) =>
    cases.flatMap(({ source, upcall, way, ...guests }): Row[] =>
      (['running', 'halted'] as const).map((guest) => {
        const { latency, exits, userspace, switches } = guests[guest];
        const { count, median, p99, max } = latency;
        const all = Object.values(exits).reduce((sum, each) => sum + each, 0);
        return { source, upcall, way, guest, count, median, p99, max, exits: all, userspace, switches };
      }),
    ),

  scored: 'the median of the nanoseconds from a send to the handler of a running guest, by the callback vector',
  async scores(load, costs) {
    const images = await imagesOf(load);
    return ways.map((way) => ({
      design: way,
      score: bring(images, costs, 'ipi', 'callback', way).running.latency.median,
    }));
  },
};

type Images = Readonly<Record<XenSource, Image>>;

async function imagesOf(load: GuestLoader): Promise<Images> {
  const images = {} as Record<XenSource, Image>;
  for (const source of XEN_SOURCES) images[source] = await load(GUESTS[source].guest);
  return images;
}

function bring(images: Images, costs: CostModel, source: XenSource, upcall: Upcall, way: EventWay): EventCase {
  const { guest, vcpus, nsPerUnit, options } = GUESTS[source];
  const { route, params }: Way = EVENT_WAYS[way];
  const posted = upcall === 'posted';
  const probes = new Probes();
  const machine = Machine.boot({
    image: images[source],
    costs,
    probes,
    vcpus,
    hostCpus: vcpus + 1,
    // Guest code must not run further ahead than an IPI takes to arrive, or what it brings would come late.
    quantum: costs.cycles[COST.ipiLatency]!,
    xen: 'domain',
    xenRoute: { [source]: route },
    ...options,
    ...(posted && { housekeeping: vcpus }),
    params: { ...PLAIN, ...params, ...(posted && { apicv: true }) },
  });
  tell(machine, 'own_vector', Number(posted));
  if (source === 'pirq') startDevice(machine);
  const halves = new Halves(machine);
  probes.subscribe((name, event) => halves.see(name, event));
  runToPowerOff(machine, guest);

  const costOf = (half: 'running' | 'halted'): EventCost => ({
    latency: distributionOf(Array.from(samplesOf(machine, half, SAMPLES), (sample) => Math.round(sample * nsPerUnit))),
    ...halves.perEvent(half),
  });
  return { source, upcall, way, running: costOf('running'), halted: costOf('halted') };
}

/** The device interrupts a CPU without vCPU, and tells the guest when. */
function startDevice(machine: Machine): void {
  const { host, vm, pc } = machine;
  const [vcpu] = vm.vcpus;
  tell(machine, 'rings', 0);
  new AtChance('the device', host, host.cpus.at(-1)!, DEVICE_INTERVAL, () => {
    tell(machine, 'sent', Number(vcpu!.guestTsc()));
    pc.msixTest!.msix.raise(0);
  });
}

interface Half {
  readonly exits: Map<string, number>;
  userspace: number;
  /** Switches of the host when the half was seen first, and last. */
  from: number;
  to: number;
}

/** What happens in each half of a guest's run, by how many events it has handled: not before the first, nor around the middle. */
class Halves {
  readonly #machine: Machine;
  readonly #handled: () => number;
  readonly #halves: Readonly<Record<'running' | 'halted', Half>> = { running: emptyHalf(), halted: emptyHalf() };

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#handled = watched(machine, 'handled');
  }

  see(name: ProbeName, event: ProbeEvents[ProbeName]): void {
    if (name !== 'kvm_exit' && name !== 'kvm_userspace_exit' && name !== 'kvm_xen_evtchn') return;
    const handled = this.#handled();
    if (handled % SAMPLES === 0) return;
    const half = this.#halves[handled < SAMPLES ? 'running' : 'halted'];
    half.to = this.#switches();
    half.from = Math.min(half.from, half.to);
    if (name === 'kvm_userspace_exit') half.userspace++;
    if (name !== 'kvm_exit') return;
    const { isa, reason } = event as ProbeEvents['kvm_exit'];
    const exit = symbolic(exitReasons(isa), reason);
    half.exits.set(exit, (half.exits.get(exit) ?? 0) + 1);
  }

  perEvent(which: 'running' | 'halted'): Omit<EventCost, 'latency'> {
    const { exits, userspace, from, to } = this.#halves[which];
    const each = (count: number): number => count / (SAMPLES - 1);
    const averages = [...exits].map(([exit, count]) => [exit, each(count)] as const);
    return { exits: Object.fromEntries(averages), userspace: each(userspace), switches: each(to - from) };
  }

  #switches(): number {
    return this.#machine.host.cpus.reduce((sum, cpu) => sum + cpu.charged[COST.contextSwitch]!, 0);
  }
}

const emptyHalf = (): Half => ({ exits: new Map(), userspace: 0, from: Infinity, to: Infinity });
