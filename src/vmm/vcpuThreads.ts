// The threads of a machine's vCPUs: how they begin, how they stop together and go on, and how a restored host gets them again.

import { featuresFromCpuid } from '../cpu/features.ts';
import type { Processor } from '../cpu/processor.ts';
import type { Host } from '../host/host.ts';
import { Random } from '../host/random.ts';
import { PASSTHROUGH } from '../hypervisor/msrs.ts';
import { serveExit } from '../hypervisor/run.ts';
import type { Vcpu } from '../hypervisor/vcpu.ts';
import type { Vm } from '../hypervisor/vm.ts';
import type { Placement } from './topology.ts';
import { serveAccess, vcpuThread, type Userspace } from './userspace.ts';

/** How far apart a seed lets vCPUs start, in cycles. */
const START_SPREAD = 10_000;

/** What CPUID offers decides what the processor executes, and what KVM passes through does not exit. */
export function configureProcessor({ cpuid, vcpus }: Vm, { cpus }: Processor): void {
  const features = featuresFromCpuid((leaf, subleaf) => cpuid.answer(leaf, subleaf, vcpus[0]!.cpuidAsker));
  for (const cpu of cpus) {
    cpu.features = features;
    for (const { index, direction } of PASSTHROUGH) cpu.controls.allowMsr(index, direction);
  }
}

export class VcpuThreads {
  readonly #userspace: Userspace;
  readonly #host: Host;
  readonly #vm: Vm;
  readonly #places: readonly Placement[];

  /** `inPlace`: exits are served where they happen (Calls in src/cpu/code). */
  constructor(userspace: Userspace, host: Host, vm: Vm, places: readonly Placement[], inPlace: boolean) {
    this.#userspace = userspace;
    this.#host = host;
    this.#vm = vm;
    this.#places = places;
    if (!inPlace) return;
    for (const vcpu of vm.vcpus) {
      vcpu.guest.serveExit = (reason) => serveExit(vcpu, reason);
      vcpu.serveAccess = (exit) => serveAccess(userspace, vcpu, exit);
    }
  }

  /** Spawns them. A seed other than 0 lets them begin at different times. */
  start(seed: number): void {
    const random = new Random(seed);
    for (const vcpu of this.#vm.vcpus) {
      vcpu.guest.state.entropy = (BigInt(seed >>> 0) << 32n) | BigInt(vcpu.id);
      if (seed !== 0) vcpu.cpu.now += random.below(START_SPREAD);
      const { cpu, affinity } = this.#places[vcpu.id]!;
      vcpu.thread = this.#host.spawn(vcpu.name, cpu, vcpuThread(this.#userspace, vcpu), { affinity });
    }
  }

  /** Makes the thread anew that a restored vCPU's `place` tells of. */
  adopt(vcpu: Vcpu): void {
    const { cpu, affinity } = this.#places[vcpu.id]!;
    vcpu.thread = this.#host.scheduler.adopt(vcpu.name, cpu, vcpuThread(this.#userspace, vcpu), { affinity });
  }

  /** Signals all, and runs the host until they are out of KVM_RUN, at one moment. */
  pause(): void {
    const { vcpus } = this.#vm;
    this.#host.stopAt = Infinity;
    for (const vcpu of vcpus) vcpu.signal();
    const inKvmRun = (): boolean => vcpus.some((vcpu) => vcpu.signalPending);
    while (this.#userspace.result === null && inKvmRun() && this.#host.step() !== 'idle');
    if (this.#userspace.result === null) this.#gather();
  }

  /** The CPUs of the vCPUs, which idle now, wait for the one that is furthest ahead. */
  #gather(): void {
    const cpus = this.#vm.vcpus.map(({ cpu }) => cpu);
    const latest = Math.max(...cpus.map(({ now }) => now));
    this.#host.stopAt = latest;
    while (this.#host.step() === 'progress');
    for (const cpu of cpus) cpu.now = Math.max(cpu.now, latest);
  }

  /** Lets them go on. */
  resume(): void {
    for (const { thread } of this.#vm.vcpus) if (thread !== null) this.#host.wakeUp(thread);
  }
}
