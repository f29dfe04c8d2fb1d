// The modelled host: physical CPUs, threads, and the step that decides who runs. It knows threads and events, never guests.
//
// Theory: every CPU has its own position in time. The CPU that is furthest behind runs (ties: the lower id), so whatever
// host code observes or does at its position cannot be undone by somebody who is still behind. Guest code may run ahead of
// the CPU furthest behind it by `quantum`, because only instructions that observe time, and exits, show the order; these
// wait (`SETTLE`) until their CPU is the one furthest behind again. An effect on a CPU that is already ahead lands at that
// CPU's position. The order is a function of positions alone: how a run is cut into steps never shows.

import { mightSleep } from './context.ts';
import { COST, COST_MODELS, type CostModel } from './costs.ts';
import { PhysicalCpu } from './cpu.ts';
import { Scheduler } from './scheduler.ts';
import type { HostEvent } from './queue.ts';
import type { Hrtimer } from './hrtimer.ts';
import type { HostFields } from './savedFields.ts';
import type { Sleep, SleepRequest } from './sleep.ts';
import type { Thread, ThreadOptions } from './thread.ts';
import type { Workqueue } from './workqueue.ts';

/** Yielded by a thread whose CPU ran ahead: resumed when its CPU is the one furthest behind. A preemption point, too. */
export const SETTLE: SleepRequest = { kind: 'point', on: 'the CPU furthest behind' };
/** Yielded by a thread between two instructions of the same grant, so that `step` returns; changes nothing else. */
export const SLICE: SleepRequest = { kind: 'point', on: 'the end of a step' };
/** Yielded by a thread that has found `needResched` set: cond_resched(). */
export const RESCHED: SleepRequest = { kind: 'point', on: 'threads that come first' };

/** A step returns at least after this many guest units ... */
export const STEP_UNITS = 100_000;
/** ... or this many VM exits. */
const STEP_EXITS = 1000;

/** Up to here, clocks of devices are counted in its cycles by whole numbers (countingClock.ts). */
const MOST_TSC_KHZ = 20_000_000;
/** Nominal TSC frequency when none is asked for: 100 times a 25 MHz crystal. */
const DEFAULT_TSC_KHZ = 2_500_000;
/** Default of the cycles that guest code may run ahead of the CPU furthest behind. */
const DEFAULT_QUANTUM = 1000;
/** Default slice of a thread: base_slice of Linux 6.16 on a host of eight CPUs or more, 2.8 ms. */
const DEFAULT_SLICE_US = 2800;

export interface HostOptions {
  readonly cpus: number;
  readonly costs?: CostModel;
  /** Cycles that guest code may run ahead. */
  readonly quantum?: number;
  readonly tscKhz?: number;
  /** Cycles that a thread may run while others wait for its CPU. */
  readonly slice?: number;
  /** The CPU to which unpinned timers of all others go, as with nohz_full (HK_TYPE_TIMER). Default: each keeps its own. */
  readonly housekeeping?: number;
}

/** `progress`: call again; `limit`: the CPU furthest behind has reached `stopAt`; `idle`: nothing can ever happen again. */
export type HostOutcome = 'progress' | 'limit' | 'idle';

export class Host {
  readonly cpus: readonly PhysicalCpu[];
  readonly costs: CostModel;
  readonly quantum: number;
  readonly tscKhz: number;
  readonly scheduler: Scheduler;
  /** Every timer that was made for this host, in the order of their making. */
  readonly hrtimers: Hrtimer[] = [];
  readonly workqueues: Workqueue[] = [];
  /** smp_processor_id(): the CPU whose host code is running. */
  thisCpu: PhysicalCpu;
  /** Positions beyond this are not simulated in the current run. */
  stopAt = Infinity;
  /** Guest units and exits so far in this step; whoever runs guest code adds to them. */
  stepUnits = 0;
  stepExits = 0;
  #returnSoon = false;
  /** The CPU that runs until it settles, blocks or has used up its quantum. */
  #granted: PhysicalCpu | null = null;
  /** How often `mustSettle` was asked. */
  #settled = 0;
  #stepping = false;
  readonly #housekeeping: PhysicalCpu | null = null;

  constructor({
    cpus,
    costs = COST_MODELS['skylake-2020'],
    quantum = DEFAULT_QUANTUM,
    tscKhz = DEFAULT_TSC_KHZ,
    slice = Math.ceil((DEFAULT_SLICE_US * tscKhz) / 1000),
    housekeeping,
  }: HostOptions) {
    if (!Number.isInteger(cpus) || cpus < 1) throw new Error(`a host needs at least one CPU, not ${cpus}`);
    if (!Number.isInteger(quantum) || quantum < 1)
      throw new Error(`a quantum is at least one whole cycle, not ${quantum}`);
    if (!Number.isInteger(tscKhz) || tscKhz < 1) throw new Error(`a TSC runs at whole kHz, not ${tscKhz}`);
    if (tscKhz > MOST_TSC_KHZ) throw new Error(`a TSC runs at ${MOST_TSC_KHZ} kHz at most, not at ${tscKhz} kHz`);
    if (!(slice >= 1)) throw new Error(`a slice is at least one cycle, not ${slice}`);
    this.cpus = Array.from({ length: cpus }, (_, id) => new PhysicalCpu(id, costs));
    this.costs = costs;
    this.quantum = quantum;
    this.tscKhz = tscKhz;
    if (housekeeping !== undefined) this.#housekeeping = housekeeper(this.cpus, housekeeping);
    this.thisCpu = this.cpus[0]!;
    this.scheduler = new Scheduler(this, slice);
  }

  /** Whether `step` is under way: the caller is code that the host runs. */
  get stepping(): boolean {
    return this.#stepping;
  }

  get threads(): readonly Thread[] {
    return this.scheduler.threads;
  }

  /** Starts a thread on a CPU, and only there unless `options` allow more. It first runs when its CPU comes to it. */
  spawn(name: string, cpu: PhysicalCpu, body: Sleep<void>, options: ThreadOptions = {}): Thread {
    return this.scheduler.spawn(name, cpu, body, options, this.#stepping);
  }

  /** Ends a thread wherever it stands: its CPU goes on with the next. */
  kill(thread: Thread): void {
    this.scheduler.kill(thread);
  }

  /** try_to_wake_up(): true when the thread was blocked. Another CPU that idles, or must preempt, is told by an IPI. */
  wakeUp(thread: Thread): boolean {
    return this.scheduler.wakeUp(thread, this.#stepping);
  }

  /** Sends an interrupt to another CPU, as an event that arrives there. A second one before it arrives changes nothing. */
  sendIpi(target: PhysicalCpu, event: HostEvent): void {
    if (event.queued) return;
    this.thisCpu.charge(COST.ipiSend);
    target.events.insert(event, this.thisCpu.now + this.thisCpu.costOf(COST.ipiLatency));
  }

  /** get_nohz_timer_target(): where a timer goes that need not stay on the CPU that starts it. */
  timerTarget(cpu: PhysicalCpu): PhysicalCpu {
    return this.#housekeeping ?? cpu;
  }

  /** smp_send_reschedule(): the CPU leaves guest mode, and looks whether another thread comes first. */
  sendReschedule(target: PhysicalCpu): void {
    this.sendIpi(target, this.scheduler.rescheduleOf(target));
  }

  /** The same as an interrupt that arrives at a position, whoever sent it. */
  rescheduleAt(target: PhysicalCpu, position: number): void {
    const event = this.scheduler.rescheduleOf(target);
    if (!event.queued || event.at > position) target.events.insert(event, position);
  }

  /** Position of the furthest-behind CPU other than this one: time may be observed up to there. */
  horizon(cpu: PhysicalCpu): number {
    let least = Infinity;
    for (let i = 0; i < this.cpus.length; i++) {
      const other = this.cpus[i]!;
      if (other !== cpu && other.position < least) least = other.position;
    }
    return least;
  }

  /** Whether some other CPU is further behind: host code that observes time, or acts on others, yields SETTLE first. */
  isAhead(cpu: PhysicalCpu): boolean {
    return cpu.now > this.horizon(cpu);
  }

  /**
   * Whether the CPU's thread must yield SETTLE. CPUs behind it that only spin are brought up to it here: to where they would
   * come one after the other if it yielded, as many turns as that takes.
   */
  mustSettle(cpu: PhysicalCpu): boolean {
    this.#settled++;
    return this.isAhead(cpu) && !this.#bringsUp(cpu);
  }

  /** Brings up to the CPU those behind it, if they only spin and nothing waits for itself. */
  #bringsUp(cpu: PhysicalCpu): boolean {
    if (cpu.interruptsEnabled && (cpu.interruptPending || cpu.needResched)) return false;
    for (const other of this.cpus)
      if (this.#comesBefore(other, cpu, cpu.now) && !this.#onlySpins(other, cpu.now + 1)) return false;
    this.bringUp(cpu, cpu.now);
    return true;
  }

  /** CPUs that only spin are brought up to a position of another. Of two at one position the lower id goes first, and spins on for a cycle. */
  bringUp(cpu: PhysicalCpu, position: number): void {
    for (const other of this.cpus)
      if (this.#comesBefore(other, cpu, position)) other.now = other.id < cpu.id ? position + 1 : position;
  }

  /**
   * Right behind a `mustSettle` that said no, before any other code of the host: up to which position of the CPU it would say so
   * again. What spinning threads look for depends on such code alone. -Infinity: nobody spins.
   */
  settlesUntil(cpu: PhysicalCpu): number {
    let until = Infinity;
    let spins = false;
    for (const other of this.cpus) {
      if (other === cpu) continue;
      const looked = this.#looked(other);
      spins ||= looked;
      until = Math.min(until, looked ? this.#spinsBelow(other) - 2 : other.position - 1);
    }
    return spins ? until : -Infinity;
  }

  /** Cycles that the others are ahead of a CPU up to which they were brought. */
  leadOver(cpu: PhysicalCpu): 0 | 1 {
    return this.cpus.some((other) => other.id > cpu.id && this.#looked(other)) ? 0 : 1;
  }

  #comesBefore(other: PhysicalCpu, cpu: PhysicalCpu, at: number): boolean {
    const { position } = other;
    return other !== cpu && (position < at || (position === at && other.id < cpu.id));
  }

  /** Its thread spins and has nothing to find, and nothing else happens there up to a position. */
  #onlySpins(cpu: PhysicalCpu, position: number): boolean {
    if (position >= this.#spinsBelow(cpu)) return false;
    const spin = cpu.thread!.spin!;
    spin.found ||= spin.done();
    spin.looked = this.#settled;
    return !spin.found;
  }

  /** Before which position nothing else happens on a CPU whose thread spins; -Infinity: it does not. */
  #spinsBelow({ thread, interruptsEnabled, events }: PhysicalCpu): number {
    if (thread === null || thread.spin === null) return -Infinity;
    return Math.min(thread.spin.until, this.stopAt, interruptsEnabled ? events.next : Infinity);
  }

  /** Its thread spins, and the last `mustSettle` has looked for it in vain. */
  #looked({ thread }: PhysicalCpu): boolean {
    return thread !== null && thread.spin !== null && thread.spin.looked === this.#settled && !thread.spin.found;
  }

  /** Whether this step has done enough. */
  get stepIsOver(): boolean {
    return this.stepUnits >= STEP_UNITS || this.stepExits >= STEP_EXITS || this.#returnSoon;
  }

  /** Makes the current step return as soon as the running thread yields. */
  endStep(): void {
    this.#returnSoon = true;
  }

  /** Runs the host for at most about STEP_UNITS guest units or STEP_EXITS exits. */
  step(): HostOutcome {
    this.stepUnits = 0;
    this.stepExits = 0;
    this.#returnSoon = false;
    this.#stepping = true;
    try {
      return this.#turns();
    } finally {
      this.#stepping = false;
    }
  }

  #turns(): HostOutcome {
    for (let turns = 0; !this.stepIsOver && turns < STEP_EXITS; turns++) {
      const cpu = this.#granted ?? this.#furthestBehind();
      if (cpu === null) return 'idle';
      if (cpu.position >= this.stopAt) return 'limit';
      this.#granted = cpu;
      this.thisCpu = cpu;
      if (cpu.thread === null) {
        this.#leaveIdle(cpu);
        this.#granted = null;
      } else if (this.#resume(cpu, cpu.thread) !== SLICE) {
        this.#granted = null;
      }
    }
    return 'progress';
  }

  #furthestBehind(): PhysicalCpu | null {
    let behind: PhysicalCpu | null = null;
    let least = Infinity;
    for (const cpu of this.cpus) {
      if (cpu.position < least) {
        least = cpu.position;
        behind = cpu;
      }
    }
    return behind;
  }

  /** An idle CPU goes to its next event and takes it. */
  #leaveIdle(cpu: PhysicalCpu): void {
    cpu.now = cpu.position;
    cpu.takeInterrupts();
    this.scheduler.schedule(cpu);
  }

  /** Runs a thread until it asks for something; returns what it asked, null when it ended. */
  #resume(cpu: PhysicalCpu, thread: Thread): SleepRequest | null {
    const asked = thread.state === 'finished' ? null : thread.body.next();
    // A thread may have been killed by itself.
    if (asked === null || asked.done || this.#isFinished(thread)) {
      if (asked?.done) checkHoldsNothing(thread);
      thread.state = 'finished';
      this.scheduler.exit(cpu);
      return null;
    }
    const { value } = asked;
    if (value.kind === 'block') {
      mightSleep(cpu, value.on);
      this.scheduler.block(cpu, thread, value);
    } else if (value !== SLICE && cpu.interruptsEnabled) {
      if (cpu.interruptPending) cpu.takeInterrupts();
      const turn = value.kind === 'yield';
      if ((cpu.needResched || turn) && cpu.preemptCount === 0) this.scheduler.preempt(cpu, thread, turn);
    }
    return value;
  }

  /** Where the CPUs stand: what a device that is restored may ask for, before anything else is. */
  transferClock(fields: HostFields): void {
    this.thisCpu = fields.cpu('thisCpu', this.thisCpu);
    for (const cpu of this.cpus) cpu.now = fields.value(`CPU ${cpu.id}`, cpu.now);
  }

  /** What a snapshot keeps of CPUs, threads and timers. While restoring, the threads have been adopted. */
  transfer(fields: HostFields): void {
    this.thisCpu = fields.cpu('thisCpu', this.thisCpu);
    this.#granted = fields.cpu('granted', this.#granted);
    for (const cpu of this.cpus) cpu.transfer(fields.part(`cpu ${cpu.id}`));
    this.scheduler.transfer(fields.part('scheduler'));
    for (const [index, timer] of this.hrtimers.entries()) timer.transfer(fields.part(`hrtimer ${index} ${timer.name}`));
  }

  #isFinished(thread: Thread): boolean {
    return thread.state === 'finished';
  }
}

function housekeeper(cpus: readonly PhysicalCpu[], id: number): PhysicalCpu {
  const cpu = cpus[id];
  if (cpu === undefined) throw new Error(`CPU ${id} cannot keep house: the host has CPUs 0 to ${cpus.length - 1}`);
  return cpu;
}

function checkHoldsNothing({ name, locksHeld }: Thread): void {
  if (locksHeld.length > 0) throw new Error(`${name} ended and still holds ${locksHeld.map((l) => l.name).join(', ')}`);
}
