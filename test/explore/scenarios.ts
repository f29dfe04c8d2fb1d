// What the tests of preemptions load twice, plain and through the transform: production host code with a VM of scripted CPUs
// on it, scripts that take most of its paths, and what drives preemptions.

import { EXIT } from '../../src/cpu/exit.ts';
import type { PvFeature } from '../../src/hypervisor/pv/features.ts';
import type { KvmParams } from '../../src/hypervisor/params.ts';
import { MSR, X2APIC_MSR } from '../../src/x86/names/msrs.ts';
import { hlt, sti, wrmsr, type Step } from '../hypervisor/scriptedCpu.ts';
import { vmRig, type VmRig } from '../hypervisor/vmRig.ts';

export { accessesOf, announced, elsewhere, preemptedAt, preemptible } from '../../src/explore/preemption.ts';
export { vmRig };

export const LVTT = { ONESHOT: 0xec, PERIODIC: 0x200ec, DEADLINE: 0x400ec } as const;
export const shutdown: Step = { exit: EXIT.TRIPLE_FAULT };
export const enableTimer = (lvtt: number): Step[] => [
  wrmsr(X2APIC_MSR.SIVR, 0x1ffn),
  wrmsr(X2APIC_MSR.LVT_TIMER, BigInt(lvtt)),
  sti,
];
export const arm = (deadline: bigint): Step => wrmsr(MSR.TSC_DEADLINE, deadline);
export const ipiTo = (apicId: number, vector: number): Step =>
  wrmsr(X2APIC_MSR.ICR, (BigInt(apicId) << 32n) | BigInt(vector));

interface Case {
  readonly scripts: () => Step[][];
  readonly params?: Partial<KvmParams>;
  readonly features?: readonly PvFeature[];
}

/** Runs of whole machines, by what happens in them. */
export const cases: Readonly<Record<string, Case>> = {
  'a deadline on the preemption timer': {
    scripts: () => [[...enableTimer(LVTT.DEADLINE), arm(20_000n), { run: 60_000 }, shutdown]],
  },
  'a deadline on an hrtimer': {
    scripts: () => [[...enableTimer(LVTT.DEADLINE), arm(20_000n), { run: 60_000 }, shutdown]],
    params: { preemptionTimer: false },
  },
  'a deadline that wakes a halted vCPU': {
    scripts: () => [[...enableTimer(LVTT.DEADLINE), arm(50_000n), hlt, { run: 10 }, shutdown]],
  },
  'a deadline that is taken back, and one in the past': {
    scripts: () => [[...enableTimer(LVTT.DEADLINE), arm(5000n), arm(0n), arm(1n), { run: 20_000 }, shutdown]],
  },
  'a periodic countdown': {
    scripts: () => [
      [
        ...enableTimer(LVTT.PERIODIC),
        wrmsr(X2APIC_MSR.TMICT, 120_000n),
        { run: 700_000 },
        sti,
        { run: 700_000 },
        shutdown,
      ],
    ],
  },
  'IPIs to a running and to a halted vCPU': {
    scripts: () => [
      [
        ...enableTimer(LVTT.DEADLINE),
        { run: 500 },
        ipiTo(1, 0xfb),
        { run: 9000 },
        ipiTo(2, 0xfc),
        { run: 9000 },
        shutdown,
      ],
      [wrmsr(X2APIC_MSR.SIVR, 0x1ffn), sti, { run: 20_000 }, shutdown],
      [wrmsr(X2APIC_MSR.SIVR, 0x1ffn), sti, hlt, { run: 10 }, shutdown],
    ],
  },
  'IPIs in the slow path': {
    scripts: () => [
      [...enableTimer(LVTT.DEADLINE), { run: 500 }, ipiTo(1, 0xfb), { run: 9000 }, shutdown],
      [wrmsr(X2APIC_MSR.SIVR, 0x1ffn), sti, hlt, { run: 20_000 }, shutdown],
    ],
    params: { fastpath: 'off' },
  },
};

export function rigOf(name: string): VmRig {
  const { scripts, ...options } = cases[name]!;
  return vmRig(scripts(), options);
}

/** Whatever a rig shows: events, deliveries, positions, charges, the state of its timers. */
export function outcomeOf({ host, vm, guests, events, userspace }: VmRig): unknown {
  return structuredClone({
    events,
    userspace,
    cpus: host.cpus.map(({ now, charged }) => ({ now, charged: [...charged] })),
    threads: host.threads.map(({ name, state, waitsFor }) => ({ name, state, waitsFor })),
    delivered: guests.map(({ delivered }) => delivered),
    vcpus: vm.vcpus.map(({ mode, mpState, requests, lapic }) => ({
      mode,
      mpState,
      requests: requests.bits,
      registers: [...lapic.regs],
      timer: { pending: lapic.timer.pending, deadline: lapic.timer.tscdeadline, hv: lapic.timer.hvTimerInUse },
    })),
  });
}
