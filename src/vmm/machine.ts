// A machine: one VM on a modelled host, with its devices, booted from an image and run step by step. The noun that people
// start from.

import { Processor, type ProcessorOptions } from '../cpu/processor.ts';
import { featuresFromCpuid } from '../cpu/features.ts';
import { costModel, type CostModel } from '../host/costs.ts';
import { Host } from '../host/host.ts';
import { Random } from '../host/random.ts';
import { isPvFeature, PV_FEATURES, type PvFeature } from '../hypervisor/cpuid.ts';
import { CPU_MODELS, type CpuModel, type CpuModelName } from '../hypervisor/cpuModels.ts';
import type { Diagnostic } from '../hypervisor/diagnostics.ts';
import type { LapicQuirks } from '../hypervisor/lapic/quirks.ts';
import { PASSTHROUGH } from '../hypervisor/msrs.ts';
import { problemOf, type KvmParams } from '../hypervisor/params.ts';
import { forceLazyKick, lazyView, type LazyView } from '../hypervisor/pv/lazyDebugfs.ts';
import type { Vcpu } from '../hypervisor/vcpu.ts';
import { Vm } from '../hypervisor/vm.ts';
import { Probes } from '../trace/probes.ts';
import { PAGE_SIZE } from '../x86/names/paging.ts';
import { GuestConsole } from './console.ts';
import { countersOf, type Counters } from './counters.ts';
import { debugcon } from './devices/debugcon.ts';
import { debugExit } from './devices/debugExit.ts';
import { powerOff } from './devices/powerOff.ts';
import { serial } from './devices/serial.ts';
import { digest } from './digest.ts';
import type { Image } from './image.ts';
import { bootDirect, BootError } from './loaders/direct.ts';
import { MmioBus } from './mmio.ts';
import { PortBus } from './ports.ts';
import type { RunResult } from './result.ts';
import { placeVcpus, type Placement } from './topology.ts';
import { vcpuThread, type Userspace } from './userspace.ts';
import { reportVcpu } from './vcpuReport.ts';

export interface BootOptions {
  readonly image: Image;
  /** Default 1. */
  readonly vcpus?: number;
  /** Bytes of RAM from guest physical address 0 on, whole pages. Default 64 MiB. */
  readonly memory?: number;
  readonly features?: readonly PvFeature[];
  /** What CPUID says: a model, or the name of one. Default `max`, all that trapline executes. */
  readonly model?: CpuModel | CpuModelName;
  readonly quirks?: LapicQuirks;
  /** Module parameters of kvm, and designs that are compared. */
  readonly params?: Partial<KvmParams>;
  /** KVM_CAP_X86_APIC_BUS_CYCLES_NS. Default 1. */
  readonly apicBusCycleNs?: number;
  /** The host to run on, which several machines may share; default: one of its own. */
  readonly host?: Host;
  /** Of the machine's own host: how many physical CPUs it has (default: one for each vCPU), */
  readonly hostCpus?: number;
  /** ... a cost model or the name of a preset, the cycles that guest code may run ahead, */
  readonly costs?: CostModel | string;
  readonly quantum?: number;
  /** ... and the cycles for which a thread keeps a CPU that others wait for (default: 2.8 ms). */
  readonly slice?: number;
  /** ... and the physical CPU that keeps the timers of all others (default: each keeps its own). */
  readonly housekeeping?: number;
  /** For each vCPU the physical CPUs on which it may run. Default: see `placeVcpus`. */
  readonly pin?: readonly (readonly number[])[];
  readonly tscKhz?: number;
  /** Other than 0 (the default): vCPUs start at chance distances, so that each seed tries another interleaving. RDRAND's numbers follow from it too. */
  readonly seed?: number;
  readonly probes?: Probes;
  /** Run every instruction form by call (see ProcessorOptions). */
  readonly noHot?: boolean;
  /** What executes the semantics (see ProcessorOptions). */
  readonly engine?: NonNullable<ProcessorOptions['engine']>;
}

export interface RunOptions {
  /** Asked after each step; true ends the run with `until`. */
  readonly until?: (machine: Machine) => boolean;
  /** Cycles from boot after which the run ends with `budget`. Default: no limit. */
  readonly maxCycles?: number;
}

const DEFAULT_MEMORY = 64 * 2 ** 20;
/** How far apart a seed lets vCPUs start, in cycles. */
const START_SPREAD = 10_000;

export class Machine implements Userspace {
  readonly host: Host;
  readonly vm: Vm;
  readonly processor: Processor;
  readonly image: Image;
  readonly memory: number;
  readonly probes: Probes;
  readonly console = new GuestConsole();
  readonly ports = new PortBus();
  readonly mmio = new MmioBus();
  /** Between `pause` and `resume`. */
  paused = false;
  /** How the machine ended; null while it can go on. */
  result: RunResult | null = null;
  active: Vcpu | null = null;

  /** A machine that stands at the image's entry. Throws BootError, or a RangeError for more memory than fits. */
  static boot(options: BootOptions): Machine {
    return new Machine(options);
  }

  private constructor(options: BootOptions) {
    const { image, vcpus = 1, memory = DEFAULT_MEMORY } = options;
    if (!Number.isInteger(vcpus) || vcpus < 1) throw new BootError(`a machine has at least one vCPU, not ${vcpus}`);
    if (!Number.isInteger(memory) || memory <= 0 || memory % PAGE_SIZE !== 0) {
      throw new BootError(`memory is a number of whole pages of ${PAGE_SIZE} bytes, not ${memory} bytes`);
    }
    const unknown = options.features?.find((feature) => !isPvFeature(feature));
    if (unknown !== undefined) {
      throw new BootError(`there is no feature '${unknown}', only ${Object.keys(PV_FEATURES).join(', ')}`);
    }
    const wrong = problemOf(options.params ?? {});
    if (wrong !== null) throw new BootError(wrong);
    this.image = image;
    this.memory = memory;
    const { hostCpus = vcpus, housekeeping } = options;
    if (housekeeping !== undefined && housekeeping >= hostCpus) {
      throw new BootError(
        `CPU ${housekeeping} cannot keep house for a host that has ${hostCpus}: add one, or name another`,
      );
    }
    this.host = options.host ?? new Host(hostOptions(options, vcpus));
    this.probes = options.probes ?? new Probes();
    this.processor = new Processor({
      cpus: vcpus,
      arenaBytes: memory,
      noHot: options.noHot ?? false,
      engine: options.engine ?? 'wasm',
    });
    const places = placeVcpus(this.host, vcpus, options.pin);
    this.vm = new Vm({
      host: this.host,
      guests: this.processor.cpus,
      cpus: places.map(({ cpu }) => cpu),
      arena: this.processor.arena,
      secondStage: this.processor.secondStage,
      probes: this.probes,
      pvFeatures: options.features ?? [],
      ...(options.model && { model: typeof options.model === 'string' ? CPU_MODELS[options.model] : options.model }),
      ...(options.quirks && { quirks: options.quirks }),
      ...(options.params && { params: options.params }),
      ...(options.apicBusCycleNs && { apicBusCycleNs: options.apicBusCycleNs }),
    });
    this.#configureProcessor();
    this.vm.memslots.set({ slot: 0, gpa: 0, size: memory, address: this.processor.arena.allocate(memory) });
    this.#connectDevices();
    this.vm.onStuck = () => this.end({ kind: 'deadlock', vcpus: this.#reports() });
    bootDirect(this.vm, image, memory);
    this.#start(places, options.seed ?? 0);
  }

  /**
   * One step of the host: at most about 100 000 units or 1000 exits. Returns the result once there is one; `limit` when the
   * CPU furthest behind has reached `maxCycles`.
   */
  step(maxCycles = Infinity): RunResult | null {
    if (this.result !== null) return this.result;
    if (this.paused) throw new Error('the machine is paused: resume() comes before it can run');
    if (Number.isNaN(maxCycles)) throw new RangeError('maxCycles is a number of cycles or Infinity, not NaN');
    this.host.stopAt = maxCycles;
    const outcome = this.host.step();
    if (this.result !== null) return this.result;
    if (outcome === 'limit') return { kind: 'budget', cycles: maxCycles, vcpus: this.#reports() };
    if (outcome === 'idle') this.end({ kind: 'deadlock', vcpus: this.#reports() });
    return this.result;
  }

  /** Runs until the machine ends, `until` says so, or `maxCycles` are over. */
  run({ until, maxCycles = Infinity }: RunOptions = {}): RunResult {
    for (;;) {
      const result = this.step(maxCycles);
      if (result !== null) return result;
      if (until?.(this)) return { kind: 'until' };
    }
  }

  /**
   * Makes every vCPU leave KVM_RUN by a signal, after which its state can be read and written (src/hypervisor/state). The host
   * goes on meanwhile, up to the position of the vCPU that returned last, so that all are left at one moment. Returns the
   * result if the machine ended on the way.
   */
  pause(): RunResult | null {
    if (this.host.stepping) throw new Error('pause() was called by a device or a probe: call it between two steps');
    if (this.result !== null || this.paused) return this.result;
    this.paused = true;
    this.host.stopAt = Infinity;
    for (const vcpu of this.vm.vcpus) vcpu.signal();
    const inKvmRun = (): boolean => this.vm.vcpus.some((vcpu) => vcpu.signalPending);
    while (this.result === null && inKvmRun() && this.host.step() !== 'idle');
    if (this.result === null) this.#gather();
    return this.result;
  }

  /** The CPUs of the vCPUs, which idle now, wait for the one that is furthest ahead. */
  #gather(): void {
    const cpus = this.vm.vcpus.map(({ cpu }) => cpu);
    const latest = Math.max(...cpus.map(({ now }) => now));
    this.host.stopAt = latest;
    while (this.host.step() === 'progress');
    for (const cpu of cpus) cpu.now = Math.max(cpu.now, latest);
  }

  /** Lets the vCPUs go on. */
  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    for (const { thread } of this.vm.vcpus) if (thread !== null) this.host.wakeUp(thread);
  }

  /** Ends the machine: its vCPUs stop where they stand. The first result counts. */
  end(result: RunResult): void {
    if (this.result !== null) return;
    this.result = result;
    for (const { thread, lapic } of this.vm.vcpus) {
      if (thread !== null) this.host.kill(thread);
      lapic.timer.free();
    }
    this.host.endStep();
  }

  /** Exits, MSR writes and the rest, counted. */
  get counters(): Counters {
    return countersOf(this.vm);
  }

  /** What the guest asked for in vain. */
  get diagnostics(): readonly Diagnostic[] {
    return this.vm.diagnostics.list;
  }

  /** The lazy TSC deadline of each vCPU, as its file in debugfs shows it. */
  get lazyDeadlines(): readonly LazyView[] {
    return this.vm.vcpus.map(lazyView);
  }

  /** Forces a kick of a vCPU's lazy TSC deadline; the machine goes on with it. False: its guest has not opened the page. */
  kickLazyDeadline(vcpu: number): boolean {
    const found = this.vm.vcpus[vcpu];
    if (found === undefined) throw new RangeError(`there is no vCPU ${vcpu}, only 0 to ${this.vm.vcpus.length - 1}`);
    return this.result === null && forceLazyKick(found);
  }

  /** One number for registers, memory and time: equal for equal runs. */
  digest(): string {
    return digest(this.vm);
  }

  #reports() {
    return this.vm.vcpus.map(reportVcpu);
  }

  #configureProcessor(): void {
    const { cpuid, vcpus } = this.vm;
    const features = featuresFromCpuid((leaf, subleaf) => cpuid.answer(leaf, subleaf, vcpus[0]!.cpuidAsker));
    for (const cpu of this.processor.cpus) {
      cpu.features = features;
      for (const { index, direction } of PASSTHROUGH) cpu.controls.allowMsr(index, direction);
    }
  }

  #start(places: readonly Placement[], seed: number): void {
    const random = new Random(seed);
    for (const vcpu of this.vm.vcpus) {
      vcpu.guest.state.entropy = (BigInt(seed >>> 0) << 32n) | BigInt(vcpu.id);
      if (seed !== 0) vcpu.cpu.now += random.below(START_SPREAD);
      const { cpu, affinity } = places[vcpu.id]!;
      vcpu.thread = this.host.spawn(vcpu.name, cpu, vcpuThread(this, vcpu), { affinity });
    }
  }

  #connectDevices(): void {
    const vcpu = (): number => this.active?.id ?? 0;
    this.ports.connect(serial(this.console));
    this.ports.connect(debugcon(this.console));
    this.ports.connect(debugExit((value) => this.end({ kind: 'debug-exit', value, vcpu: vcpu() })));
    this.ports.connect(powerOff(() => this.end({ kind: 'power-off', vcpu: vcpu() })));
  }
}

const hostOptions = ({ hostCpus, costs, quantum, tscKhz, slice, housekeeping }: BootOptions, vcpus: number) => ({
  cpus: hostCpus ?? vcpus,
  ...(costs !== undefined && { costs: typeof costs === 'string' ? costModel(costs) : costs }),
  ...(quantum !== undefined && { quantum }),
  ...(tscKhz !== undefined && { tscKhz }),
  ...(slice !== undefined && { slice }),
  ...(housekeeping !== undefined && { housekeeping }),
});
