// CPUID: what a VM's processors say of themselves. What they are is data (cpuModels.ts); the leaves from 0x40000000 on are
// KVM's. Which instructions really exist follows from this table (featuresFromCpuid).

import { DEFAULT_PHYSICAL_ADDRESS_BITS, type CpuidResult } from '../cpu/features.ts';
import { CPUID_FEATURE, CPUID_LEAF, type CpuidFeature, type CpuidRegister } from '../x86/names/cpuid.ts';
import { CR4 } from '../x86/names/registers.ts';
import { MAX_MODEL, type CpuModel } from './cpuModels.ts';
import { KVM_CPUID, KVM_SIGNATURE } from './names.ts';
import { PV_FEATURES, type PvFeature } from './pv/features.ts';
import { XEN_CPUID, xenLeaves, type XenCpuid } from './xen/cpuid.ts';

export interface CpuidOptions {
  readonly model?: CpuModel;
  readonly pvFeatures?: Iterable<PvFeature>;
  readonly vcpus: number;
  readonly tscKhz: number;
  readonly apicBusKhz: number;
  /** Xen's leaves come first. */
  readonly xen?: XenCpuid;
}

/** What a leaf says for one vCPU in its current state (kvm_update_cpuid_runtime). */
export interface CpuidAsker {
  readonly id: number;
  /** IA32_APIC_BASE.EN. */
  readonly apicEnabled: boolean;
  readonly cr4: bigint;
}

const CRYSTAL_KHZ = 25_000;
const NOTHING: CpuidResult = { eax: 0, ebx: 0, ecx: 0, edx: 0 };
/** Topology level types of leaf 0xB. */
const TOPOLOGY = { SMT: 1, CORE: 2 } as const;
/** CLFLUSH line size in units of 8 bytes, leaf 1 EBX[15:8]. */
const CLFLUSH_UNITS = 8;
const LINEAR_ADDRESS_BITS = 48;
/** A second hypervisor's leaves are looked for at each multiple of this. */
const BEHIND_XEN = 0x100;

type Leaf = (subleaf: number, asker: CpuidAsker) => CpuidResult;

export class CpuidTable {
  readonly options: CpuidOptions;
  readonly model: CpuModel;
  readonly #leaves = new Map<number, Leaf>();
  readonly #maxBasic: number;
  readonly #maxHypervisor: number;
  readonly #maxExtended: number;

  constructor(options: CpuidOptions) {
    this.options = options;
    this.model = options.model ?? MAX_MODEL;
    this.#defineBasic();
    this.#defineHypervisor();
    this.#defineExtended();
    const numbers = [...this.#leaves.keys()];
    this.#maxBasic = Math.max(...numbers.filter((n) => n < KVM_CPUID.SIGNATURE));
    this.#maxHypervisor = Math.max(...numbers.filter((n) => n < CPUID_LEAF.EXTENDED_MAX));
    this.#maxExtended = Math.max(...numbers);
  }

  /**
   * Executes CPUID for a vCPU. A leaf beyond the basic range answers as the highest basic leaf, as Intel's processors do;
   * a hole answers zeroes.
   */
  answer(leaf: number, subleaf: number, asker: CpuidAsker): CpuidResult {
    const define = this.#leaves.get(leaf);
    if (define !== undefined) return define(subleaf, asker);
    const inRange =
      leaf <= this.#maxBasic || (leaf >= KVM_CPUID.SIGNATURE && leaf <= this.#maxHypervisor) ||
      (leaf >= CPUID_LEAF.EXTENDED_MAX && leaf <= this.#maxExtended); // prettier-ignore
    if (inRange) return NOTHING;
    return this.#leaves.get(this.#maxBasic)?.(subleaf, asker) ?? NOTHING;
  }

  /** Whether a leaf is defined; others are answered as a hole or as the highest one. */
  has(leaf: number): boolean {
    return this.#leaves.has(leaf);
  }

  /** The leaves that are defined, in ascending order. */
  get leaves(): readonly number[] {
    return [...this.#leaves.keys()].sort((a, b) => a - b);
  }

  /** Whether the model offers a feature. */
  offers(feature: CpuidFeature): boolean {
    return this.model.features.includes(feature);
  }

  #define(leaf: number, answer: Leaf): void {
    this.#leaves.set(leaf, answer);
  }

  /** The feature bits of one register of a leaf. */
  #bits(leaf: number, subleaf: number, register: CpuidRegister): number {
    let word = 0;
    for (const name of this.model.features) {
      const f = CPUID_FEATURE[name];
      if (f.leaf === leaf && f.subleaf === subleaf && f.register === register) word |= 1 << f.bit;
    }
    return word >>> 0;
  }

  #defineBasic(): void {
    const { model, options } = this;
    const [ebx, edx, ecx] = text(model.vendor);
    let vendor: CpuidResult | null = null;
    this.#define(CPUID_LEAF.VENDOR, () => (vendor ??= { eax: this.#maxBasic, ebx: ebx!, ecx: ecx!, edx: edx! }));

    const signature = versionSignature(model);
    const ecx1 = this.#bits(CPUID_LEAF.FEATURES, 0, 'ecx');
    const edx1 = this.#bits(CPUID_LEAF.FEATURES, 0, 'edx');
    this.#define(CPUID_LEAF.FEATURES, (_, asker) => ({
      eax: signature,
      ebx: ((asker.id << 24) | (Math.min(options.vcpus, 255) << 16) | (CLFLUSH_UNITS << 8)) >>> 0,
      ecx: mirror(ecx1, CPUID_FEATURE.OSXSAVE.bit, this.offers('XSAVE') && (asker.cr4 & CR4.OSXSAVE) !== 0n),
      edx: mirror(edx1, CPUID_FEATURE.APIC.bit, this.offers('APIC') && asker.apicEnabled),
    }));

    const leaf7 = {
      eax: 0,
      ebx: this.#bits(CPUID_LEAF.EXTENDED_FEATURES, 0, 'ebx'),
      ecx: this.#bits(CPUID_LEAF.EXTENDED_FEATURES, 0, 'ecx'),
      edx: this.#bits(CPUID_LEAF.EXTENDED_FEATURES, 0, 'edx'),
    };
    this.#define(CPUID_LEAF.EXTENDED_FEATURES, (subleaf) => (subleaf === 0 ? leaf7 : NOTHING));

    const shift = Math.ceil(Math.log2(options.vcpus));
    this.#define(CPUID_LEAF.TOPOLOGY, (subleaf, asker) => {
      if (subleaf === 0) return { eax: 0, ebx: 1, ecx: TOPOLOGY.SMT << 8, edx: asker.id };
      if (subleaf === 1) return { eax: shift, ebx: options.vcpus, ecx: (TOPOLOGY.CORE << 8) | 1, edx: asker.id };
      return { eax: 0, ebx: 0, ecx: subleaf & 0xff, edx: asker.id };
    });

    // TSC frequency = crystal * EBX / EAX; exact when the frequency is a multiple of half the crystal's.
    const ratio = { eax: 2, ebx: Math.round((2 * options.tscKhz) / CRYSTAL_KHZ), ecx: CRYSTAL_KHZ * 1000, edx: 0 };
    this.#define(CPUID_LEAF.TSC, () => ratio);
    const mhz = Math.round(options.tscKhz / 1000);
    this.#define(CPUID_LEAF.FREQUENCY, () => ({ eax: mhz, ebx: mhz, ecx: CRYSTAL_KHZ / 1000, edx: 0 }));
  }

  #defineHypervisor(): void {
    const { pvFeatures = [], tscKhz, apicBusKhz, xen } = this.options;
    let behind = 0;
    if (xen !== undefined) {
      behind = BEHIND_XEN;
      for (const [index, leaf] of xenLeaves(xen, tscKhz).entries())
        this.#define(XEN_CPUID.BASE + index, (subleaf, { id }) => leaf(subleaf, id));
    }
    if (this.model.kvm === false) return;
    let features = 0;
    for (const bit of [...pvFeatures].flatMap((name): readonly number[] => PV_FEATURES[name])) features |= 1 << bit;
    this.#define(KVM_CPUID.SIGNATURE + behind, () => ({ eax: KVM_CPUID.TIMING + behind, ...KVM_SIGNATURE }));
    this.#define(KVM_CPUID.FEATURES + behind, () => ({ ...NOTHING, eax: features >>> 0 }));
    this.#define(KVM_CPUID.TIMING + behind, () => ({ ...NOTHING, eax: tscKhz, ebx: apicBusKhz }));
  }

  #defineExtended(): void {
    this.#define(CPUID_LEAF.EXTENDED_MAX, () => ({ ...NOTHING, eax: this.#maxExtended }));
    const extended = {
      ...NOTHING,
      ecx: this.#bits(CPUID_LEAF.EXTENDED, 0, 'ecx'),
      edx: this.#bits(CPUID_LEAF.EXTENDED, 0, 'edx'),
    };
    this.#define(CPUID_LEAF.EXTENDED, () => extended);
    const brand = text(this.model.brand.padEnd(48, '\0'));
    for (let i = 0; i < 3; i++) {
      const [eax, ebx, ecx, edx] = brand.slice(4 * i) as [number, number, number, number];
      this.#define(CPUID_LEAF.BRAND + i, () => ({ eax, ebx, ecx, edx }));
    }
    const power = { ...NOTHING, edx: this.#bits(CPUID_LEAF.ADVANCED_POWER, 0, 'edx') };
    this.#define(CPUID_LEAF.ADVANCED_POWER, () => power);
    const sizes = (LINEAR_ADDRESS_BITS << 8) | DEFAULT_PHYSICAL_ADDRESS_BITS;
    const ebx = this.#bits(CPUID_LEAF.ADDRESS_SIZES, 0, 'ebx');
    const ecx = this.options.vcpus - 1;
    this.#define(CPUID_LEAF.ADDRESS_SIZES, () => ({ eax: sizes, ebx, ecx, edx: 0 }));
  }
}

/** Leaf 1 EAX (SDM vol. 2, CPUID, figure 3-6). */
function versionSignature({ family, model, stepping }: CpuModel): number {
  const extendedFamily = Math.max(0, family - 15);
  const usesExtendedModel = family === 6 || family >= 15;
  const extendedModel = usesExtendedModel ? model >> 4 : 0;
  return (
    (extendedFamily << 20) | (extendedModel << 16) | (Math.min(family, 15) << 8) | ((model & 15) << 4) | stepping
  ); // prettier-ignore
}

/** ASCII text as little-endian words. */
function text(value: string): number[] {
  const bytes = Uint8Array.from(value, (c) => c.charCodeAt(0));
  return Array.from(new Uint32Array(bytes.buffer));
}

/** A word with one bit forced. */
const mirror = (word: number, bit: number, set: boolean): number =>
  (set ? word | (1 << bit) : word & ~(1 << bit)) >>> 0;
