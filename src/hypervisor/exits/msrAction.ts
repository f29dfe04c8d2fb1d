// What the hypervisor did about a WRMSR, for a person. Looked at after the write; only while probes are active.

import { MSR, X2APIC_MSR } from '../../x86/names/msrs.ts';
import { X2APIC_BROADCAST } from '../lapic/destination.ts';
import { decodeIcr, DELIVERY, SHORTHAND } from '../lapic/icr.ts';
import { NONE } from '../lapic/priority.ts';
import { LVT, SPIV } from '../lapic/registers.ts';
import { KVM_MSR } from '../names.ts';
import type { Vcpu } from '../vcpu.ts';

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/**
 * "timer armed, 100000 cycles ahead", "IPI: vector 0xfb to APIC 1"; plain "written" where nothing more can be said.
 * `inService`: the highest vector in service before the write.
 */
export function describeMsrWrite(vcpu: Vcpu, index: number, value: bigint, inService: number): string {
  const low = Number(value & 0xffff_ffffn);
  switch (index) {
    case MSR.TSC_DEADLINE:
      return describeDeadline(vcpu, value);
    case X2APIC_MSR.ICR:
      return describeIpi(vcpu, low, Number(value >> 32n));
    case X2APIC_MSR.SELF_IPI:
      return `IPI: vector ${hex(low)} to itself`;
    case X2APIC_MSR.EOI:
      return inService === NONE ? 'no interrupt was in service' : `interrupt ${hex(inService)} ended`;
    case X2APIC_MSR.TPR:
      return `task priority ${hex(low)}`;
    case X2APIC_MSR.SIVR:
      return `APIC ${(low & SPIV.ENABLED) === 0 ? 'disabled' : 'enabled'}, spurious vector ${hex(low & SPIV.VECTOR)}`;
    case X2APIC_MSR.LVT_TIMER:
      return describeTimerEntry(low);
    case KVM_MSR.LAZY_TSCDEADLINE:
      return vcpu.lapic.timer.lazy.enabled ? `lazy deadline shared at ${hex(value & ~1n)}` : 'lazy deadline off';
    default:
      return 'written';
  }
}

function describeDeadline(vcpu: Vcpu, value: bigint): string {
  const { timer } = vcpu.lapic;
  if (!timer.tscDeadlineMode) return 'ignored: the timer is not in TSC-deadline mode';
  if (value === 0n) return 'timer disarmed';
  if (timer.pending > 0) return 'deadline has passed: fires now';
  const lazy = timer.lazy.enabled ? ', and published as armed' : '';
  return `timer armed, ${value - vcpu.guestTsc()} cycles ahead${lazy}`;
}

function describeIpi({ vm }: Vcpu, low: number, dest: number): string {
  const { vector, deliveryMode, logical, shorthand } = decodeIcr(low, dest);
  const what =
    deliveryMode === DELIVERY.FIXED || deliveryMode === DELIVERY.LOWEST
      ? `vector ${hex(vector)}`
      : modeName(deliveryMode);
  const physical = shorthand === SHORTHAND.NONE && !logical && dest !== X2APIC_BROADCAST;
  const target = vm.lapics.find(({ owner }) => owner.id === dest);
  const fate = !physical
    ? ''
    : target === undefined
      ? ', who does not exist'
      : target.enabled
        ? ''
        : ', who is disabled';
  return `IPI: ${what} to ${targetName(shorthand, logical, dest)}${fate}`;
}

const modeName = (mode: number): string =>
  Object.entries(DELIVERY).find(([, number]) => number === mode)?.[0] ?? `mode ${mode}`;

function targetName(shorthand: number, logical: boolean, dest: number): string {
  if (shorthand === SHORTHAND.SELF) return 'itself';
  if (shorthand === SHORTHAND.ALL) return 'all';
  if (shorthand === SHORTHAND.ALL_BUT_SELF) return 'all others';
  return logical ? `logical ${hex(dest)}` : `APIC ${dest}`;
}

function describeTimerEntry(low: number): string {
  const mode = low & LVT.TIMER_MODE;
  const name = mode === LVT.TIMER_TSCDEADLINE ? 'TSC-deadline' : mode === LVT.TIMER_PERIODIC ? 'periodic' : 'one-shot';
  return `timer is ${name}, vector ${hex(low & LVT.VECTOR)}${(low & LVT.MASKED) === 0 ? '' : ', masked'}`;
}
