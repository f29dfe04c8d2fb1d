// The VM's map from destinations to local APICs (struct kvm_apic_map): most sends find their targets here without asking
// every APIC. It is rebuilt at the first send after something changed that matching looks at, and says so when it cannot
// answer.

import { CLUSTER_MEMBERS, CLUSTER_SHIFT, X2APIC_BROADCAST, XAPIC_BROADCAST } from './destination.ts';
import type { Irq } from './icr.ts';
import type { Lapic } from './lapic.ts';
import { APIC, DFR, XAPIC_ID_SHIFT } from './registers.ts';
import type { LapicVm } from './owner.ts';
import type { Cell } from '../../host/cells.ts';

/**
 * How logical destinations are resolved. `none`: no APIC is software-enabled with a logical id yet. `disabled`: the APICs
 * disagree, so each send asks all of them.
 */
export type LogicalMode = 'none' | 'xapic-flat' | 'xapic-cluster' | 'x2apic' | 'disabled';

type Slot = Lapic | undefined;

const CLUSTERS = 16;
const CLUSTER_SIZE = 16;
const XAPIC_CLUSTER_SIZE = 4;
const FLAT_SIZE = 8;

export class ApicMap {
  #dirty: Cell<boolean> = true;
  #lapics = 0;
  /** False when two APICs share a physical id: then nothing is answered from here. */
  #usable = false;
  #physical: Slot[] = [];
  #maxId = XAPIC_BROADCAST;
  #logicalMode: LogicalMode = 'none';
  #flat: Slot[] = [];
  #clusters: Slot[][] = [];
  readonly #changed: () => void;

  /** `changed`: told whenever destinations may mean others. */
  constructor(changed: () => void = () => {}) {
    this.#changed = changed;
  }

  /** Something that destinations are matched against has changed. */
  markDirty(): void {
    this.#dirty = true;
    this.#changed();
  }

  /** A snapshot put APICs in their places: what was known is wrong, but nothing has changed that somebody must be told of. */
  restored(): void {
    this.#dirty = true;
  }

  /** How logical destinations are resolved now. */
  logicalMode(vm: LapicVm): LogicalMode {
    this.#recalculate(vm);
    return this.#logicalMode;
  }

  /**
   * The targets of a message without shorthand; null when only asking every APIC can tell: broadcasts, shared ids, APICs
   * in different logical modes. A destination that nobody has is answered: by no targets.
   */
  targets(vm: LapicVm, source: Lapic | null, irq: Irq): Lapic[] | null {
    this.#recalculate(vm);
    if (!this.#usable || this.#isBroadcast(vm, source, irq.dest)) return null;
    if (!irq.logical) {
      const target = irq.dest <= this.#maxId ? this.#physical[irq.dest] : undefined;
      return target === undefined ? [] : [target];
    }
    const group = this.#logicalGroup(irq.dest);
    return group && group.filter((lapic) => lapic !== undefined);
  }

  /** map->phys_map[id]: the APIC of a physical id. */
  byPhysicalId(vm: LapicVm, id: number): Lapic | undefined {
    this.#recalculate(vm);
    return this.#physical[id];
  }

  /** kvm_recalculate_apic_map(): rebuilds when dirty, or when a vCPU was added. */
  #recalculate(vm: LapicVm): void {
    if (!this.#dirty && this.#lapics === vm.lapics.length) return;
    this.#dirty = false;
    this.#lapics = vm.lapics.length;
    const present = vm.lapics.filter((lapic) => lapic.hardwareEnabled);
    this.#maxId = present.reduce((max, lapic) => Math.max(max, lapic.x2apicId), XAPIC_BROADCAST);
    this.#physical = [];
    this.#logicalMode = 'none';
    this.#flat = [];
    this.#clusters = Array.from({ length: CLUSTERS }, () => []);
    this.#usable = present.every((lapic) => this.#addPhysical(lapic, vm.quirks.x2apicFormat));
    for (const lapic of present) this.#addLogical(lapic);
  }

  /** kvm_apic_is_broadcast_dest(): whether a destination may mean everybody, to somebody. */
  #isBroadcast(vm: LapicVm, source: Lapic | null, dest: number): boolean {
    if (dest === X2APIC_BROADCAST) return true;
    if (dest !== XAPIC_BROADCAST) return false;
    return vm.quirks.x2apicBroadcast ? source === null || !source.x2apic : this.#logicalMode !== 'x2apic';
  }

  /** The members of a logical destination, with gaps where a bit names nobody; null: not answerable. */
  #logicalGroup(dest: number): Slot[] | null {
    switch (this.#logicalMode) {
      case 'none':
        return [];
      case 'xapic-flat':
        return members(this.#flat, dest & 0xff, FLAT_SIZE);
      case 'xapic-cluster':
        return members(this.#clusters[(dest >>> 4) & 0xf]!, dest & 0xf, XAPIC_CLUSTER_SIZE);
      case 'x2apic': {
        const first = (dest >>> CLUSTER_SHIFT) * CLUSTER_SIZE;
        const cluster = first <= this.#maxId ? this.#physical.slice(first, first + CLUSTER_SIZE) : [];
        return members(cluster, dest & CLUSTER_MEMBERS, CLUSTER_SIZE);
      }
      case 'disabled':
        return null;
    }
  }

  /** kvm_recalculate_phys_map(): false when an id is taken, which the map cannot express. */
  #addPhysical(lapic: Lapic, x2apicFormat: boolean): boolean {
    const { x2apicId, xapicId } = lapic;
    if (x2apicFormat) {
      // Ids above 0xff are reachable before the switch to x2APIC mode (see matchesPhysical).
      if (lapic.x2apic || x2apicId > XAPIC_BROADCAST) this.#physical[x2apicId] = lapic;
      if (!lapic.x2apic) this.#physical[xapicId] ??= lapic;
      return true;
    }
    const id = lapic.x2apic ? x2apicId : xapicId;
    if (this.#physical[id] !== undefined) return false;
    this.#physical[id] = lapic;
    return true;
  }

  /** kvm_recalculate_logical_map(): all software-enabled APICs must be in one mode, each with one bit of its own. */
  #addLogical(lapic: Lapic): void {
    const ldr = lapic.register(APIC.LDR);
    if (this.#logicalMode === 'disabled' || !lapic.softwareEnabled || ldr === 0) return;
    const mode = logicalModeOf(lapic);
    if (this.#logicalMode === 'none') this.#logicalMode = mode;
    if (this.#logicalMode !== mode) {
      this.#logicalMode = 'disabled';
      return;
    }
    // The physical map serves x2APIC clusters: an id determines its LDR.
    if (mode === 'x2apic' || mode === 'disabled') return;
    const id = ldr >>> XAPIC_ID_SHIFT;
    const flat = mode === 'xapic-flat';
    const group = flat ? this.#flat : this.#clusters[id >>> 4]!;
    const bits = flat ? id : id & 0xf;
    if (bits === 0) return;
    const bit = 31 - Math.clz32(bits);
    if (bits !== 1 << bit || group[bit] !== undefined) this.#logicalMode = 'disabled';
    else group[bit] = lapic;
  }
}

/** The mode of one APIC; `disabled` for a DFR that is neither model, which matches nothing. */
function logicalModeOf(lapic: Lapic): Exclude<LogicalMode, 'none'> {
  if (lapic.x2apic) return 'x2apic';
  const dfr = lapic.register(APIC.DFR);
  return dfr === DFR.FLAT ? 'xapic-flat' : dfr === DFR.CLUSTER ? 'xapic-cluster' : 'disabled';
}

const members = (group: readonly Slot[], bits: number, size: number): Slot[] =>
  Array.from({ length: size }, (_, i) => ((bits >>> i) & 1 ? group[i] : undefined));
