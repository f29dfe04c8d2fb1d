// What KVM's hypercalls do, one entry each (Linux 6.16 arch/x86/kvm/x86.c __kvm_emulate_hypercall, lapic.c kvm_pv_send_ipi,
// Documentation/virt/kvm/x86/hypercalls.rst). How a guest makes one is in exits/hypercall.ts.

import { deliverToApics } from '../lapic/delivery.ts';
import { acceptIrq } from '../lapic/accept.ts';
import { decodeIcr, DELIVERY, ICR, SHORTHAND } from '../lapic/icr.ts';
import { KVM_HC, KVM_HC_ERROR } from '../names.ts';
import type { Vcpu } from '../vcpu.ts';
import { guestPvHas, type PvFeature } from './features.ts';

/** RBX, RCX, RDX, RSI, 32 bits of each outside of 64-bit mode. */
export type HypercallArguments = readonly [bigint, bigint, bigint, bigint];

export interface Hypercall {
  /** What must be offered, where KVM is strict. */
  readonly feature?: PvFeature;
  /** RAX afterwards. */
  run(vcpu: Vcpu, args: HypercallArguments, is64Bit: boolean): bigint;
}

/** struct kvm_clock_pairing: byte offsets. */
const CLOCK_PAIRING = { SEC: 0, NSEC: 8, TSC: 16, SIZE: 64 } as const;
const CLOCK_PAIRING_WALLCLOCK = 0n;
const NS_PER_S = 1_000_000_000n;

/** KVM_HC_CLOCK_PAIRING: the date and the guest's TSC at one moment. */
function pairClocks(vcpu: Vcpu, address: bigint, type: bigint): bigint {
  const { clock, memory } = vcpu.vm;
  if (type !== CLOCK_PAIRING_WALLCLOCK || !clock.useMasterClock) return KVM_HC_ERROR.EOPNOTSUPP;
  const realtime = clock.realtime();
  const pair = new DataView(new ArrayBuffer(CLOCK_PAIRING.SIZE));
  pair.setBigInt64(CLOCK_PAIRING.SEC, realtime / NS_PER_S, true);
  pair.setBigInt64(CLOCK_PAIRING.NSEC, realtime % NS_PER_S, true);
  pair.setBigUint64(CLOCK_PAIRING.TSC, vcpu.guestTsc(), true);
  return memory.write(Number(address), new Uint8Array(pair.buffer)) ? 0n : KVM_HC_ERROR.EFAULT;
}

/**
 * kvm_pv_send_ipi(): an interrupt to every vCPU whose bit is set in two words, bit 0 being APIC id `min`; how many got it.
 * `icr` is the low word of one, without destination.
 */
function sendIpis(vcpu: Vcpu, low: bigint, high: bigint, min: bigint, icr: number, wordBits: number): bigint {
  const { vm } = vcpu;
  const { logical, shorthand, deliveryMode, vector, assert, levelTriggered } = decodeIcr(icr, 0);
  if (logical || shorthand !== SHORTHAND.NONE) return KVM_HC_ERROR.EINVAL;
  let count = 0n;
  for (const [word, bitmap] of [low, high].entries()) {
    for (let bit = 0; bit < wordBits; bit++) {
      if (((bitmap >> BigInt(bit)) & 1n) === 0n) continue;
      const lapic = vm.apicMap.byPhysicalId(vm, Number(min) + word * wordBits + bit);
      if (lapic !== undefined && acceptIrq(lapic, deliveryMode, vector, assert, levelTriggered)) count++;
    }
  }
  return count;
}

/** kvm_pv_kick_cpu_op(): a vCPU that spins for a lock has halted; whoever releases the lock wakes it. */
function kickCpu(vcpu: Vcpu, apicId: bigint): void {
  const irq = decodeIcr(DELIVERY.REMRD << ICR.MODE_SHIFT, Number(BigInt.asUintN(32, apicId)));
  deliverToApics(vcpu.vm, null, irq);
}

/** kvm_sched_yield(): this vCPU lets one run that waits for a CPU. */
function schedYield(vcpu: Vcpu, apicId: bigint): void {
  const { vm, stat, cpu } = vcpu;
  stat.directedYieldAttempted++;
  if (vm.host.scheduler.singleTaskRunning(cpu)) return;
  const target = vm.vcpus.find(({ lapic }) => lapic === vm.apicMap.byPhysicalId(vm, Number(apicId)));
  if (target === undefined || target === vcpu || target.thread === null) return;
  if (vm.host.scheduler.yieldTo(target.thread)) stat.directedYieldSuccessful++;
}

/* prettier-ignore */
const HYPERCALLS: ReadonlyMap<number, Hypercall> = new Map<number, Hypercall>([
  [KVM_HC.VAPIC_POLL_IRQ, { run: () => 0n }],
  [KVM_HC.KICK_CPU, {
    feature: 'kvm-pv-unhalt',
    run: (vcpu, [, apicId]) => {
      kickCpu(vcpu, apicId);
      schedYield(vcpu, apicId);
      return 0n;
    },
  }],
  [KVM_HC.CLOCK_PAIRING, { run: (vcpu, [address, type]) => pairClocks(vcpu, address, type) }],
  [KVM_HC.SEND_IPI, {
    feature: 'kvm-pv-ipi',
    run: (vcpu, [low, high, min, icr], is64Bit) => sendIpis(vcpu, low, high, BigInt.asUintN(32, min), Number(BigInt.asIntN(32, icr)), is64Bit ? 64 : 32),
  }],
  [KVM_HC.SCHED_YIELD, {
    feature: 'kvm-pv-sched-yield',
    run: (vcpu, [apicId]) => {
      schedYield(vcpu, apicId);
      return 0n;
    },
  }],
]);

/** The hypercall of that number, if this guest may make it. */
export function hypercallFor(vcpu: Vcpu, nr: number): Hypercall | undefined {
  const found = HYPERCALLS.get(nr);
  return found?.feature === undefined || guestPvHas(vcpu.vm, found.feature) ? found : undefined;
}
