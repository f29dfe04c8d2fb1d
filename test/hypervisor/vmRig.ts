// A VM of scripted CPUs on a host, for tests of the run loop: what happened comes back as a list of trace events.

import { Arena } from '../../src/cpu/memory/arena.ts';
import { Views } from '../../src/cpu/layout.ts';
import { SecondStage } from '../../src/cpu/memory/secondStage.ts';
import { COST_MODELS, type CostModel } from '../../src/host/costs.ts';
import { Host } from '../../src/host/host.ts';
import type { Sleep } from '../../src/host/sleep.ts';
import type { PvFeature } from '../../src/hypervisor/pv/features.ts';
import type { KvmParams } from '../../src/hypervisor/params.ts';
import { vcpuRun } from '../../src/hypervisor/run.ts';
import type { UserspaceExit } from '../../src/hypervisor/userspace.ts';
import type { Vcpu } from '../../src/hypervisor/vcpu.ts';
import type { SwapOptions } from '../../src/hypervisor/swap.ts';
import { Vm } from '../../src/hypervisor/vm.ts';
import type { ProbeName } from '../../src/trace/probes.ts';
import type { XenCpuid } from '../../src/hypervisor/xen/cpuid.ts';
import { APIC_BASE } from '../../src/x86/names/msrs.ts';
import { ScriptedCpu, type Step } from './scriptedCpu.ts';

const PAGES = 64;
const PAGE = 4096;
const BITMAP = 0;
export const ARENA_START = 16 * PAGE;

/** An arena of 64 pages with nothing in front of it but its code bitmap. */
export function smallArena(): Arena {
  const end = ARENA_START + PAGES * PAGE;
  return new Arena(new Views(new ArrayBuffer(end)), ARENA_START, end, BITMAP, { invalidate: () => undefined });
}

export interface RigOptions {
  readonly costs?: CostModel;
  readonly quantum?: number;
  readonly features?: readonly PvFeature[];
  readonly params?: Partial<KvmParams>;
  /** Default: one for each vCPU. */
  readonly hostCpus?: number;
  /** Cycles of a thread's turn. */
  readonly slice?: number;
  readonly startTime?: number;
  readonly swap?: SwapOptions;
  readonly xen?: XenCpuid;
}

export interface VmRig {
  readonly host: Host;
  readonly vm: Vm;
  readonly guests: readonly ScriptedCpu[];
  /** Trace events since the start, by name, with the fields. */
  readonly events: { name: ProbeName; time: number; event: Record<string, unknown> }[];
  /** Exits to userspace of all vCPUs, in order. */
  readonly userspace: { vcpu: number; exit: UserspaceExit }[];
  names(): ProbeName[];
}

/** Where host code costs next to nothing, timers need not be set in advance. */
const PARAMS: Partial<KvmParams> = { lapicTimerAdvance: false };

/** One vCPU for each script, in x2APIC mode, on a CPU of its own. */
export function vmRig(scripts: Step[][], options: RigOptions = {}): VmRig {
  const { costs = COST_MODELS.unit, quantum = 1000, features = [], params = {}, hostCpus = scripts.length } = options;
  const { slice, startTime, swap, xen } = options;
  const host = new Host({ cpus: hostCpus, costs, quantum, ...(slice !== undefined && { slice }) });
  const guests = scripts.map((script) => new ScriptedCpu(script));
  const arena = smallArena();
  const vm = new Vm({
    host,
    guests,
    cpus: scripts.map((_, id) => host.cpus[id % hostCpus]!),
    arena,
    secondStage: new SecondStage(arena),
    pvFeatures: features,
    params: { ...PARAMS, ...params },
    ...(startTime !== undefined && { startTime }),
    ...(swap !== undefined && { swap }),
    ...(xen !== undefined && { xen }),
  });
  const rig: VmRig = { host, vm, guests, events: [], userspace: [], names: () => rig.events.map((e) => e.name) };
  for (const vcpu of vm.vcpus) {
    vcpu.mpState = 'runnable';
    vcpu.lapic.writeBase(vcpu.lapic.base | APIC_BASE.EXTD, true);
  }
  vm.probes.subscribe((name, event, time) => rig.events.push({ name, time, event: event as Record<string, unknown> }));
  for (const vcpu of vm.vcpus) vcpu.thread = host.spawn(vcpu.name, vcpu.cpu, thread(rig, vcpu));
  return rig;
}

/** Userspace answers every access with 0x5a and stops at everything else. */
function* thread(rig: VmRig, vcpu: Vcpu): Sleep<void> {
  for (;;) {
    const exit = yield* vcpuRun(vcpu);
    rig.userspace.push({ vcpu: vcpu.id, exit });
    if (exit.reason !== 'IO' && exit.reason !== 'MMIO') return;
    vcpu.complete(0x5an);
  }
}
