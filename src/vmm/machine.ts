// A machine: one VM on a modelled host, with its devices, booted from an image and run step by step. The noun that people
// start from.

import { Processor } from '../cpu/processor.ts';
import { Host } from '../host/host.ts';
import { MmioBus } from '../hypervisor/bus/mmio.ts';
import { PortBus } from '../hypervisor/bus/ports.ts';
import { CPU_MODELS } from '../hypervisor/cpuModels.ts';
import type { Diagnostic } from '../hypervisor/diagnostics.ts';
import { offeredFeatures } from '../hypervisor/pv/features.ts';
import { forceLazyKick, lazyView, type LazyView } from '../hypervisor/pv/lazyDebugfs.ts';
import type { Vcpu } from '../hypervisor/vcpu.ts';
import { pageOf } from '../hypervisor/memslots.ts';
import { Swap } from '../hypervisor/swap.ts';
import { DEFAULT_START_TIME, Vm } from '../hypervisor/vm.ts';
import { Probes } from '../trace/probes.ts';
import { PAGE_SIZE } from '../x86/names/paging.ts';
import { GuestConsole } from './console.ts';
import { countersOf, type Counters } from './counters.ts';
import { BootError } from './boot/bootError.ts';
import { start } from './boot/start.ts';
import { Bios } from './bios/bios.ts';
import { Disk } from './bios/disk.ts';
import { DEFAULT_MEMORY, hostOptions, problemOfOptions, type BootOptions } from './bootOptions.ts';
import { digest } from './digest.ts';
import type { Image } from './image.ts';
import { Input, type InputDevice } from './input.ts';
import { MainLoop } from './mainLoop.ts';
import { buildPc, type Pc } from './pc.ts';
import { Ram } from './ram.ts';
import type { RunResult } from './result.ts';
import { screenOf, TEXT_MEMORY, TEXT_MEMORY_SIZE, type Screen } from './screen.ts';
import { placeVcpus } from './topology.ts';
import { apply, checkImage, collect, type Snapshot } from './snapshot/snapshot.ts';
import { identityOf, restoredImage } from './snapshot/savedImage.ts';
import type { RestoreOptions } from './snapshot/savedOptions.ts';
import { SnapshotError } from './snapshot/snapshotError.ts';
import type { Userspace } from './userspace.ts';
import { configureProcessor, VcpuThreads } from './vcpuThreads.ts';
import { reportVcpu } from './vcpuReport.ts';
import { CONSOLE_GPA } from './xen/consoleRing.ts';
import { XEN_CPUID, XenDomain } from './xen/domain.ts';
import { messageSink } from './xen/pirqs.ts';
import { platformUnplug } from './xen/unplug.ts';

export interface RunOptions {
  /** Asked after each step; true ends the run with `until`. */
  readonly until?: (machine: Machine) => boolean;
  /** Cycles from boot after which the run ends with `budget`. Default: no limit. */
  readonly maxCycles?: number;
}

export interface MachineRestoreOptions extends RestoreOptions {
  /** The file that the machine was booted from, if that is to be checked, and its listing to be known again. */
  readonly image?: Image;
  /** Connects devices of one's own, in the order in which the saved machine got them. */
  readonly connect?: (machine: Machine) => void;
}

/** For how many steps a snapshot waits for what stands half way. */
const MOST_STEPS = 100;

export class Machine implements Userspace {
  readonly host: Host;
  readonly vm: Vm;
  readonly processor: Processor;
  readonly image: Image;
  readonly options: BootOptions;
  readonly ram: Ram;
  readonly probes: Probes;
  readonly console = new GuestConsole();
  readonly ports = new PortBus();
  readonly mmio = new MmioBus();
  readonly mainLoop: MainLoop;
  readonly threads: VcpuThreads;
  readonly pc: Pc;
  readonly xen: XenDomain | null;
  readonly input: Input;
  /** Between `pause` and `resume`. */
  paused = false;
  /** How the machine ended; null while it can go on. */
  result: RunResult | null = null;
  active: Vcpu | null = null;
  #imageIdentity: string | null = null;

  /** A machine that stands at the image's entry. Throws BootError, or a RangeError for more memory than fits. */
  static boot(options: BootOptions): Machine {
    const machine = new Machine(options);
    machine.#boot();
    return machine;
  }

  /** The machine of a snapshot, which goes on as the one that was saved would have. Throws SnapshotError. */
  static restore(snapshot: Snapshot, { image, connect, ...options }: MachineRestoreOptions = {}): Machine {
    if (image !== undefined) checkImage(snapshot, image);
    const { head } = snapshot;
    const machine = new Machine({ ...head.options, image: image ?? restoredImage(head.image), ...options });
    machine.imageIdentity = head.image.identity;
    connect?.(machine);
    apply(snapshot, machine);
    return machine;
  }

  private constructor(options: BootOptions) {
    const { image, vcpus = 1, memory = DEFAULT_MEMORY } = options;
    const wrong = problemOfOptions(options);
    if (wrong !== null) throw new BootError(wrong);
    this.image = image;
    this.options = options;
    this.ram = new Ram(memory);
    this.host = options.host ?? new Host(hostOptions(options, vcpus));
    this.probes = options.probes ?? new Probes();
    this.processor = new Processor({
      cpus: vcpus,
      arenaBytes: memory + (options.xen === 'domain' ? PAGE_SIZE : 0),
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
      pvFeatures: offeredFeatures(options.features),
      ...(options.startTime !== undefined && { startTime: options.startTime }),
      ...(options.swap && { swap: options.swap }),
      ...(options.xen && { xen: options.xen === 'domain' ? XEN_CPUID : options.xen }),
      ...(options.model && { model: typeof options.model === 'string' ? CPU_MODELS[options.model] : options.model }),
      ...(options.quirks && { quirks: options.quirks }),
      ...(options.params && { params: options.params }),
      ...(options.apicBusCycleNs && { apicBusCycleNs: options.apicBusCycleNs }),
    });
    configureProcessor(this.vm, this.processor);
    this.threads = new VcpuThreads(this, this.host, this.vm, places, options.noInPlace !== true);
    for (const [slot, { gpa, size }] of this.ram.ranges.entries())
      this.vm.memslots.set({ slot, gpa, size, address: this.processor.arena.allocate(size) });
    this.mainLoop = new MainLoop(this.host);
    this.pc = buildPc({
      ports: this.ports,
      mmio: this.mmio,
      console: this.console,
      mainLoop: this.mainLoop,
      vcpuCount: vcpus,
      ram: this.ram,
      startTime: options.startTime ?? DEFAULT_START_TIME,
      host: this.host,
      wanted: options.devices ?? [],
      messages: messageSink(this.vm, () => this.xen?.pirqs ?? null),
      setIrq: (gsi, level) => (this.xen?.pirqs.line(gsi, level) === true ? 1 : this.vm.irqLine(gsi, level)),
      debugExit: (value) => this.end({ kind: 'debug-exit', value, vcpu: this.#activeId }),
      powerOff: () => this.end({ kind: 'power-off', vcpu: this.#activeId }),
      reset: (by) => this.#reset(by),
      stop: (what, hint) => this.#stop(what, hint),
      a20Off: (port) => this.vm.diagnostics.note('a20-off', port, 'ignored', this.vm.vcpus[this.#activeId]!),
    });
    this.xen = options.xen === 'domain' ? this.#xenDomain() : null;
    this.input = new Input(this.host, this.mainLoop, {
      serial: this.pc.serial,
      keyboard: this.pc.keyboard,
      ...(this.xen !== null && { 'xen-console': this.xen.console }),
    });
    if (image.protocol.kind === 'boot-sector') this.ports.connect(this.#bios(image.protocol.disk));
    this.vm.onStuck = () => this.end({ kind: 'deadlock', vcpus: this.#reports() });
  }

  #boot(): void {
    const { vm, image, ram } = this;
    const { commandLine = '', modules = [], seed = 0 } = this.options;
    start({ vm, image, ram, commandLine, modules });
    this.threads.start(seed);
  }

  /**
   * One step of the host: at most about 100 000 units or 1000 exits. Returns the result once there is one; `limit` when the
   * CPU furthest behind has reached `maxCycles`; `awaiting-input` when nothing more happens before somebody types.
   */
  step(maxCycles = Infinity): RunResult | null {
    if (this.result !== null) return this.result;
    if (this.paused) throw new Error('the machine is paused: resume() comes before it can run');
    if (Number.isNaN(maxCycles)) throw new RangeError('maxCycles is a number of cycles or Infinity, not NaN');
    this.host.stopAt = maxCycles;
    const outcome = this.host.step();
    if (this.result !== null) return this.result;
    if (outcome === 'limit') return { kind: 'budget', cycles: maxCycles, vcpus: this.#reports() };
    if (outcome === 'idle' && this.input.awaited()) return { kind: 'awaiting-input', vcpus: this.#reports() };
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
   * The machine as data (src/vmm/snapshot). Nothing happens meanwhile, and nothing that happens later is changed by it. When
   * something stands half way the host goes on until it no longer does, at most some steps. Throws SnapshotError, which names
   * what cannot be saved.
   */
  snapshot(): Snapshot {
    for (let steps = 0; ; steps++) {
      try {
        return collect(this);
      } catch (error) {
        if (!(error instanceof SnapshotError && error.passes) || steps === MOST_STEPS) throw error;
        if (this.step() !== null) throw error;
      }
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
    this.threads.pause();
    return this.result;
  }

  /** Lets the vCPUs go on. */
  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.threads.resume();
  }

  /** Ends the machine: its vCPUs stop where they stand. The first result counts. */
  end(result: RunResult): void {
    if (this.result !== null) return;
    this.result = result;
    for (const { thread, lapic, xen } of this.vm.vcpus) {
      if (thread !== null) this.host.kill(thread);
      lapic.timer.free();
      xen?.free();
    }
    this.vm.irqchip.free();
    this.vm.clock.free();
    this.mainLoop.end();
    this.host.endStep();
  }

  /** The host pages out what lies in a range of guest physical memory; the guest waits for it when it touches it. */
  swapOut(gpa: number, size: number): void {
    this.vm.swap ??= new Swap(this.host, this.vm.memslots, {});
    this.vm.swap.pageOut(pageOf(gpa), Math.ceil(((gpa % PAGE_SIZE) + size) / PAGE_SIZE));
  }

  /** Bytes of RAM. */
  get memory(): number {
    return this.ram.size;
  }

  /**
   * Types at a device of the guest. The machine gets it at its next position, so `type` may be called at any moment between
   * two steps; `input.journal` says when and what.
   */
  type(text: string | Uint8Array, device: InputDevice = 'serial'): void {
    this.input.type(device, [...(typeof text === 'string' ? new TextEncoder().encode(text) : text)]);
  }

  /** What the text screen shows; null: the guest has never written to it. */
  get screen(): Screen | null {
    const memory = this.vm.memory.read(TEXT_MEMORY, TEXT_MEMORY_SIZE);
    return memory === null ? null : screenOf(memory, this.pc.vga.start, this.pc.vga.cursor);
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

  /** An HVM domain, with the page of its console behind all RAM. */
  #xenDomain(): XenDomain {
    const { vm, console, ram, ports } = this;
    const address = this.processor.arena.allocate(PAGE_SIZE);
    vm.memslots.set({ slot: ram.ranges.length, gpa: CONSOLE_GPA, size: PAGE_SIZE, address });
    ports.connect(platformUnplug());
    return new XenDomain(
      {
        vm,
        console,
        mainLoop: this.mainLoop,
        memoryMap: ram.map,
        powerOff: () => this.end({ kind: 'power-off', vcpu: this.#activeId }),
        reset: (by) => this.#reset(by),
        crash: (by) => this.end({ kind: 'guest-crash', by, vcpu: reportVcpu(this.vm.vcpus[this.#activeId]!) }),
        stop: (what, hint) => this.#stop(what, hint),
      },
      this.options.xenRoute,
    );
  }

  #bios(disk: Uint8Array): Bios {
    const { console, ram, ports } = this;
    return new Bios(
      {
        console,
        ram,
        ports,
        vcpu: () => this.vm.vcpus[this.#activeId]!,
        reset: (by) => this.#reset(by),
        stop: (what, hint) => this.#stop(what, hint),
      },
      new Disk(disk),
    );
  }

  #reset(by: string): void {
    this.end({ kind: 'reset', by, vcpu: this.#activeId });
  }

  #stop(what: string, hint: string): void {
    this.end({ kind: 'not-implemented', what, hint, vcpu: reportVcpu(this.vm.vcpus[this.#activeId]!) });
  }

  /** Tells the image that it was booted from. */
  get imageIdentity(): string {
    return (this.#imageIdentity ??= identityOf(this.image));
  }
  set imageIdentity(identity: string) {
    this.#imageIdentity = identity;
  }

  get #activeId(): number {
    return this.active?.id ?? 0;
  }
}
