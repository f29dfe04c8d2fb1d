// What a machine is made of: the options of `Machine.boot`, their defaults, and what is wrong with them.

import type { ProcessorOptions } from '../cpu/processor.ts';
import { costModel, type CostModel } from '../host/costs.ts';
import type { Host } from '../host/host.ts';
import type { CpuModel, CpuModelName } from '../hypervisor/cpuModels.ts';
import type { LapicQuirks } from '../hypervisor/lapic/quirks.ts';
import { problemOf, type KvmParams } from '../hypervisor/params.ts';
import { isPvFeatureWish, wishNames, type PvFeatureWish } from '../hypervisor/pv/features.ts';
import type { SwapOptions } from '../hypervisor/swap.ts';
import type { XenCpuid } from '../hypervisor/xen/cpuid.ts';
import type { Probes } from '../trace/probes.ts';
import { PAGE_SIZE } from '../x86/names/paging.ts';
import type { BootModule } from './boot/start.ts';
import type { Image } from './image.ts';
import { DEVICE_NAMES, type DeviceName } from './pc.ts';
import { problemOfRouting, type XenRouting } from './xen/routing.ts';

export interface BootOptions {
  readonly image: Image;
  /** The kernel's command line, by boot protocols that have one. */
  readonly commandLine?: string;
  /** Initrd or modules, by boot protocols that have them. */
  readonly modules?: readonly BootModule[];
  /** Default 1. */
  readonly vcpus?: number;
  /** Bytes of RAM from guest physical address 0 on, whole pages. Default 64 MiB. */
  readonly memory?: number;
  /** Paravirtual features beside those that KVM offers anyway, or (with `-` in front) taken from them. */
  readonly features?: readonly PvFeatureWish[];
  /** The date at the start, in whole seconds since 1970. Default: 2020-01-01, so that runs are the same whenever they are made. */
  readonly startTime?: number;
  /** The host pages guest memory out (hypervisor/swap.ts). Default: it does not. */
  readonly swap?: SwapOptions;
  /**
   * The guest is Xen's: an HVM domain (vmm/xen), with Xen's CPUID leaves in front of KVM's. Or only KVM_CAP_XEN_HVM, and what these
   * leaves say: who boots it then sets the attributes (hypervisor/xen/attributes.ts). Default: it is not.
   */
  readonly xen?: 'domain' | XenCpuid;
  /** How events of an HVM domain come to it, by what they are made of (vmm/xen/routing.ts). Default: XEN_ROUTING. */
  readonly xenRoute?: Partial<XenRouting>;
  /** Devices that a PC does not have anyway. */
  readonly devices?: readonly DeviceName[];
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
  /** Every exit leaves generated code; slower, and no different. */
  readonly noInPlace?: boolean;
  /** What executes the semantics (see ProcessorOptions). */
  readonly engine?: NonNullable<ProcessorOptions['engine']>;
}

export const DEFAULT_MEMORY = 64 * 2 ** 20;

/** Why no machine can be made of these options; null: one can. */
export function problemOfOptions(options: BootOptions): string | null {
  const { vcpus = 1, memory = DEFAULT_MEMORY, features = [], housekeeping } = options;
  const { hostCpus = vcpus } = options;
  if (!Number.isInteger(vcpus) || vcpus < 1) return `a machine has at least one vCPU, not ${vcpus}`;
  if (!Number.isInteger(memory) || memory <= 0 || memory % PAGE_SIZE !== 0)
    return `memory is a number of whole pages of ${PAGE_SIZE} bytes, not ${memory} bytes`;
  const unknown = features.find((feature) => !isPvFeatureWish(feature));
  if (unknown !== undefined) return `there is no feature '${unknown}', only ${wishNames()}`;
  const { startTime = 0, swap } = options;
  if (!Number.isSafeInteger(startTime) || startTime < 0)
    return `the date at the start is whole seconds since 1970, not ${startTime}`;
  if (swap?.limit !== undefined && !(swap.limit >= PAGE_SIZE))
    return `the host must keep at least one page of ${PAGE_SIZE} bytes in memory, not ${swap.limit} bytes`;
  const { devices = [], xenRoute } = options;
  const strange = devices.find((device) => !DEVICE_NAMES.includes(device));
  if (strange !== undefined) return `there is no device '${strange}', only ${DEVICE_NAMES.join(', ')}`;
  const twice = devices.find((device, i) => devices.indexOf(device) !== i);
  if (twice !== undefined) return `a machine has one device '${twice}' at most: name it once`;
  if (xenRoute !== undefined && options.xen !== 'domain')
    return "xenRoute says how events come to an HVM domain of Xen: it needs xen: 'domain' (--xen, or '# xen: domain' in a source)";
  const misled = problemOfRouting(xenRoute ?? {});
  if (misled !== null) return misled;
  const wrong = problemOf(options.params ?? {});
  if (wrong !== null) return wrong;
  if (housekeeping !== undefined && housekeeping >= hostCpus)
    return `CPU ${housekeeping} cannot keep house for a host that has ${hostCpus}: add one, or name another`;
  return null;
}

/** The host that a machine makes for itself. */
export const hostOptions = ({ hostCpus, costs, quantum, tscKhz, slice, housekeeping }: BootOptions, vcpus: number) => ({
  cpus: hostCpus ?? vcpus,
  ...(costs !== undefined && { costs: typeof costs === 'string' ? costModel(costs) : costs }),
  ...(quantum !== undefined && { quantum }),
  ...(tscKhz !== undefined && { tscKhz }),
  ...(slice !== undefined && { slice }),
  ...(housekeeping !== undefined && { housekeeping }),
});
