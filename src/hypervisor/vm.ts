// A virtual machine: struct kvm. Its memory slots, vCPUs, what CPUID offers, and what the guest asked for in vain. What
// userspace does with it (devices, loaders) is in src/vmm.

import type { Arena } from '../cpu/memory/arena.ts';
import type { SecondStage } from '../cpu/memory/secondStage.ts';
import { DEFAULT_PHYSICAL_ADDRESS_BITS, type Features } from '../cpu/features.ts';
import type { PhysicalCpu } from '../host/cpu.ts';
import { COST } from '../host/costs.ts';
import type { Host } from '../host/host.ts';
import type { HostFields } from '../host/savedFields.ts';
import { Probes } from '../trace/probes.ts';
import { MmioBus } from './bus/mmio.ts';
import { PortBus } from './bus/ports.ts';
import { CpuidTable } from './cpuid.ts';
import type { CpuModel } from './cpuModels.ts';
import { Diagnostics } from './diagnostics.ts';
import type { GuestCpu } from './guestCpu.ts';
import { GuestMemory } from './guestMemory.ts';
import { Irqchip } from './irqchip/irqchip.ts';
import { setMsi } from './irqchip/msi.ts';
import { IrqRouting, IRQ_SOURCE } from './irqchip/routing.ts';
import { ApicMap } from './lapic/apicMap.ts';
import type { Lapic } from './lapic/lapic.ts';
import type { LapicFeatures, LapicVm } from './lapic/owner.ts';
import { KVM_QUIRKS, type LapicQuirks } from './lapic/quirks.ts';
import { Memslots } from './memslots.ts';
import { KVM_PARAMS, type KvmParams } from './params.ts';
import type { PvFeature } from './pv/features.ts';
import { VmClock } from './pv/vmClock.ts';
import { KVM_REQ } from './requests.ts';
import { Swap, type SwapOptions } from './swap.ts';
import { TscSync } from './tscSync.ts';
import { Vcpu } from './vcpu.ts';
import type { XenCpuid } from './xen/cpuid.ts';
import { XenVm } from './xen/xenVm.ts';

export interface VmOptions {
  readonly host: Host;
  /** One for each vCPU. */
  readonly guests: readonly GuestCpu[];
  /** The physical CPU of each vCPU. */
  readonly cpus: readonly PhysicalCpu[];
  readonly arena: Arena;
  readonly secondStage: SecondStage;
  readonly probes?: Probes;
  readonly model?: CpuModel;
  readonly pvFeatures?: readonly PvFeature[];
  readonly quirks?: LapicQuirks;
  readonly params?: Partial<KvmParams>;
  /** KVM_CAP_X86_APIC_BUS_CYCLES_NS. */
  readonly apicBusCycleNs?: number;
  /** The date at which the VM is made, in seconds since 1970. */
  readonly startTime?: number;
  /** The host pages guest memory out. */
  readonly swap?: SwapOptions;
  /** The guest is Xen's: KVM_CAP_XEN_HVM, and what CPUID says. */
  readonly xen?: XenCpuid;
}

/** 2020-01-01 00:00 UTC: runs are the same whenever they are made. */
export const DEFAULT_START_TIME = 1_577_836_800;

const NS_PER_MS = 1_000_000;

export class Vm implements LapicVm {
  readonly host: Host;
  readonly probes: Probes;
  readonly memslots: Memslots;
  readonly memory: GuestMemory;
  readonly cpuid: CpuidTable;
  /** Called when no vCPU can ever run again: each is halted with interrupts off, or waits for INIT or SIPI. */
  onStuck: () => void = () => {};
  readonly diagnostics = new Diagnostics();
  /** KVM_PIO_BUS and KVM_MMIO_BUS: devices that need no return to userspace. */
  readonly ports = new PortBus();
  readonly mmio = new MmioBus();
  readonly irqs: IrqRouting;
  /** PIC, IOAPIC and PIT. */
  readonly irqchip: Irqchip;
  readonly pvFeatures: ReadonlySet<PvFeature>;
  readonly vcpus: readonly Vcpu[];
  readonly lapics: Lapic[] = [];
  readonly apicMap = new ApicMap(() => this.irqchip.ioapic.apicsChanged());
  readonly quirks: LapicQuirks;
  readonly params: KvmParams;
  readonly tscKhz: number;
  readonly apicBusCycleNs: number;
  readonly tscSync: TscSync;
  /** kvmclock. */
  readonly clock: VmClock;
  /** MSR_KVM_WALL_CLOCK, one for all vCPUs. */
  wallClockMsr = 0n;
  /** Null: all guest memory stays where it is. */
  swap: Swap | null;
  /** What Xen guests need; null: there is none. */
  readonly xen: XenVm | null;
  readonly bspId = 0;
  /** What CPUID offers, as the processor asks it. */
  readonly features: Features;
  readonly lapicFeatures: LapicFeatures;

  constructor(options: VmOptions) {
    const {
      host,
      guests,
      cpus,
      arena,
      secondStage,
      pvFeatures = [],
      quirks = KVM_QUIRKS,
      apicBusCycleNs = 1,
    } = options;
    this.host = host;
    this.probes = options.probes ?? new Probes();
    this.memslots = new Memslots(arena, secondStage);
    this.memory = new GuestMemory(this.memslots);
    this.quirks = quirks;
    this.params = { ...KVM_PARAMS, ...options.params };
    // A vCPU that halts without an exit cannot be woken by a kick.
    this.pvFeatures = new Set(pvFeatures.filter((name) => name !== 'kvm-pv-unhalt' || !this.params.hltInGuest));
    this.swap = options.swap === undefined ? null : new Swap(host, this.memslots, options.swap);
    this.tscKhz = host.tscKhz;
    this.tscSync = new TscSync(host.tscKhz);
    this.clock = new VmClock(this, options.startTime ?? DEFAULT_START_TIME);
    this.xen = options.xen === undefined ? null : new XenVm(this, options.xen);
    this.apicBusCycleNs = apicBusCycleNs;
    this.cpuid = new CpuidTable({
      ...(options.model === undefined ? {} : { model: options.model }),
      pvFeatures: this.pvFeatures,
      vcpus: guests.length,
      tscKhz: host.tscKhz,
      apicBusKhz: NS_PER_MS / apicBusCycleNs,
      ...(options.xen !== undefined && { xen: options.xen }),
    });
    this.features = {
      has: (feature) => this.cpuid.offers(feature),
      physicalAddressBits: DEFAULT_PHYSICAL_ADDRESS_BITS,
    };
    this.lapicFeatures = {
      x2apic: this.cpuid.offers('X2APIC'),
      tscDeadline: this.cpuid.offers('TSC_DEADLINE'),
      physicalAddressBits: DEFAULT_PHYSICAL_ADDRESS_BITS,
      cmci: false,
    };
    this.irqs = new IrqRouting(host, this.probes);
    this.irqchip = new Irqchip(this);
    this.vcpus = guests.map((guest, id) => {
      const vcpu = new Vcpu(this, id, guest, cpus[id]!);
      this.lapics.push(vcpu.lapic);
      return vcpu;
    });
    for (const vcpu of this.vcpus) vcpu.reset(false);
  }

  ioapicEoi(lapic: Lapic, vector: number, levelTriggered: boolean): void {
    const { ioapicVectors, requests } = this.vcpus[lapic.owner.id]!;
    if (!ioapicVectors.has(vector)) return;
    if (ioapicVectors.isStale(vector)) requests.make(KVM_REQ.SCAN_IOAPIC);
    this.irqchip.ioapic.updateEoi(lapic, vector, levelTriggered);
  }

  /** KVM_IRQ_LINE_STATUS: userspace drives a line. How many CPUs got the interrupt; 0: coalesced, below 0: masked. */
  irqLine(gsi: number, level: boolean): number {
    this.host.thisCpu.charge(COST.ioctl);
    if (this.xen !== null && this.xen.routes.has(gsi)) return this.xen.routes.set(gsi, level);
    return this.irqs.set(gsi, level, IRQ_SOURCE.USERSPACE, true);
  }

  /** KVM_SIGNAL_MSI: a device writes `data` to `address`. How many LAPICs accepted the message; -1: it names none. */
  signalMsi(address: bigint, data: number): number {
    this.host.thisCpu.charge(COST.ioctl);
    return setMsi(this, address, data);
  }

  /** kvm_ioapic_handles_vector(): the IOAPIC waits for the end of this vector. */
  ioapicHandles(lapic: Lapic, vector: number): boolean {
    return this.vcpus[lapic.owner.id]!.ioapicVectors.has(vector);
  }

  /** What a snapshot keeps besides memory and processors, which come before. */
  transfer(fields: HostFields): void {
    this.diagnostics.transfer(fields.part('diagnostics'));
    const held = fields.data('irqs', this.irqs.save());
    if (fields.restoring) this.irqs.restore(held);
    this.tscSync.transfer(fields.part('tscSync'));
    this.clock.transfer(fields.part('clock'));
    fields.own<Vm>(this, 'wallClockMsr');
    this.xen?.transfer(fields.part('xen'));
    for (const vcpu of this.vcpus) vcpu.transfer(fields.part(vcpu.name));
  }
}
