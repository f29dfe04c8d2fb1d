// What a machine counted, as data: exits by reason, MSR writes by register, KVM's per-vCPU statistics, paths of a Xen guest's
// events, host primitives.

import { EXIT, type ExitName } from '../cpu/exit.ts';
import { COST, type PrimitiveName } from '../host/costs.ts';
import { nameOfMsr } from '../hypervisor/msrs.ts';
import type { VcpuStat } from '../hypervisor/vcpu.ts';
import type { Vm } from '../hypervisor/vm.ts';
import type { XenCounts } from '../hypervisor/xen/stat.ts';

export interface Counters {
  /** VM exits of all vCPUs. */
  readonly exits: number;
  /** By VMX name; only reasons that occurred. */
  readonly byReason: ReadonlyMap<ExitName, number>;
  /** Exits of WRMSR by MSR name. */
  readonly msrWrites: ReadonlyMap<string, number>;
  readonly vcpus: readonly Readonly<VcpuStat>[];
  /** Which paths the events and hypercalls of a Xen guest took; null: the guest is not Xen's. */
  readonly xen: XenCounts | null;
  /** How often each host primitive was charged, on all CPUs of the host. */
  readonly charged: ReadonlyMap<PrimitiveName, number>;
}

export function countersOf(vm: Vm): Counters {
  const byReason = new Map<ExitName, number>();
  const msrWrites = new Map<string, number>();
  for (const { stat } of vm.vcpus) {
    for (const name of Object.keys(EXIT) as ExitName[]) {
      const count = EXIT[name] < 0 ? 0 : stat.byReason[EXIT[name]]!;
      if (count > 0) byReason.set(name, (byReason.get(name) ?? 0) + count);
    }
    for (const [index, count] of stat.msrWrites) {
      const name = nameOfMsr(index);
      msrWrites.set(name, (msrWrites.get(name) ?? 0) + count);
    }
  }
  const charged = new Map<PrimitiveName, number>();
  for (const name of Object.keys(COST) as PrimitiveName[]) {
    const count = vm.host.cpus.reduce((sum, cpu) => sum + cpu.charged[COST[name]]!, 0);
    if (count > 0) charged.set(name, count);
  }
  const vcpus = vm.vcpus.map(({ stat }) => stat);
  const exits = vcpus.reduce((sum, stat) => sum + stat.exits, 0);
  return { exits, byReason, msrWrites, vcpus, xen: vm.xen?.stat ?? null, charged };
}
