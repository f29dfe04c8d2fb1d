// Experiment: what the lazy TSC deadline saves. The same guest runs with the feature off and on, and the exits are compared
// in the shape of the series that proposed it (RFC "KVM: x86: add lazy tscdeadline", V2, July 2023). Returns data.
//
// Theory: netperf's TCP_RR over loopback makes a tickless kernel move its timer on every sleep and every wake-up, far more
// often than it expires. Each move is a WRMSR, and each WRMSR an exit; with the feature only a deadline earlier than the
// armed one is. Counts need no model of cost; only the times below do.

import type { ExitName } from '../cpu/exit.ts';
import type { LazyCounters } from '../hypervisor/pv/lazyTscDeadline.ts';
import { shortMsrName } from '../trace/perfReport.ts';
import type { Image } from '../vmm/image.ts';
import { Machine, type BootOptions } from '../vmm/machine.ts';

/** Gets a guest of the corpus by its name: from a file, or from wherever guests are kept. */
export type GuestLoader = (name: string) => Promise<Image>;

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

/** Runs both machines to their ends. Throws when a guest does not end as it should. */
export async function lazyTscDeadline(
  load: GuestLoader,
  options: Pick<BootOptions, 'costs' | 'quantum'> = {},
): Promise<LazyComparison> {
  const image = await load(GUEST);
  const [off, on] = [Machine.boot({ image, vcpus: VCPUS, ...options }), lazyMachine(image, options)].map(runToEnd);
  const relevant = (run: LazyRun): number =>
    [...run.msrWrites].reduce((sum, [name, count]) => (VIRTUALISED.includes(name) ? sum : sum + count), 0);
  const deadlines = (run: LazyRun): number => run.msrWrites.get('tsc-deadline') ?? 0;
  return {
    guest: `guests/${GUEST}.s`,
    costModel: typeof options.costs === 'object' ? options.costs.name : (options.costs ?? 'skylake-2020'),
    off: off!,
    on: on!,
    claims: [
      {
        what: 'tsc-deadline writes',
        author: saved(SERIES.deadlines.off, SERIES.deadlines.on),
        here: saved(deadlines(off!), deadlines(on!)),
      },
      {
        what: 'msr-write exits, without EOI and TPR',
        author: saved(SERIES.msrWrites.off, SERIES.msrWrites.on),
        here: saved(relevant(off!), relevant(on!)),
      },
    ],
    varied: 'KVM_FEATURE_LAZY_TSCDEADLINE (CPUID 0x40000001 EAX bit 18); the guest and everything else were the same',
    differs:
      'EOI and TPR exit here, as there is no APIC virtualisation yet, so compare deadline writes; and the load writes two deadlines for each IPI, netperf wrote three',
  };
}

const lazyMachine = (image: Image, options: object): Machine =>
  Machine.boot({ image, vcpus: VCPUS, features: ['lazy-tscdeadline'], ...options });

/** Percent of exits that went away. */
const saved = (off: number, on: number): number => (off === 0 ? 0 : (100 * (off - on)) / off);

function runToEnd(machine: Machine): LazyRun {
  const { kind } = machine.run();
  if (kind !== 'power-off') {
    throw new Error(`the guest ${GUEST} ended with ${kind}, having printed:\n${machine.console.text}`);
  }
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
