// KVM's paravirtual features by QEMU's names, and which of them a VM offers (CPUID leaf KVM_CPUID.FEATURES, EAX).

import { KVM_FEATURE } from '../names.ts';
import type { KvmParams } from '../params.ts';

/** Bits of a feature. */
export const PV_FEATURES = {
  kvmclock: [KVM_FEATURE.CLOCKSOURCE, KVM_FEATURE.CLOCKSOURCE2],
  'kvmclock-stable-bit': [KVM_FEATURE.CLOCKSOURCE_STABLE_BIT],
  'kvm-nopiodelay': [KVM_FEATURE.NOP_IO_DELAY],
  'kvm-asyncpf': [KVM_FEATURE.ASYNC_PF],
  'kvm-asyncpf-int': [KVM_FEATURE.ASYNC_PF_INT],
  'kvm-steal-time': [KVM_FEATURE.STEAL_TIME],
  'kvm-pv-eoi': [KVM_FEATURE.PV_EOI],
  'kvm-pv-unhalt': [KVM_FEATURE.PV_UNHALT],
  'kvm-pv-tlb-flush': [KVM_FEATURE.PV_TLB_FLUSH],
  'kvm-pv-ipi': [KVM_FEATURE.PV_SEND_IPI],
  'kvm-poll-control': [KVM_FEATURE.POLL_CONTROL],
  'kvm-pv-sched-yield': [KVM_FEATURE.PV_SCHED_YIELD],
  'lazy-tscdeadline': [KVM_FEATURE.LAZY_TSCDEADLINE],
} as const satisfies Record<string, readonly number[]>;
export type PvFeature = keyof typeof PV_FEATURES;
export const isPvFeature = (name: string): name is PvFeature => Object.hasOwn(PV_FEATURES, name);
const NAMES = Object.keys(PV_FEATURES) as PvFeature[];

/** What KVM and QEMU offer unless they are told otherwise: all that is upstream. */
export const DEFAULT_PV_FEATURES: readonly PvFeature[] = NAMES.filter((name) => name !== 'lazy-tscdeadline');

/** A wish: a feature to offer, `-` and a feature to take away, or `-all`. */
export type PvFeatureWish = PvFeature | `-${PvFeature}` | '-all';
export const isPvFeatureWish = (text: string): text is PvFeatureWish =>
  text === '-all' || isPvFeature(text.startsWith('-') ? text.slice(1) : text);
/** What a wish may be, for messages. */
export const wishNames = (): string => `${NAMES.join(', ')}; with - in front, not to offer it; -all`;

/** The features of a VM: the default ones, and each wish in turn. */
export function offeredFeatures(wishes: readonly PvFeatureWish[] = []): PvFeature[] {
  const offered = new Set(DEFAULT_PV_FEATURES);
  for (const wish of wishes) {
    if (wish === '-all') offered.clear();
    else if (isPvFeature(wish)) offered.add(wish);
    else offered.delete(wish.slice(1) as PvFeature);
  }
  return NAMES.filter((name) => offered.has(name));
}

/** guest_pv_has(): whether a guest may use a feature. Unless KVM is to be strict, one that CPUID does not offer works all the same. */
export const guestPvHas = (
  { params, pvFeatures }: { readonly params: KvmParams; readonly pvFeatures: ReadonlySet<PvFeature> },
  feature: PvFeature,
): boolean => !params.enforcePvFeatureCpuid || pvFeatures.has(feature);
